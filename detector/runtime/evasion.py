"""Where detection breaks down: one dial of a campaign is turned at a time, until half of it is served.

    BASE ─► dial turned to its values, easiest first ─► a job each ─► served share at each value
                                                                        │
                  100 % ┤             ●──●                               ▼
                   50 % ┤- - - - - ⁄- - - - -      the breakdown: where the line first crosses one half
                    0 % ┤●──●──●──●
                        └────────────────── harder to see ─►

The base is an easy campaign with nothing but its content to be found by: 100 young accounts, one template,
13 exchanges an account and day, no shared payment, network, client or mail. So a dial shows what it costs the
detector by itself; an operator who turns several at once goes further than those lines, and the last two
dials are such mixtures: bare questions asked ever more rarely, and a reseller.

Two shares are looked at. A campaign is actionable once ten of its accounts are known, and what comes after no longer
counts as served; where few of the others ever follow, only the share served before each account's own flag shows it.

A campaign lives for `CAMPAIGN_DAYS`, and one that was not found by then counts as served whole: a breakdown at
few exchanges is one of a short stretch, and would come later in a longer one. Between two values tried the place is
interpolated on the dial's own scale, which says no more than that it lies between them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from html import escape
from typing import Any, Final, Literal

from rich.table import Table

from detector.runtime.evaluate import OURS
from detector.runtime.grid import SMALL_SCALE, Job
from detector.runtime.report import cohorts, document, percent, plain
from detector.runtime.scenarios import WITHHELD
from detector.scorecard import ScoreCard
from detector.simulate import Content, Dials, Scenario
from detector.simulate.scenario import Timing

HALF: Final = 0.5
START_DAY: Final = 2.0
CAMPAIGN_DAYS: Final = 2.0

BASE: Final = Dials(
    accounts=round(100 / SMALL_SCALE),
    per_account_day=13.0,
    start_day=START_DAY,
    days=CAMPAIGN_DAYS,
    content=(Content(family="coding"),),
)


@dataclass(frozen=True, slots=True)
class World:
    """A campaign, the day on which everybody gets a new model, and whether there are sketches in the place of text."""

    campaign: Dials = BASE
    release_day: float | None = Scenario(START_DAY).release_day  # after the end
    withheld: bool = False

    @property
    def name(self) -> str:
        """Return what is different from the base world, which is called so; it ends in WITHHELD where text is."""
        parts = [" ".join(_differences(BASE.content[0], part)) or "base" for part in self.campaign.content]
        told = [
            *_differences(BASE, self.campaign),
            *(part for part in (" + ".join(parts),) if part != "base"),
            *([f"release_day={self.release_day}"] if self.release_day != World().release_day else []),
        ]
        return (" ".join(told) or "base") + (WITHHELD if self.withheld else "")

    @property
    def scenario(self) -> Scenario:
        """Return it for the simulator, which knows of no sketches: that is in the name."""
        days = START_DAY + CAMPAIGN_DAYS
        return Scenario(days, (self.campaign,), release_day=self.release_day, least_accounts=1)


@dataclass(frozen=True, slots=True)
class Dial:
    """One property of a campaign and the values tried, easiest to detect first, at least two, all different.

    A title may first say what else is true of the campaign, up to a colon. `turned` gives the world at a value. On a
    logarithmic dial every value is above 0. Where values are no numbers they are counted from 0, and have `words`.
    """

    name: str
    title: str
    values: tuple[float, ...]
    turned: Callable[[float], World]
    logarithmic: bool = False
    words: tuple[str, ...] = ()

    @property
    def axis(self) -> str:
        """Return what the values are: the end of the title, without what else is true of the campaign."""
        return self.title.rpartition(": ")[2]

    def written(self, value: float) -> str:
        """Return how a value is told."""
        return self.words[round(value)] if self.words else plain(value)

    def place(self, value: float) -> float:
        """Return where a value stands on the dial: 0 at the easiest one tried, 1 at the hardest."""
        first, last = self._on_scale(self.values[0]), self._on_scale(self.values[-1])
        return (self._on_scale(value) - first) / (last - first)

    def at(self, place: float) -> float:
        """Return the value at a place: the inverse of `place`."""
        first, last = self._on_scale(self.values[0]), self._on_scale(self.values[-1])
        found = first + place * (last - first)
        return 10.0**found if self.logarithmic else found

    def _on_scale(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def _with(**turned: Any) -> World:
    return World(replace(BASE, **turned))


def _asking(kind: Literal["scaffold", "naked"] = "scaffold", templates: float = 1, paraphrase: float = 0.0) -> World:
    part = replace(BASE.content[0], kind=kind, templates=int(templates), paraphrase=paraphrase)
    return _with(content=(part,))


def _partly_bare(share: float) -> World:
    """The template for the rest of it; a part with no share is none."""
    template = replace(BASE.content[0], share=round(1 - share, 6)) if share < 1 else None
    bare = replace(BASE.content[0], kind="naked", share=share) if share > 0 else None
    return _with(content=tuple(filter(None, (template, bare))))


def _sharing(share: float, of: World) -> World:
    campaign = replace(of.campaign, shared_payment=share, shared_network=share, shared_client=share, shared_email=share)
    return replace(of, campaign=campaign)


def _probing(days: float) -> World:
    """Ten accounts for so long; half a day later all are there."""
    return _with(probe_accounts=10, probe_days=days, ramp_days=days + 0.5) if days else World()


def _at_release(moves: float) -> World:
    """On the day on which the campaign begins there is a new model, and it stays with the old one or moves over."""
    return (World(), *(replace(_with(pivot=pivot), release_day=START_DAY) for pivot in (False, True)))[round(moves)]


TIMINGS: Final[tuple[Timing, ...]] = ("lockstep", "balanced", "human")

DIALS: Final = (
    Dial(
        "rate",
        "exchanges per account and day",
        (857, 13, 5.6, 2, 0.5, 0.2, 0.1),
        lambda x: _with(per_account_day=x),
        logarithmic=True,
    ),
    Dial(
        "accounts",
        "accounts",
        (300, 100, 30, 15, 10, 8),
        lambda x: _with(accounts=round(x / SMALL_SCALE)),
        logarithmic=True,
    ),
    Dial("templates", "templates", (1, 10, 100, 1000, 10_000), lambda x: _asking(templates=x), logarithmic=True),
    Dial("paraphrase", "share of the wording made anew", (0, 0.3, 0.6, 1), lambda x: _asking(paraphrase=x)),
    Dial("mixed", "share of unrelated traffic", (0, 0.5, 0.9, 0.95), lambda x: _with(mixed=x)),
    Dial("aged", "share of aged accounts", (0, 0.5, 0.9, 1), lambda x: _with(aged=x)),
    Dial("churn", "accounts replaced per account and day", (0, 1, 10), lambda x: _with(churn_per_day=x)),
    Dial(
        "timing",
        "timing of an account's requests",
        (0, 1, 2),
        lambda x: _with(timing=TIMINGS[round(x)]),
        words=TIMINGS,
    ),
    Dial("probing", "days of probing with ten accounts, before all come", (0, 0.5, 1, 1.5), _probing),
    Dial(
        "release",
        "what it does when a new model comes on its first day",
        (0, 1, 2),
        _at_release,
        words=("none comes", "stays", "moves"),
    ),
    Dial(
        "withheld",
        "what the gateway gives away",
        (0, 1),
        lambda x: World(withheld=x > 0),
        words=("text", "sketches"),
    ),
    Dial(
        "shared",
        "share of accounts with shared payment, network, client, mail",
        (1, 0.5, 0.2, 0),
        lambda x: _sharing(x, World()),
    ),
    Dial("bare", "share of bare questions, the others in the template", (0, 0.5, 0.9, 1), _partly_bare),
    Dial(
        "naked",
        "bare questions: share of accounts with shared payment, network, client, mail",
        (1, 0.5, 0.2, 0),
        lambda x: _sharing(x, _asking(kind="naked")),
    ),
    Dial(
        "naked-rate",
        "bare questions, nothing shared: exchanges per account and day",
        (25.6, 13, 8, 5.6, 2),
        lambda x: World(replace(_asking(kind="naked").campaign, per_account_day=x)),
        logarithmic=True,
    ),
    Dial(
        "reseller",
        "a reseller, half of its accounts aged, each in its own rhythm: share of unrelated traffic",
        (0, 0.2, 0.35, 0.5, 0.9),
        lambda x: _with(mixed=x, aged=0.5, timing="human"),
    ),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A dial at one value: the detector's cards, one per seed, at least one."""

    value: float
    cards: tuple[ScoreCard, ...]

    @property
    def served(self) -> list[float]:
        """The served share of each seed; a campaign without an exchange was served whole."""
        return [1.0 if c.served_share is None else c.served_share for c in self.cards]

    @property
    def served_before_own_flag(self) -> list[float]:
        """The same, counted until each account's own flag: large where a campaign is seen but few of its accounts."""
        return [1.0 if c.served_share_by_account is None else c.served_share_by_account for c in self.cards]

    @property
    def hours(self) -> list[float]:
        """The hours to detect of the seeds in which it was detected."""
        return [c.hours_to_detect for c in self.cards if c.hours_to_detect is not None]


Measure = Callable[[Point], Sequence[float]]
"""A share for each seed."""

SERVED: Final[Measure] = operator.attrgetter("served")
SERVED_BEFORE_OWN_FLAG: Final[Measure] = operator.attrgetter("served_before_own_flag")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Half was first served at about `at`, between the values `held` (None: already at the first) and `broken`."""

    at: float
    held: float | None
    broken: float


def _differences(usual: Dials | Content, turned: Dials | Content) -> Iterator[str]:
    for field in fields(usual):
        value = getattr(turned, field.name)
        if field.name != "content" and value != getattr(usual, field.name):
            yield f"{field.name}={value}"


def sweep(dials: Sequence[Dial], seeds: Sequence[int]) -> list[Job]:
    """Return the jobs of all dials, seed by seed; a world that stands on several dials is run once."""
    worlds = dict.fromkeys(dial.turned(value) for dial in dials for value in dial.values)
    return [Job(world.name, seed, SMALL_SCALE, world=world.scenario) for seed in seeds for world in worlds]


def points(dial: Dial, cards: Sequence[ScoreCard]) -> list[Point]:
    """Return the points of a dial for which there are cards of the detector, easiest first."""
    found = []
    for value in dial.values:
        same = tuple(c for c in cards if c.system == OURS and c.scenario == dial.turned(value).name)
        if same:
            found.append(Point(value, same))
    return found


def breakdown(dial: Dial, tried: Sequence[Point], measure: Measure = SERVED) -> Breakdown | None:
    """Return where the mean of a measure first reaches one half on the way to what is hard; None: nowhere tried."""
    held: tuple[float, float] | None = None
    for point in tried:
        share = _mean(measure(point))
        if share < HALF:
            held = point.value, share
        elif held is None:
            return Breakdown(point.value, None, point.value)
        else:
            before, least = dial.place(held[0]), held[1]
            crossed = before + (HALF - least) / (share - least) * (dial.place(point.value) - before)
            return Breakdown(dial.at(crossed), held[0], point.value)
    return None


def _mean(figures: Sequence[float]) -> float:
    return sum(figures) / len(figures)


# ------------------------------------------------------------------------------------------- in words

_HEAD: Final = ("served share", "served before own flag", "recall, all accounts", "benign flagged", "hours to detect")


def said(dial: Dial, found: Breakdown | None) -> str:
    """Say where a dial breaks down, with what was really tried on both sides."""
    if found is None:
        return "not reached"
    broken = dial.written(found.broken)
    if found.held is None:
        return f"from {broken} on, the easiest value tried"
    if dial.words:
        return f"{broken} (not {dial.written(found.held)})"
    return f"{plain(found.at)} (between {dial.written(found.held)} and {broken})"


def sentence(dial: Dial, tried: Sequence[Point]) -> str:
    """Say where a dial breaks down, for the campaign and for its accounts."""
    own = said(dial, breakdown(dial, tried, SERVED_BEFORE_OWN_FLAG))
    return f"{dial.title}: 50 % served at: {said(dial, breakdown(dial, tried))}; before own flag: {own}"


def _cells(point: Point) -> tuple[str, ...]:
    recalls = [c.recall_all for c in point.cards if c.recall_all is not None]
    days = sum(c.benign_account_days for c in point.cards)
    return (
        _spread(point.served, percent),
        _spread(point.served_before_own_flag, percent),
        _spread(recalls, percent) if recalls else "-",
        f"{sum(c.false_flags for c in point.cards)} in {days:,} account-days",
        (_spread(point.hours, plain) if point.hours else "never")
        + (f", {len(point.hours)} of {len(point.cards)}" if 0 < len(point.hours) < len(point.cards) else ""),
    )


def _spread(figures: Sequence[float], write: Callable[[float], str]) -> str:
    """Write the mean, and the least and most where they differ."""
    mean, low, high = write(_mean(figures)), write(min(figures)), write(max(figures))
    return mean if low == high else f"{mean} ({low} to {high})"


def table(dial: Dial, tried: Sequence[Point]) -> Table:
    """Return a row for each value tried, for the terminal; the title says where the dial breaks down."""
    made = Table(title=sentence(dial, tried), title_justify="left")
    for title in (dial.name, *_HEAD):
        made.add_column(title, justify="right")
    for point in tried:
        made.add_row(dial.written(point.value), *_cells(point))
    return made


# ------------------------------------------------------------------------------------------- the page

Height = tuple[float, float, float]
"""Least, mean and most over the seeds, each from 0 (bottom) to 1 (top)."""

BREAKDOWN: Final = "Where detection breaks down"
_LABEL_WIDTH: Final = 24  # values that stand nearer to the last one written have only their tip
_LEAST_HOURS: Final = 0.25  # shorter times to detect are drawn here
_HOURS: Final = 24 * CAMPAIGN_DAYS


def evasion_page(dials: Sequence[Dial], cards: Sequence[ScoreCard], note: str = "") -> str:
    """Return the whole page: where each dial breaks down, its plots and figures, and who was flagged wrongly."""
    return document(BREAKDOWN, [f"<h1>{BREAKDOWN}</h1>", *evasion_parts(dials, cards, note)])


def evasion_parts(dials: Sequence[Dial], cards: Sequence[ScoreCard], note: str = "") -> list[str]:
    """Return what stands below the heading of that page, without the dials of which fewer than two values were run."""
    found = {dial.name: points(dial, cards) for dial in dials}
    dials = [dial for dial in dials if len(found[dial.name]) > 1]  # the base campaign is on most
    rows = "".join(
        f"<tr><td>{escape(dial.title)}</td><td>{', '.join(dial.written(p.value) for p in found[dial.name])}</td>"
        f"<td>{escape(said(dial, breakdown(dial, found[dial.name])))}</td>"
        f"<td>{escape(said(dial, breakdown(dial, found[dial.name], SERVED_BEFORE_OWN_FLAG)))}</td></tr>"
        for dial in dials
    )
    parts = [
        (
            f'<p class="note">{escape(note)} One dial of an easy campaign is turned at a time (100 young accounts, one '
            "template, 13 exchanges an account and day, nothing shared but content). Simulated traffic; a campaign "
            f"lasts {CAMPAIGN_DAYS:g} days, and one not found by then was served whole. Bands are from the least to "
            "the most over the seeds, dashed is one half.</p>"
        ),
        f"<table><tr><th>dial</th><th>tried</th><th>50 % served at</th><th>before own flag</th></tr>{rows}</table>",
    ]
    for dial in dials:
        parts += [f"<h2>{escape(dial.title)}</h2>", _plots(dial, found[dial.name]), _figures(dial, found[dial.name])]
    return [
        *parts,
        "<h2>False flags per benign cohort, all runs together</h2>",
        (
            '<p class="note">The runs of one seed have the same benign accounts beside another campaign, so that '
            "they are no independent samples: the intervals are too narrow.</p>"
        ),
        cohorts([c for c in cards if c.system == OURS]),
    ]


def _figures(dial: Dial, tried: Sequence[Point]) -> str:
    head = "".join(f"<th>{title}</th>" for title in (dial.name, *_HEAD))
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (dial.written(point.value), *_cells(point)))}</tr>"
        for point in tried
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _plots(dial: Dial, tried: Sequence[Point]) -> str:
    hours = [_height(p.hours, _place_of) if len(p.hours) == len(p.cards) else None for p in tried]
    shares = [(x, percent(x)) for x in (0.0, HALF, 1.0)]
    times = [(_place_of(h), f"{h:g} h") for h in (_LEAST_HOURS, 1, 6, 24, _HOURS)]
    served = [_height(p.served) for p in tried]
    own = [_height(p.served_before_own_flag) for p in tried]
    return (
        _plot(dial, tried, "served share", served, shares)
        + _plot(dial, tried, "served before each account's own flag", own, shares)
        + _plot(dial, tried, "time to detect (ring: not in every seed)", hours, times)
    )


def _height(figures: Sequence[float], place: Callable[[float], float] = float) -> Height:
    return place(min(figures)), place(_mean(figures)), place(max(figures))


def _place_of(hours: float) -> float:
    within = min(max(hours, _LEAST_HOURS), _HOURS)
    return math.log(within / _LEAST_HOURS) / math.log(_HOURS / _LEAST_HOURS)


def _plot(
    dial: Dial,
    tried: Sequence[Point],
    title: str,
    heights: Sequence[Height | None],
    ticks: Sequence[tuple[float, str]],
) -> str:
    """Return a line with its band over the dial, hard to the right; a ring at the top where there is no figure."""
    left, top, width, height = 52, 24, 310, 150

    def x(value: float) -> float:
        return left + width * dial.place(value)

    def y(share: float) -> float:
        return top + height * (1 - share)

    known = [(x(p.value), h) for p, h in zip(tried, heights, strict=True) if h is not None]
    upper = [f"{at:.1f},{y(high):.1f}" for at, (_, _, high) in known]
    lower = [f"{at:.1f},{y(low):.1f}" for at, (low, _, _) in reversed(known)]
    line = " ".join(f"{at:.1f},{y(mean):.1f}" for at, (_, mean, _) in known)
    marks = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="var(--line)"/>',
        f'<text x="{left}" y="14">{escape(title)}</text>',
        f'<polygon points="{" ".join(upper + lower)}" fill="var(--ours)" fill-opacity="0.15"/>',
        f'<polyline points="{line}" fill="none" stroke="var(--ours)" stroke-width="2"/>',
    ]
    for share, label in ticks:
        if label == percent(HALF):
            ends = f'x1="{left}" x2="{left + width}" y1="{y(share)}" y2="{y(share)}"'
            marks.append(f'<line {ends} stroke="var(--other)" stroke-dasharray="4 3"/>')
        marks.append(f'<text x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{label}</text>')
    labelled = -math.inf
    for point, found in zip(tried, heights, strict=True):
        at = x(point.value)
        cells = dict(zip(_HEAD, _cells(point), strict=True))
        value = escape(dial.written(point.value))
        tip = f"<title>{value}: {escape('; '.join(f'{k} {v}' for k, v in cells.items()))}</title>"
        look = 'fill="none" stroke="var(--ours)"' if found is None else 'fill="var(--ours)"'
        marks.append(
            f'<circle cx="{at:.1f}" cy="{y(1 if found is None else found[1]):.1f}" r="4" {look}>{tip}</circle>'
        )
        if at - labelled >= _LABEL_WIDTH:
            labelled = at
            marks.append(f'<text x="{at:.1f}" y="{top + height + 16}" text-anchor="middle">{value}</text>')
    marks.append(
        f'<text x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">{escape(dial.axis)}</text>'
    )
    frame = f'viewBox="0 0 {left + width + 20} {top + height + 42}" width="380" role="img"'
    return f"<svg {frame}>{''.join(marks)}</svg>"
