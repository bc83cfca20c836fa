"""The parts of a campaign that have nothing in common any more: it was one to us, and is two.

Two operators can be taken for one: by a phrase that both used at first, say. Once both have moved on, the
accounts of each share words with each other and with nobody else:

    words          phrase (out of use)    a1     a2          b1
                     :          :         / |    / |         / |
    accounts         all        all      o  o   o  o        o  o
                                         one part, by        another
                                         those who use both

The opposite mistake is worse, to tell as two what one operator asks in several ways. So links are held together
by *any* account that uses two of them, but for strays: links join until hardly any account (FEW of a part's) asks in
the words of another part. That needs no pairs of links, as `group.components` does: each account ties the links it
uses to the one it uses most, each part that is no part yet joins the one it shares most of these accounts with, and
after a few rounds, each linear in the edges, none is left. A thousand paraphrases, of which each account uses a
handful, become one part in this way, where pairs of them share nobody.

What was used and is not any more holds nothing together (else a phrase of the first hour would forever), but an
account that used what is still in use counts, however long ago: who stays behind while others move on to a new
template uses words that they have left, and is still one with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from detector.event import F64, I32, I64, Mask

FEW: Final = (
    0.05  # of the accounts of a part, that also ask in the words of another; of those of a link, that still use it
)
AT_ONCE_MS: Final = 24 * 3_600_000
"""How long two parts are active at the same time: one that follows another is a change of templates."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some links of a campaign, and the accounts that ask mostly through them; both index the arrays given."""

    links: I64
    accounts: I64
    begin_ms: int  # from here ...
    end_ms: int  # ... to here at least `least` of its accounts were there

    def beside(self, other: Part) -> bool:
        """Tell whether both were active at the same time for long."""
        return min(self.end_ms, other.end_ms) - max(self.begin_ms, other.begin_ms) >= AT_ONCE_MS


def parts(
    link: I64, account: I64, count: I32, first_ms: I64, last_ms: I64, lasting: Mask, since_ms: int, least: int
) -> list[Part]:
    """Return the parts of at least `least` accounts, for E edges (link, account), the largest first.

    `lasting` [L] are links that count whether or not anybody used them since `since_ms`.
    """
    links = len(lasting)
    used = np.bincount(link[last_ms > since_ms], minlength=links)
    live = lasting | (used >= FEW * np.bincount(link, minlength=links))
    kept = live[link]
    link, account, count, first_ms, last_ms = link[kept], account[kept], count[kept], first_ms[kept], last_ms[kept]
    if not len(link):
        return []
    label, home = _separate(link, account, count, links)
    mine = np.flatnonzero(label[link] == home[account])
    order = mine[np.argsort(home[account[mine]], kind="stable")]
    bounds = np.flatnonzero(np.diff(home[account[order]], prepend=-1, append=-1))
    found = []
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        edges = order[begin:end]
        accounts, index = np.unique(account[edges], return_inverse=True)
        if len(accounts) < least:
            continue
        first, last = np.full(len(accounts), np.iinfo(np.int64).max), np.zeros(len(accounts), np.int64)
        np.minimum.at(first, index, first_ms[edges])
        np.maximum.at(last, index, last_ms[edges])
        found.append(
            Part(
                np.flatnonzero(live & (label == home[accounts[0]])),
                accounts,
                int(np.partition(first, least - 1)[least - 1]),
                int(np.partition(last, -least)[-least]),
            )
        )
    return sorted(found, key=lambda part: -len(part.accounts))


def _separate(link: I64, account: I64, count: I32, links: int) -> tuple[I64, I64]:
    """Return the part of each link, and of each account that in which it asks most (-1: in none)."""
    label, of, who = np.arange(links), link, account
    asked: F64 = count.astype(np.float64)
    while True:
        pair, index = np.unique(who * links + of, return_inverse=True)
        who, of, asked = pair // links, pair % links, np.asarray(np.bincount(index, asked), np.float64)
        order = np.lexsort((of, -asked, who))
        mostly = order[np.flatnonzero(np.diff(who[order], prepend=-1))]
        home = np.full(int(account.max()) + 1, -1)
        home[who[mostly]] = of[mostly]
        across = np.bincount(who)[who] > 1
        crossing = np.bincount(of[across], minlength=links)
        joins = (crossing > 0) & (crossing >= FEW * np.bincount(of, minlength=links))
        if not joins.any():
            return label, home
        away = of != home[who]
        here, there = home[who[away]], of[away]
        ties, shared = np.unique(np.r_[here * links + there, there * links + here], return_counts=True)
        one, other = ties // links, ties % links
        best = np.lexsort((other, -shared, one))
        best = best[np.diff(one[best], prepend=-1) > 0]
        best = best[joins[one[best]]]
        graph: Any = sparse.csr_array((np.ones(len(best), np.int8), (one[best], other[best])), (links, links))
        joined = csgraph.connected_components(graph, directed=False)[1].astype(np.int64)
        label, of = joined[label], joined[of]
