"""Simulated worlds: benign cohorts, harmless look-alikes and campaigns, from a seed.

    scenario ─► setting ─┬ cohorts (benign, lookalikes) ─┐
     (dials)             └ campaign pools ───────────────┴─► simulation ─► rendering ─► lines
                                                                 ▲
                     networks, clients, roster, writers, prompts ┘ (grammar, words, *_texts; or real ones)

It models the world, and knows nothing of any detector. No real campaign is public with labels, so
who does what is invention around public intensities and real traffic figures; every module says which.

Not modelled: prompts and answers of other kinds than text; answers that steer the next request; tokens
that fit the text; benign people whose own home address is at the same time an exit of a proxy network;
operators who react to single bans. `quiet` at scale 1 is 1.28 million benign account-days, counting every
account for each day that it exists (0.35 million in which it sends something), in 56 million events.
"""

from detector.simulate.prompts import Collections
from detector.simulate.scenario import SCENARIOS, Content, Dials, Scenario
from detector.simulate.simulation import Simulation, simulate

__all__ = ["SCENARIOS", "Collections", "Content", "Dials", "Scenario", "Simulation", "simulate"]
