"""The mixture of an account: which templates it keeps coming back to, as a few values that equal mixtures share.

Who takes wordings that are popular one by one (public benchmarks, harness prompts) leaves no rare template. But an
operator gives every account the same *set* of them, and a set of popular things is rare:

    event's template ─► there already? ─► the LEAST templates that come first in each of BANDS keyed orders
                        no: keep it          └─► once there are LEAST: one link value for each order

The first templates of an order are a min-wise sample of the set (Broder 1997; bottom-k, Cohen and Kaplan 2007), so two
accounts agree on all of LEAST with about that power of the overlap of their sets: always when they use the same ones,
hardly ever by chance. Templates are not weighted by their use (Ioffe 2010): of a few uses each the counts differ by
chance alone, and the winners of a weighted draw with them, whereas a set fills up and stays: an account's values change
some LEAST * ln(templates) times in all.

Templates that come once are everybody's, for people write anew, and would crowd out the others. So only what comes
*again* counts: a template is kept in one of PLACES until another one takes its place, and counts when it comes while it
is there. That takes bytes where counters take hundreds, never fills up, and wants more patience the more else is asked.
After WINDOW_DAYS the sample begins anew, so that what an account did before it was bought is forgotten.

Silent below LEAST templates that came again: one template is no mixture, and the users of one tool share that one.
Harmless and the same: users of a tool with three prompts, whom the established ones among them clear as they clear its
templates; a class with one sheet, which asks the same questions. Evaded by another choice of templates for every
account, or by so many that hardly any comes again.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.event import I64, U64, Mask, Sketches

LEAST: Final = 3
BANDS: Final = 2
PLACES: Final = 23
WINDOW_DAYS: Final = 14
FIELDS: Final = (
    ("mixture_day", "<u2"),  # on which the sample began; 0: there is none
    ("mixture", "<u2", (BANDS, LEAST)),  # first to last of each order: the greatest draws, 0 where there are fewer
    ("kept", "u1", (PLACES,)),  # eight bits of each template kept, 0 for none
)
_DAY_MS: Final = 86_400_000
_ORDERS: Final = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93], np.uint64)  # templates are keyed hashes themselves

Samples = npt.NDArray[np.uint16]


def templates_of(sketches: Sketches) -> U64:
    """Return [n] what counts as the template of each prompt; 0 for none.

    How it begins, which survives slots of free words; or all of it, where it is too short to have a head.
    """
    return np.where(sketches.head != 0, sketches.head, sketches.template)


def mixtures_of(table: npt.NDArray[Any], rows: I64, templates: U64, clock_ms: I64) -> tuple[I64, U64]:
    """Add the templates of n events, in the order of their arrival, to their account rows of `table`.

    Returns which events [m] asked something again while their account had a mixture, and the mixture as of then, one
    value for each order [m, BANDS]. The cut of a stream into batches cannot show.
    """
    again = _again(table, rows, templates)
    again = again[np.argsort(rows[again], kind="stable")]
    row, day = rows[again], clock_ms[again] // _DAY_MS
    with np.errstate(over="ignore"):
        drawn = ((templates[again, None] * _ORDERS) >> np.uint64(48)).astype(np.uint16) | np.uint16(1)
    samples = np.zeros((len(again), BANDS, LEAST), np.uint16)
    left = np.arange(len(again))
    while len(left):  # each time up to and with the first event of each account that changes its sample
        held = table["mixture"][row[left]]
        over = day[left] >= table["mixture_day"][row[left]].astype(np.int64) + WINDOW_DAYS
        held[over] = 0
        enters = (drawn[left] > held[:, :, -1]) & (drawn[left, :, None] != held).all(axis=2)
        samples[left] = held
        place = np.arange(len(left))
        heads = np.flatnonzero(np.append(True, row[left][1:] != row[left][:-1]))
        until = np.minimum.reduceat(np.where(over | enters.any(axis=1), place, len(left)), heads)
        change = until[until < len(left)]
        at = left[change]
        begins = over[change]
        table["mixture_day"][row[at[begins]]] = day[at[begins]]
        table["mixture"][row[at]] = samples[at] = _entered(held[change], drawn[at], enters[change])
        left = left[place > np.repeat(until, np.diff(np.append(heads, len(left))))]
    whole = samples[:, 0, -1] != 0
    return again[whole], _values(samples[whole])


def _entered(held: Samples, drawn: Samples, enters: Mask) -> Samples:
    """Return samples [k, BANDS, LEAST] with what was drawn [k, BANDS] in its place of each order that it enters."""
    more = np.where(enters, drawn, np.uint16(0))[:, :, None]
    return np.sort(np.concatenate([held, more], axis=2), axis=2)[:, :, :0:-1]


def _again(table: npt.NDArray[Any], rows: I64, templates: U64) -> I64:
    """Return the events whose template was kept when they came, ascending; keep those of all."""
    known = np.flatnonzero(templates)
    if not len(known):
        return known
    template, row = templates[known], rows[known]
    place = ((template >> np.uint64(7)) % np.uint64(PLACES)).astype(np.int64)
    bits = np.maximum(template >> np.uint64(56), 1).astype(np.uint8)
    arrival = len(known).bit_length()  # places and arrival in one number: sorting those is fastest
    numbered = np.sort(((row * PLACES + place) << arrival) | np.arange(len(known)))
    order = numbered & ((1 << arrival) - 1)
    differs = (numbered[1:] >> arrival) != (numbered[:-1] >> arrival)
    first, last = order[np.append(True, differs)], order[np.append(differs, True)]
    before = np.empty_like(bits)
    before[order[1:]] = bits[order[:-1]]
    before[first] = table["kept"][row[first], place[first]]
    table["kept"][row[last], place[last]] = bits[last]
    again: I64 = known[before == bits]
    return again


def _values(samples: Samples) -> U64:
    """Return one value for each sample [m, BANDS, LEAST], another in each order."""
    total = np.zeros(samples.shape[:2], np.uint64)
    with np.errstate(over="ignore"):
        for rank in range(LEAST):
            total = (total + samples[:, :, rank]) * _ORDERS
            total ^= total >> np.uint64(29)
    return total | np.uint64(1)
