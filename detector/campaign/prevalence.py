"""How surprising it is that these accounts share this link, given who usually shares it.

A link that many accounts share says little by itself: a popular agent's prompt comes from a
hundred thousand of them. What such links have in common is *who* uses them: accounts of all
ages, in about the mix of the whole population. A pool of fraudulent accounts is not such a
sample. So the baseline of a link is its own prevalence among established accounts:

    benign accounts expected on the link  =  established on it / (1 - young share of the population)
    excess                                =  accounts on it - that
    surprise                              =  n * KL(young on it / n  ||  young share)      [nats]

the Chernoff bound of the binomial tail (it errs to the side of less surprise). Testing every link
at every step would find surprises by chance; the bar rises with the number of links tested
(Bonferroni at level q, which also holds the false-discovery rate below q).

Harmless causes of a surprise: a class or a hackathon (new accounts, one task), a tutorial that
new customers follow. The campaign stage tells them apart by what the group does.

Evaded by aged accounts, which look established: then the link's *birth* remains (`newborn`).
Laundering a link by using it for long does not help: an account's class is fixed by its age when
it first used the link. What nobody uses for `links.idle_days` is forgotten, with its votes: a pool that
rests for so long is new again with its words. Accounts that rest, are of age when they come back, and left others
to keep the words in use meanwhile do vote for them: a month's preparation, and what aged accounts show is left.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.event import F64, I32, I64, Mask

LEAST_YOUNG_SHARE: Final = 0.05
MOST_YOUNG_SHARE: Final = 0.35
"""The share is clipped: above, a large campaign would hide itself in its own baseline."""


def young_share(young: int, established: int) -> float:
    """Return the population's share of young accounts, shrunk towards 0.15 while few are known."""
    share = (young + 3.0) / (young + established + 20.0)
    return float(min(MOST_YOUNG_SHARE, max(LEAST_YOUNG_SHARE, share)))


def surprise(young: I32, established: I32, share: float) -> F64:
    """Return the nats of surprise at so many young accounts among those of known age, >= 0."""
    known = np.maximum(young + established, 1).astype(np.float64)
    observed = np.clip(young / known, 1e-12, 1 - 1e-12)
    divergence = observed * np.log(observed / share) + (1 - observed) * np.log((1 - observed) / (1 - share))
    return np.where(observed > share, known * divergence, 0.0)


def purity(young: I32, established: I32, share: float) -> F64:
    """Return the share of the young accounts on the link that its established ones do not explain, 0..1."""
    expected = established * share / (1 - share)
    return np.clip(1 - expected / np.maximum(young, 1), 0.0, 1.0)


def proven(young: I32, established: I32, share: float) -> Mask:
    """Tell which links are their young accounts' alone, were there three times as many established ones as came."""
    unexplained = 3.0 * (established + 1) * share / (1 - share)
    return np.asarray(unexplained <= 0.05 * young, np.bool_)


def bar(tested: int, level: float) -> float:
    """Return the surprise (nats) that a link must exceed when `tested` links are tested at `level`."""
    return float(np.log(max(tested, 1) / level))


def newborn(born_ms: I64, first_day_ends_ms: int, step_ms: int, window_ms: int) -> Mask:
    """Tell which links appeared in the last `window_ms`, and not in the first day of all that we ever saw."""
    return (born_ms >= first_day_ends_ms) & (born_ms > step_ms - window_ms)


def age_class(
    created_ms: I64, first_seen_ms: I64, at_ms: I64, start_ms: int, established_ms: int
) -> npt.NDArray[np.int8]:
    """Return 1 young, 2 established, 0 unknown, for accounts that used a link first at `at_ms`.

    Without a record an account that appeared when we had watched (since `start_ms`) for long counts from then on: most
    customers come now and then, so whom we have not seen in some days may be anybody. Of the others only a long tenure
    makes an established one.
    """
    born = np.where(created_ms >= 0, created_ms, first_seen_ms)
    age = at_ms - born
    known = (created_ms >= 0) | (first_seen_ms >= start_ms + established_ms) | (age >= established_ms)
    return np.where(known, np.where(age >= established_ms, 2, 1), 0).astype(np.int8)
