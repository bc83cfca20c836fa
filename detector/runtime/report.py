"""Score cards made readable: intervals over seeds, bars to hold, a table for the terminal, one page for the browser.

Intervals are 95 %: Student's t over the seeds for a mean of figures; for false flags the exact Poisson
interval (Garwood) of all seeds' flags over all seeds' account-days, because the mean of seeds that all saw none
would claim to be sure of it. With a single seed a mean has no interval, and none is shown.

The page holds its styles and its plots in itself, is light or dark as the reader's system is, and asks the network for
nothing. Plots are drawn here as SVG: four kinds are needed, and a library would weigh more than the page.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import msgspec
import numpy as np
from rich.table import Table
from rich.text import Text
from scipy import stats

from detector.errors import ConfigError, nearest
from detector.runtime.terminal import visible
from detector.scorecard import CampaignScore, Claim, ScoreCard, bins, brier, calibration_error

CONFIDENCE: Final = 0.95
UNNAMED: Final = "stream"  # what a recorded stream without a name is called


class Interval(msgspec.Struct, frozen=True):
    """A mean over n seeds with its interval; None where a seed has no figure, or where one seed has no spread."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the card: what it is called in tables, how it is written."""

    metric: str
    title: str
    write: Callable[[float], str]
    most: float = math.inf


def percent(x: float) -> str:
    """Write a share in per cent, three figures of it."""
    return f"{100 * x:.3g} %"


def plain(x: float) -> str:
    """Write a number with the figures that matter in a table."""
    return f"{x:,.0f}" if abs(x) >= 100 or x == round(x) else f"{x:.3g}"


COLUMNS: Final = (
    Column("served_share", "served share", percent, 1.0),
    Column("served_share_by_account", "served before own flag", percent, 1.0),
    Column("served_share_last", "served share, last campaign", percent, 1.0),
    Column("hours_to_detect", "hours to detect", plain),
    Column("exchanges_to_detect", "exchanges to detect", plain),
    Column("hours_to_half", "hours to 50 % flagged", plain),
    Column("hours_to_most", "hours to 90 % flagged", plain),
    Column("recall", "recall, accounts ≥ 5", percent, 1.0),
    Column("precision", "precision", percent, 1.0),
    Column("recall_all", "recall, all", percent, 1.0),
    Column("campaign_recall", "campaigns found", percent, 1.0),
    Column("purity", "purity", percent, 1.0),
    Column("completeness", "completeness", percent, 1.0),
    Column("pairwise_f1", "pairwise F1", percent, 1.0),
    Column("false_flags_per_million", "false flags / M account-days", plain),
    Column("wrong_campaigns_per_day", "wrong campaigns / day", plain),
    Column("exposure_median", "exposure, median", plain),
    Column("exposure_p90", "exposure, p90", plain),
    Column("findings_per_day", "findings / day", plain),
    Column("brier", "Brier score", plain, 1.0),
    Column("calibration_error", "calibration error", percent, 1.0),
    Column("events_per_second", "events / s", plain),
    Column("bytes_per_account", "bytes / account", plain),
)
_COLUMN: Final = {c.metric: c for c in COLUMNS}
_SHORT: Final = (
    "served_share", "hours_to_detect", "hours_to_most", "recall", "precision", "purity", "pairwise_f1",
    "false_flags_per_million", "wrong_campaigns_per_day", "exposure_median", "findings_per_day",
)  # fmt: skip


def interval(metric: str, cards: Sequence[ScoreCard]) -> Interval:
    """Return the mean of the metric over cards of one system and scenario, one card per seed."""
    if metric == "false_flags_per_million":
        return _rate(sum(c.false_flags for c in cards), sum(c.benign_account_days for c in cards), len(cards))
    known = [v for c in cards if (v := getattr(c, metric)) is not None]
    if not cards or len(known) < len(cards):
        return Interval(None, None, None, len(cards))
    mean = float(np.mean(known))
    if len(known) == 1:
        return Interval(mean, None, None, 1)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * np.std(known, ddof=1) / math.sqrt(len(known)))
    most = _COLUMN[metric].most if metric in _COLUMN else math.inf
    return Interval(mean, max(0.0, mean - half), min(most, mean + half), len(known))


def _rate(count: int, account_days: int, n: int) -> Interval:
    if not account_days:
        return Interval(None, None, None, n)
    tail = (1 - CONFIDENCE) / 2
    low = float(stats.chi2.ppf(tail, 2 * count) / 2) if count else 0.0
    high = float(stats.chi2.ppf(1 - tail, 2 * count + 2) / 2)
    million = 1e6 / account_days
    return Interval(count * million, low * million, high * million, n)


def by_scenario(cards: Sequence[ScoreCard]) -> dict[str, dict[str, list[ScoreCard]]]:
    """Return scenario -> system -> its cards, in the order in which they first stand in `cards`."""
    table: dict[str, dict[str, list[ScoreCard]]] = {}
    for card in cards:
        table.setdefault(card.scenario, {}).setdefault(card.system, []).append(card)
    return table


# ------------------------------------------------------------------------------------------------ bars


class Bar(msgspec.Struct, frozen=True):
    """A figure that must hold, such as `served_share<=0.01`; a figure that is not known misses it."""

    metric: str
    relation: str
    value: float

    def __str__(self) -> str:
        return f"{self.metric}{self.relation}{self.value:g}"

    def missed_by(self, cards: Sequence[ScoreCard]) -> str | None:
        """Return what was measured where the mean over the cards misses the bar, None where it holds."""
        found = interval(self.metric, cards)
        if found.mean is None:
            return "unknown"
        return None if _RELATIONS[self.relation](found.mean, self.value) else f"{found.mean:.4g}"


_RELATIONS: Final = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}
_METRICS: Final = tuple(f.name for f in msgspec.structs.fields(ScoreCard) if "float" in str(f.type) or f.type is int)


def parse_bar(text: str) -> Bar:
    """Return the bar that `text` writes; raise ConfigError where it names no figure of the card."""
    parts = re.fullmatch(r"\s*(\w+)\s*(<=|>=|==|<|>)\s*([\d.eE+-]+)\s*", text)
    if not parts:
        raise ConfigError("bar", f"{text!r} is not of the form metric<=number")
    metric, relation, value = parts.groups()
    if metric not in _METRICS:
        raise ConfigError(metric, "no such figure on the score card", nearest(metric, _METRICS))
    try:
        return Bar(metric, relation, float(value))
    except ValueError:
        raise ConfigError("bar", f"{value!r} is not a number") from None


# ---------------------------------------------------------------------------------------------- tables


def summary_table(cards: Sequence[ScoreCard], *, every: bool = False) -> Table:
    """Return one row per scenario and system, means over seeds; `every` figure, or those that fit a terminal."""
    columns = [c for c in COLUMNS if every or c.metric in _SHORT]
    table = Table(title=None, header_style="bold", pad_edge=False)
    scenarios = by_scenario(cards)
    if len(scenarios) > 1:
        table.add_column("scenario")
    table.add_column("system")
    for column in columns:
        table.add_column(column.title, justify="right")
    for scenario, systems in scenarios.items():
        for system, same in systems.items():
            row = [_cell(c, interval(c.metric, same)) for c in columns]
            names = [scenario, system] if len(scenarios) > 1 else [system]
            table.add_row(*(Text(visible(name)) for name in names), *row)
        table.add_section()
    return table


def cohort_table(cards: Sequence[ScoreCard]) -> Table:
    """Return the false flags of one system per benign cohort, all seeds and scenarios together."""
    table = Table(header_style="bold", pad_edge=False)
    for title in ("benign cohort", "accounts", "account-days", "false flags", "per million account-days"):
        table.add_column(title, justify="left" if title == "benign cohort" else "right")
    for name, (accounts, days, flags) in cohort_totals(cards).items():
        rate = _rate(flags, days, len(cards))
        table.add_row(
            Text(visible(name)),
            f"{accounts:,}",
            f"{days:,}",
            f"{flags:,}",
            _cell(_COLUMN["false_flags_per_million"], rate),
        )
    return table


def cohort_totals(cards: Sequence[ScoreCard]) -> dict[str, tuple[int, int, int]]:
    """Return cohort -> accounts, account-days, false flags, summed over the cards."""
    totals: dict[str, tuple[int, int, int]] = {}
    for cohort in (c for card in cards for c in card.cohorts):
        a, d, f = totals.get(cohort.cohort, (0, 0, 0))
        totals[cohort.cohort] = (a + cohort.accounts, d + cohort.account_days, f + cohort.false_flags)
    return dict(sorted(totals.items()))


def _cell(column: Column, found: Interval) -> str:
    if found.mean is None:
        return "-"
    if found.low is None or found.high is None or found.low == found.high:
        return column.write(found.mean)
    return f"{column.write(found.mean)} [{column.write(found.low)}, {column.write(found.high)}]"


# ------------------------------------------------------------------------------------------------ page

_STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#5b6472}
:root{--line:#d8dce2;--ours:#b3261e;--other:#8a94a3;--ok:#1a7f37}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e4e7eb;--soft:#a0a9b6}
:root{--line:#3a414b;--ours:#ff7a6b;--ok:#57c278}}
body{background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif;
max-width:1200px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1rem}
table{border-collapse:collapse;font-size:.82rem;display:block;overflow-x:auto}
td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left;white-space:normal;min-width:11rem}tr.ours{font-weight:600}
ul{columns:22rem}small,.note{color:var(--soft)}td small{display:block;font-weight:400}
.missed{color:var(--ours)}.held{color:var(--ok)}svg{max-width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--ink);stroke:var(--paper);stroke-width:3px;paint-order:stroke}
"""


def page(
    title: str,
    cards: Sequence[ScoreCard],
    bars: Mapping[str, Sequence[Bar]],
    note: str = "",
    more: Sequence[str] = (),
) -> str:
    """Return the whole page; `bars` are per scenario, for the first system of each, which is ours.

    `more` is HTML that stands between what is told of all scenarios and what is told of each.
    """
    scenarios = by_scenario(cards)
    ours = {name: next(iter(systems.values())) for name, systems in scenarios.items()}
    intervals = (
        "Intervals are 95 %: Student's t over the seeds; for false flags exact Poisson over all account-days. "
        "A dash is a figure that the stream does not allow, or a campaign never found."
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(note)} {intervals}</p>',
        _bar_list(ours, bars),
        "<h2>Served share</h2>",
        _dot_plot(scenarios, _SERVED),
        "<h2>Time to detect</h2>",
        _dot_plot(scenarios, _HOURS),
        "<h2>Calibration</h2>",
        _calibration_plot([claim for same in ours.values() for card in same for claim in card.claims]),
        "<h2>False flags per benign cohort</h2>",
        cohorts([card for same in ours.values() for card in same]),
        *more,
    ]
    for name, systems in scenarios.items():
        parts += [f"<h2>{escape(name or UNNAMED)}</h2>", _curve_plot(ours[name]), _rows(systems)]
    return document(title, parts)


def document(title: str, parts: Sequence[str]) -> str:
    """Return `parts`, which are HTML, as a page that asks the network for nothing."""
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>\n{body}\n</html>\n'
    )


def _bar_list(ours: Mapping[str, Sequence[ScoreCard]], bars: Mapping[str, Sequence[Bar]]) -> str:
    lines = []
    for scenario, wanted in bars.items():
        for bar in wanted:
            missed = bar.missed_by(ours.get(scenario, []))
            state = "held" if missed is None else "missed"
            measured = f": {missed}" if missed else ""
            lines.append(f'<li class="{state}">{escape(f"{scenario or UNNAMED}: {bar} {state}{measured}")}</li>')
    return f"<h2>Bars</h2><ul>{''.join(lines)}</ul>" if lines else ""


def _rows(systems: Mapping[str, Sequence[ScoreCard]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in systems)
    body = []
    for column in COLUMNS:
        cells = []
        for same in systems.values():
            mean, _, spread = _cell(column, interval(column.metric, same)).partition(" [")
            cells.append(f"<td>{mean}{f'<small>{spread[:-1]}</small>' if spread else ''}</td>")
        body.append(f"<tr><td>{escape(column.title)}</td>{''.join(cells)}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(body)}</table>"


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis of a figure: its title, and its ticks, beyond which nothing is drawn."""

    metric: str
    title: str
    ticks: tuple[tuple[float, str], ...]

    def place(self, figure: float) -> float:
        """Return where a figure stands, from 0 to 1."""
        first, last = self.ticks[0][0], self.ticks[-1][0]
        return math.log(min(max(figure, first), last) / first) / math.log(last / first)


_SERVED: Final = _Axis(
    "served_share",
    "share of the campaign's exchanges that were served before it was actionable",
    ((1e-5, "≤ 0.001 %"), *((10.0**power, percent(10.0**power)) for power in range(-4, 1))),
)
_HOURS: Final = _Axis(
    "hours_to_detect",
    "hours from the campaign's first exchange until it was actionable; of several campaigns the slowest",
    ((0.25, "≤ 0.25 h"), *((hours, f"{hours} h") for hours in (1, 4, 12, 48, 192)), (1_200, "≥ 1,200 h")),
)


def _dot_plot(scenarios: Mapping[str, Mapping[str, Sequence[ScoreCard]]], axis: _Axis) -> str:
    """Return a dot per scenario with a campaign and system on a logarithmic scale, ours in red with its interval."""
    rows = [name for name, systems in scenarios.items() if any(c.campaigns for same in systems.values() for c in same)]
    if not rows:
        return '<p class="note">There was no campaign.</p>'
    left, width, step = 170, 700, 26
    bottom = 8 + step * len(rows)

    def x(figure: float) -> float:
        return left + width * axis.place(figure)

    marks = [f'<text x="{left + width / 2}" y="{bottom + 36}" text-anchor="middle">{escape(axis.title)}</text>']
    for figure, label in axis.ticks:
        at = x(figure)
        marks.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="8" y2="{bottom}" stroke="var(--line)"/>')
        marks.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for i, name in enumerate(rows):
        y = 8 + step * i + step / 2
        marks.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(name or UNNAMED)}</text>')
        for rank, (system, same) in reversed(list(enumerate(scenarios[name].items()))):
            found = interval(axis.metric, same)
            if found.mean is None:
                if rank == 0:
                    known = sum(getattr(card, axis.metric) is not None for card in same)
                    words = f"in {known} of {len(same)} seeds" if known else "never"
                    marks.append(f'<text x="{left + width + 12}" y="{y + 4}">{words}</text>')
                continue
            colour, radius = ("var(--ours)", 6) if rank == 0 else ("var(--other)", 4)
            if rank == 0 and found.low is not None and found.high is not None:
                ends = f'x1="{x(found.low):.1f}" x2="{x(found.high):.1f}" y1="{y}" y2="{y}"'
                marks.append(f'<line {ends} stroke="{colour}" stroke-width="2"/>')
            tip = escape(f"{system}: {_cell(_COLUMN[axis.metric], found)}")
            dot = f'cx="{x(found.mean):.1f}" cy="{y}" r="{radius}" fill="{colour}"'
            marks.append(f"<circle {dot}><title>{tip}</title></circle>")
    caption = "Red: the detector, with its interval; grey: baselines (point at one for its name)."
    frame = f'viewBox="0 0 {left + width + 120} {bottom + 44}" role="img"'
    return f'<svg {frame}>{"".join(marks)}</svg><p class="note">{caption}</p>'


def cohorts(cards: Sequence[ScoreCard]) -> str:
    """Return the false flags of one system per benign cohort, bars and a table of the page."""
    totals = cohort_totals(cards)
    if not totals:
        return '<p class="note">No account is labelled benign.</p>'
    rows = [
        f"<tr><td>{escape(name)}</td><td>{accounts:,}</td><td>{days:,}</td><td>{flags:,}</td>"
        f"<td>{_cell(_COLUMN['false_flags_per_million'], _rate(flags, days, len(cards)))}</td></tr>"
        for name, (accounts, days, flags) in totals.items()
    ]
    head = "<tr><th>cohort</th><th>accounts</th><th>account-days</th><th>false flags</th><th>per million</th></tr>"
    return f"{_cohort_bars(totals)}<table>{head}{''.join(rows)}</table>"


def _cohort_bars(totals: Mapping[str, tuple[int, int, int]]) -> str:
    """Return a bar per cohort, its false flags per million account-days, with how many in how many days."""
    together = tuple(map(sum, zip(*totals.values(), strict=True)))
    rows = {"all of them": (together[0], together[1], together[2]), **totals}
    rates = [1e6 * flags / days if days else 0.0 for _, days, flags in rows.values()]
    ticks = _round_ticks(max(*rates, 10.0))
    left, width, step = 170, 560, 20
    bottom = 8 + step * len(rows)
    title = "false flags per million benign account-days"
    marks = [f'<text x="{left + width / 2}" y="{bottom + 36}" text-anchor="middle">{title}</text>']
    for tick in ticks:
        at = left + width * tick / ticks[-1]
        marks.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="8" y2="{bottom}" stroke="var(--line)"/>')
        marks.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{plain(tick)}</text>')
    for i, ((name, (_, days, flags)), rate) in enumerate(zip(rows.items(), rates, strict=True)):
        y, long = 8 + step * i, width * rate / ticks[-1]
        said = f"{plain(rate)} ({flags:,} in {days:,} account-days)"
        marks += [
            f'<text x="{left - 12}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y + 4}" width="{long:.1f}" height="{step - 8}" fill="var(--ours)"/>',
            f'<text x="{left + long + 6:.1f}" y="{y + 14}">{said}</text>',
        ]
    frame = f'viewBox="0 0 {left + width + 260} {bottom + 44}" role="img"'
    return f"<svg {frame}>{''.join(marks)}</svg>"


def _round_ticks(most: float) -> list[float]:
    """Return 0 and a few round numbers at equal distances, the last at least `most`, which is above 0."""
    step = 10.0 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1.0, 2.0) if 6 * step * part >= most)
    return [step * number for number in range(math.ceil(most / step) + 1)]


def wilson(true: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), which is sane where all or none of a few are true."""
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    middle = (true + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(true * (of - true) / of + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def _calibration_plot(claims: Sequence[Claim]) -> str:
    """Return how often a score of the detector was right, a dot per bin over the diagonal of what it said."""
    score, error = brier(claims), calibration_error(claims)
    if score is None or error is None:
        return '<p class="note">No campaign was claimed.</p>'
    left, top, width, height = 44, 12, 640, 240

    def x(share: float) -> float:
        return left + width * share

    def y(share: float) -> float:
        return top + height * (1 - share)

    marks = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="var(--line)"/>',
        f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" stroke="var(--other)" stroke-dasharray="4 3"/>',
        f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">100 %</text>',
        f'<text x="{left - 6}" y="{top + height}" text-anchor="end">0 %</text>',
        f'<text x="{x(0.5)}" y="{top + height + 46}" text-anchor="middle">confidence</text>',
        f'<text x="{left + 8}" y="{top + 16}">share of claims that were campaigns</text>',
    ]
    marks += [
        f'<text x="{x(at)}" y="{top + height + 28}" text-anchor="middle">{at:g}</text>'
        for at in (0, 0.5, 0.7, 0.9, 0.97)
    ]
    for held in bins(claims):
        low, high = wilson(held.true, held.claims)
        at, share = x(held.mean_score), held.true / held.claims
        tip = f"{held.low:g} to {held.high:g}: {held.true} of {held.claims} claims true, mean {held.mean_score:.3f}"
        ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"'
        dot = f'cx="{at:.1f}" cy="{y(share):.1f}" r="5" fill="var(--ours)"'
        marks += [
            f'<line {ends} stroke="var(--ours)" stroke-width="2"/>',
            f"<circle {dot}><title>{tip}</title></circle>",
            f'<text x="{at:.1f}" y="{y(low) + 13:.1f}" text-anchor="middle">{held.claims}</text>',
        ]
    caption = (
        f"{len(claims)} campaigns claimed, watch and above: Brier score {score:.3f}, expected calibration error "
        f"{percent(error)}. Each dot: the claims of a bin of confidence (their number below), and which share "
        "of them were campaigns, with its Wilson interval; on the dashed line the score would be a probability."
    )
    drawn = "".join(marks)
    frame = f'viewBox="0 0 {left + width + 20} {top + height + 52}" width="700" role="img"'
    return f'<svg {frame}>{drawn}</svg><p class="note">{caption}</p>'


def _curve_plot(cards: Sequence[ScoreCard]) -> str:
    """Return how the share of exchanges made and of accounts flagged grew, per campaign of the first seed."""
    plots = [_curve(campaign) for campaign in [c for c in cards[0].campaigns if c.curve][:6]]
    if not plots:
        return ""
    legend = "Grey: share of its exchanges made; red: share of its accounts flagged; green: actionable. First seed."
    return f'{"".join(plots)}<p class="note">{legend}</p>'


def _curve(campaign: CampaignScore) -> str:
    left, top, width, height = 44, 20, 320, 150
    hours = max(campaign.curve[-1][0], 1e-9)

    def line(column: int, colour: str) -> str:
        points = [(0.0, 0.0, 0.0), *campaign.curve]
        path = " ".join(f"{left + width * p[0] / hours:.1f},{top + height * (1 - p[column]):.1f}" for p in points)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'

    def upright(at: float, style: str) -> str:
        return f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + height}" {style}/>'

    title = f"{campaign.campaign_id}: {campaign.accounts:,} accounts, {campaign.exchanges:,} exchanges"
    drawn = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="var(--line)"/>',
        line(1, "var(--other)"),
        line(2, "var(--ours)"),
        f'<text x="{left}" y="14">{escape(title)}</text>',
        f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">100 %</text>',
        f'<text x="{left - 6}" y="{top + height}" text-anchor="end">0 %</text>',
        f'<text x="{left}" y="{top + height + 16}">0 h</text>',
        f'<text x="{left + width / 2}" y="{top + height + 16}" text-anchor="middle">since its first exchange</text>',
        f'<text x="{left + width}" y="{top + height + 16}" text-anchor="end">{hours:.0f} h</text>',
    ]
    if campaign.hours_to_detect is not None:
        at = left + width * min(max(campaign.hours_to_detect / hours, 0.0), 1.0)
        drawn.append(upright(at, 'stroke="var(--ok)" stroke-dasharray="4 3"'))
    return f'<svg viewBox="0 0 {left + width + 10} {top + height + 24}" width="380" role="img">{"".join(drawn)}</svg>'
