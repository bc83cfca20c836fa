"""Simulated worlds: benign cohorts, harmless look-alikes and campaigns, from a seed.

    scenario ─► setting ─┬ cohorts (benign, lookalikes) ─┐
     (dials)             └ campaign pools ───────────────┴─► simulation ─► rendering ─► lines
                                                                 ▲
                              networks, clients, roster, writers ┘ (grammar, words, *_texts)

It models the world, and knows nothing of any detector. No real campaign is public with labels, so
who does what is invention around public intensities and real traffic figures; every module says which.
"""

from detector.simulate.scenario import SCENARIOS, Content, Dials, Scenario
from detector.simulate.simulation import Simulation, simulate
from detector.simulate.writers import Collections

__all__ = ["SCENARIOS", "Collections", "Content", "Dials", "Scenario", "Simulation", "simulate"]
