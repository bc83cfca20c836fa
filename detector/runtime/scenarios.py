"""A scenario as a command names it: with its dials turned, with sketches in the place of text.

    relay-withheld, aged=0.5 ─► relay, whose campaigns are half aged ─► simulation ─► lines ─► sketched lines

`NAME-withheld` is NAME as a gateway sends it that gives no text away. That is done here, over the simulator, which
knows of no detector and so of no sketch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final, get_args, get_type_hints

import msgspec

from detector.errors import ConfigError, nearest
from detector.runtime.sketching import sketched
from detector.simulate import SCENARIOS, Collections, Content, Dials, Scenario, Simulation, simulate

WITHHELD: Final = "-withheld"  # at the end of a name
OF_CONTENT: Final = "content."  # before the name of a dial that each part of the content has

_OF_CAMPAIGN: Final = get_type_hints(Dials)
_OF_PART: Final = {OF_CONTENT + name: kind for name, kind in get_type_hints(Content).items()}
DIALS: Final = (*_OF_CAMPAIGN, *_OF_PART)


def scenario_of(name: str, turned: Sequence[str] = ()) -> Scenario:
    """Return the scenario of this name, each of its campaigns turned as every DIAL=VALUE says, one after another.

    A dial is a field of `Dials`, or `content.` and one of `Content`, which is turned in every part. A value is JSON, or
    a word. Raises ConfigError for a name that there is not, with the nearest that there is, and for what is no value.
    """
    _known(name, [*SCENARIOS, *(one + WITHHELD for one in SCENARIOS)], "scenario")
    world = SCENARIOS[name.removesuffix(WITHHELD)]
    if turned and not world.campaigns:
        raise ConfigError(name, "has no campaign whose dials could be turned")
    for one in turned:
        world = replace(world, campaigns=tuple(_turned(campaign, one) for campaign in world.campaigns))
    return world


def simulated(
    name: str,
    seed: int,
    scale: float = 1.0,
    *,
    key: int,
    world: Scenario | None = None,
    days: float | None = None,
    text: bool = True,
    prompts: Collections | None = None,
) -> Simulation:
    """Return the simulation of the scenario of this name, or of a `world` that goes by it; `key` is of the sketches."""
    simulation = simulate(world or scenario_of(name), seed, scale, days=days, text=text, prompts=prompts)
    if not name.endswith(WITHHELD):
        return simulation
    return simulation.through(lambda chunks: (lines for lines, _ in sketched(chunks, key)))


def _turned(dials: Dials, said: str) -> Dials:
    name, equals, written = said.partition("=")
    if not equals:
        raise ConfigError(said, "is not of the form DIAL=VALUE")
    _known(name, DIALS, "dial")
    kind = {**_OF_CAMPAIGN, **_OF_PART}[name]
    try:
        value = msgspec.convert(_read(written), kind)
        if name in _OF_CAMPAIGN:
            return replace(dials, **{name: value})
        field = {name.removeprefix(OF_CONTENT): value}
        return replace(dials, content=tuple(replace(part, **field) for part in dials.content))
    except (msgspec.ValidationError, ValueError) as error:
        words = [word for word in get_args(kind) if isinstance(word, str)]
        hint = f", one of {', '.join(words)}" if words else ""
        raise ConfigError(name, f"{written!r} is no value of it: {error}{hint}", nearest(written, words)) from None


def _read(written: str) -> Any:
    """Read a value: JSON, or else a word; fields that parts of the content do not have are refused."""
    try:
        value = msgspec.json.decode(written)
    except msgspec.DecodeError:
        return written
    for part in value if isinstance(value, list) else ():
        for field in part if isinstance(part, dict) else ():
            _known(OF_CONTENT + field, DIALS, "dial")
    return value


def _known(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        near = nearest(name, known)
        others = "" if near else f"; there are {', '.join(known)}"
        raise ConfigError(name, f"there is no such {what}{others}", near)
