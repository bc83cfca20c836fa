"""Who belongs to a campaign: the weight of an account's evidence, by the links it shares with it.

Each kind of link counts once, by the purest link of that kind the account uses; kinds combine as
independent evidence (noisy-or). An established account is not drawn in by using a popular prompt
once: it belongs only when a good part of what it does is the campaign's.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.campaign.observation import LinkKind
from detector.event import F64, I8, I32, I64, U8, Mask

CONVINCING: Final = 0.93

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
}.items():
    _WEIGHT[_kind] = _weight
_WEIGHT.flags.writeable = False


def belongs(
    account: I64,
    kind: U8,
    purity: F64,
    count: I32,
    age: I8,
    requests: I64,
    *,
    newborn: bool,
    share_of_established: float = 0.3,
) -> Mask:
    """Tell for each of A accounts whether it belongs, given E edges to the campaign's links.

    `account`, `kind`, `purity`, `count` are [E]; `age` (1 young, 2 established, 0 unknown) and
    `requests` are [A].
    """
    doubt = np.ones(len(age))
    most = np.zeros(len(age), np.int64)
    for value in np.unique(kind):
        mine = kind == value
        best = np.zeros(len(age))
        np.maximum.at(best, account[mine], purity[mine])
        doubt *= 1 - _WEIGHT[value] * best
    np.maximum.at(most, account, count)
    evidence = 1 - doubt
    share = most / np.maximum(requests, 1)
    committed = (share >= share_of_established) & (most >= 2)
    trusted = (age == 2) | ((age == 0) & newborn)
    return np.asarray((evidence >= CONVINCING) & (~trusted | committed), np.bool_)
