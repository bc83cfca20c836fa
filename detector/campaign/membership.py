"""Who belongs to a campaign: the weight of an account's evidence, by the links it shares with it.

Each kind of link counts by the purest link of that kind the account uses, and up to twice when it
uses several pure ones. Kinds combine as independent evidence (noisy-or) within a family: what is
said; who pays and connects. The kinds of a family are views of one thing, so together they are never
worth more than the purest of them: a prompt that half of the world uses says little, however many of
its parts are recognised. A kind corroborates as far as the account's requests show it: fragments met in
one of a hundred prompts that begin alike say nothing of the hundred. Where no words are known, request
parameters that only the campaign's accounts choose are enough for those that do little else.

An established account is not drawn in by using a popular prompt once. It belongs only when a good
part of what it does is the campaign's, and no more than its share of the work: who asks ten times as
much as the others, and long has been a customer, has the words for reasons of his own.

Nor is a young one that mostly asks for other things, unless it does its part: an operator who resells
accounts spreads the work over them, so each asks about as much in the campaign's words as the others do,
where somebody who happens on a phrase asks hardly anything and a busy customer of the same kind of
prompts far more. (Evaded by uneven work; then the accounts that do most of it are found.) Where most members are such
accounts, three different prompts of the campaign that nobody else has are enough, however much else there is: customers
of a reseller ask differently much, and nobody happens on three.

Six are told apart by the `Manner` in which they belong, and join in company of their own manner only, which is the
campaign stage's to see: who used once or twice what customers use too, since an operator may copy an opening from where
they did, and some of them are young; who was there before; who asks for little else, and several times as much as a
member does; who shares pieces of wording but no prompt, opening or ending as a whole, nor a payment, since a piece may
be anybody's advice, or a benchmark's; who shares the request's parameters and not the words, since a new customer's
application may have chosen the same ones; and who asks all of it within minutes, as a nightly evaluation of that
benchmark does. (Where all share only pieces or parameters, or all work in bursts, all have company.)
What a member does is the less of two: all that one asked, and what one asks a day for as many days as the account has
been at it. So a customer who begins today is measured by a member's day.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final

import numpy as np

from detector.campaign.link import ASKED, IDENTITY
from detector.campaign.observation import LinkKind
from detector.event import F64, I8, I32, I64, U8, Mask

CONVINCING: Final = 0.93
_LINKS_PER_TEXT: Final = np.ones(256)
_LINKS_PER_TEXT[LinkKind.FRAGMENT] = 4
_LINKS_PER_TEXT[[LinkKind.MIXTURE, LinkKind.ISSUER]] = 2
_LINKS_PER_TEXT.flags.writeable = False
PURE: Final = 0.96  # of the purest words that an account shares: below that customers use all of them too
AGAIN: Final = 3  # uses of such words, from which they are taken for the account's work
CLEAN: Final = 0.9  # the purity from which several links of a kind add up
CORROBORATES: Final = 0.02  # of the requests through its links, from which a kind of what is said counts in full
PART: Final = (0.25, 4.0)  # of what is typical for a member, somebody who mostly asks for other things asks
LEAST_TYPICAL: Final = 5.0  # requests: what is typical is never taken for less, when it says who asks too much
DEVOTED: Final = 0.5  # of its requests in the campaign's words: who asks less mostly asks for other things
OPENINGS: Final = 3  # different ones of a reseller's harvest, which nobody else has
LEAST_SHARE: Final = 0.02  # of the requests of a young account, for it to belong
_DAY_MS: Final = 86_400_000


class Manner(IntEnum):
    """How an account belongs: the last that holds."""

    PLAIN = 0
    COPIED = 1  # all that it shares are words that customers use too, and it hardly used them
    AGED = 2  # it is not young
    BUSY = 3
    PIECES = 4  # all that it shares are pieces of wording
    SHAPED = 5  # it shares the parameters of requests, and of the words too little
    AT_ONCE = 6  # what it asks comes within minutes; `stages.joining` sees that


_WEIGHT: Final = np.zeros(256)
for _kind, _weight in {
    LinkKind.TEXT: 0.5,
    LinkKind.TEMPLATE: 0.95,
    LinkKind.HEAD: 0.85,
    LinkKind.TAIL: 0.6,
    LinkKind.FRAGMENT: 0.75,
    LinkKind.SKELETON: 0.5,
    LinkKind.SHAPE: 0.5,
    LinkKind.SYSTEM: 0.8,
    LinkKind.TOOLS: 0.7,
    LinkKind.PAYMENT: 0.9,
    LinkKind.CARD: 0.7,
    LinkKind.EMAIL: 0.4,
    LinkKind.ADDRESS: 0.6,
    LinkKind.PREFIX: 0.5,
    LinkKind.NETWORK: 0.2,
    LinkKind.CLIENT: 0.5,
    LinkKind.BLOCK: 0.95,
    LinkKind.ISSUER: 0.95,
    LinkKind.MIXTURE: 0.88,
}.items():
    _WEIGHT[_kind] = _weight
_WEIGHT.flags.writeable = False
_IDENTITY: Final = np.array([int(kind) for kind in IDENTITY])
_PAID: Final = np.array([int(LinkKind.PAYMENT), int(LinkKind.BLOCK), int(LinkKind.ISSUER)])
_WORDS: Final = np.array([int(kind) for kind in ASKED])
_WHOLE: Final = np.array([int(kind) for kind in ASKED - {LinkKind.FRAGMENT}])


def counted(manner: I8) -> list[int]:
    """Return how many accounts belong in each manner."""
    counts: list[int] = np.bincount(manner, minlength=len(Manner)).tolist()
    return counts


def through(account: I64, kind: U8, count: I64 | I32, accounts: int) -> F64:
    """Return for each account how many requests went through its edges' links.

    Links of one kind are disjoint requests (a prompt has one template), those of different kinds
    are the same requests again: sum within a kind, maximum over kinds. A text has four fragments.
    """
    kinds, of = _numbered(kind)
    return np.asarray(_asked(account, kinds, of, count, accounts).max(axis=0, initial=0.0), np.float64)


def _asked(account: I64, kinds: I64, of: I64, count: I64 | I32, accounts: int) -> F64:
    """Return the requests of each account [A] through each kind [K]: [K, A]; `of` [E] is the kind of an edge."""
    asked = np.bincount(of * accounts + account, count, len(kinds) * accounts).reshape(len(kinds), accounts)
    return np.asarray(asked / _LINKS_PER_TEXT[kinds, None], np.float64)


def _numbered(kind: U8) -> tuple[I64, I64]:
    """Return the kinds that there are, ascending, and which of them each is."""
    there = np.bincount(kind, minlength=256) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[kind]


def days_between(account: I64, first_ms: I64, last_ms: I64, accounts: int) -> F64:
    """Return for each account the days from the first to the last use of its edges' links, one at least."""
    first, last = np.full(accounts, np.iinfo(np.int64).max), np.zeros(accounts, np.int64)
    np.minimum.at(first, account, first_ms)
    np.maximum.at(last, account, last_ms)
    return np.asarray(np.maximum(1.0, (last - np.minimum(first, last)) / _DAY_MS), np.float64)


def belongs(
    account: I64,
    kind: U8,
    purity: F64,
    count: I32,
    proven: Mask,
    age: I8,
    requests: I64,
    days: F64,
    *,
    newborn: bool,
    typical: tuple[float, float],
    share_of_established: float,
    resold: bool,
) -> tuple[Mask, I8]:
    """Tell for each of A accounts whether it belongs, and in which `Manner`.

    `account`, `kind`, `purity`, `count` and `proven` (`prevalence.proven` of the link) are [E], the edges to the
    campaign's links; `typical` is how many requests a member asks in its words, and how many a day, negative
    while that is unknown; `age` (1 young, 2 established, 0 unknown), `requests` and `days` (`days_between`) are [A].
    `resold` says that most members serve others as well.
    """
    doubt = np.ones(len(age))
    for family in (~np.isin(kind, _IDENTITY), np.isin(kind, _IDENTITY)):
        doubt *= 1 - _evidence(account[family], kind[family], purity[family], count[family], len(age))
    words = np.isin(kind, _WORDS) & (purity > CLEAN)
    asked = through(account[words], kind[words], count[words], len(age))
    evidence = 1 - doubt
    trusted = (age == 2) | ((age == 0) & newborn)
    usual, pace = typical
    few, many = PART[0] * usual, PART[1] * np.maximum(np.minimum(usual, pace * days), LEAST_TYPICAL)
    if usual < 0:
        few, many = 0.0, np.full(len(age), math.inf)
        asked = np.where(trusted & (not newborn), 0, asked)
    busy = asked > many
    mixed = asked < DEVOTED * requests
    whose: Mask = (kind == LinkKind.HEAD) & (purity > CLEAN)
    several = resold & (np.bincount(account[whose], minlength=len(age)) >= OPENINGS)
    asked = np.where(busy & (trusted | mixed) | mixed & (asked < few) & ~several, 0, asked)
    least = np.where(trusted, np.maximum(2, share_of_established * requests), LEAST_SHARE * requests)
    least = np.where(several, OPENINGS, least)
    paid, whole = (
        np.bincount(account[np.isin(kind, kinds) & (purity > CLEAN)], minlength=len(age)) > 0
        for kinds in (_PAID, _WHOLE)
    )
    purest = np.zeros(len(age))
    np.maximum.at(purest, account[words], purity[words])
    convinced = (evidence >= CONVINCING) & ((asked >= least) | (paid & ~trusted))
    chosen = (kind == LinkKind.SHAPE) & proven
    devoted = np.bincount(account[chosen], count[chosen], len(age)) >= np.maximum(3, DEVOTED * requests)
    manner = np.full(len(age), Manner.PLAIN, np.int8)
    manner[(purest < PURE) & (asked < AGAIN) & ~paid] = Manner.COPIED
    manner[age != 1] = Manner.AGED
    manner[busy] = Manner.BUSY
    manner[convinced & ~paid & ~whole] = Manner.PIECES
    manner[~convinced] = Manner.SHAPED
    return np.asarray(convinced | (devoted & ~trusted), np.bool_), manner


def _evidence(account: I64, kind: U8, purity: F64, count: I32, accounts: int) -> F64:
    kinds, of = _numbered(kind)
    best = np.zeros((len(kinds), accounts))
    np.maximum.at(best.ravel(), of * accounts + account, purity)
    clean = purity > CLEAN
    links = np.bincount((of * accounts + account)[clean], minlength=best.size).reshape(best.shape)
    shown, said = np.ones(best.shape), np.isin(kinds, _WORDS)
    asked = _asked(account, kinds, of, count, accounts)[said]
    shown[said] = np.minimum(1, asked / np.maximum(CORROBORATES * asked.max(axis=0, initial=0.0), 1e-9))
    doubt = np.prod((1 - _WEIGHT[kinds, None] * best * shown) ** np.clip((1 + links) / 2, 1, 2), axis=0)
    return np.asarray(np.minimum(1 - doubt, best.max(axis=0, initial=0.0)), np.float64)
