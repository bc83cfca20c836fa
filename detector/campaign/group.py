"""Groups of accounts that share rare links, and what the group does: its readings.

Links join into one group when their accounts overlap far beyond chance; one scaffold shows up as
a template, a head, and some fragments over the same accounts, and a campaign with a thousand
paraphrases as many small links over one pool. Identity links (payment, network, client) join a
group but do not hold two together: two operators may use one proxy network.

A group is then *read*: every reading is 0..1, says what it saw and what ordinary groups show, and
is NaN where it cannot be known. Which harmless group each one is there for:

    reading          campaign                       the harmless group it tells apart
    young_surplus    new accounts, or all at once   a popular agent's users: of all ages
    work_list        each question once             a class, a benchmark, a tutorial: they repeat each other
    evenness         load balanced over accounts    people: a few use it much, most hardly
    concentration    little beside the harvest      people who also use a popular prompt
    duration         goes on for hours and days     a class: an hour or two
    single_turn      question and answer            conversations
    extraction       reasoning, grading, generation ordinary questions
    novelty          several prompts, new to all  a popular tool's release: a few use it much; an app with one prompt
    identity         payment, card or client shared independent customers
    exchange         reasoning blocks go round      a customer who moved; examples recorded in a tool: one way
    spread           from many networks             a class, an office, a campus: in one place
    size             many                           a team
    narrowness       a few classes of tasks         people who share one prompt of many
    rhythm           no night                       people; a worldwide tool's users
    release_pivot    half moves to a new model      everybody tries a new model
    probing          refused first, then more       a red team, refused every night alike
    lockstep         all at once, or in turns       a bell, a schedule, the end of an outage
    sign_up_burst    accounts made together         a class, in one place; a launch
    content_shift    asks for something else        a popular tool's users

The last seven are read in `behaviour`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from detector.campaign.link import ASKED, IDENTITY, mix
from detector.campaign.membership import days_between, through
from detector.campaign.observation import LinkKind
from detector.campaign.prevalence import purity, surprise
from detector.event import F64, I32, I64, U8, U64, Mask

HOUR_MS: Final = 3_600_000
MOST_BY_CHANCE: Final = 0.7  # a campaign may be most of what stands out: then its own links still join
JOINED_NATS: Final = 3.0
MIXED_BELOW: Final = 0.5  # of its requests through the group's links, an account is a mixed member
ONE_IN: Final = 25  # accounts may ask without measure, and say nothing of how even the others are
WRAPPED: Final = 0.35  # of the requests are questions that others ask too: it repeats them, as `work_list` reads it
LEAST_PIECES: Final = 40  # of wording, of ten questions, to tell that
MOST_SAID: Final = 2.0  # times an account says each of them
BEGUN: Final = 0.2  # of the requests begin as others' do: more, and it is a scaffold
MOST_LINKS_EACH: Final = 256  # of an account, when links are grouped
TRADERS: Final = 4.0  # unrelated accounts that exchange reasoning blocks: no customer moves round in a ring of so many
FIRST_PRODUCTS: Final = 50_000
MOST_PRODUCTS: Final = 5_000_000  # of links compared at a time, some 12 bytes each


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a group; `value` beside the `baseline` of ordinary groups, and the sentence."""

    name: str
    strength: float  # NaN: cannot be known
    value: float | None
    baseline: float | None
    because: str
    sample: int | None = None  # accounts it was read off, where that is not all of them


@dataclass(frozen=True)
class GroupColumns:
    """A group: L links, E edges (`link`, `account` index the group's links and its A accounts)."""

    kind: U8
    accounts_on: I32
    young_on: I32
    established_on: I32
    items_sampled: I32
    items_repeated: I32
    link: I64
    account: I64
    count: I64
    first_ms: I64
    last_ms: I64
    age: I32  # [A] 1 young, 2 established, 0 unknown
    org: U64  # [A] 0 unknown
    prefix: U64  # [A] 0 unknown
    requests: I64  # [A]
    single_turn: F64  # [A]
    trades: Mask  # [A] presents reasoning blocks of others, and others present its own
    harvest_labels: F64  # [A] share of the account's labelled requests that extract, grade or generate; NaN unknown
    young_share: float
    newborn: bool  # its words are new, and its accounts are not young

    @cached_property
    def asked(self) -> F64:
        """[A] requests through the group's links: several readings begin with that."""
        return through(self.account, self.kind[self.link], self.count, len(self.age))


def components(
    link: I64,
    account: I64,
    kind: U8,
    least_shared: int = 3,
    overlap: float = 0.5,
    most_products: int = MOST_PRODUCTS,
) -> I64:
    """Return the component of each link, for edges (link, account).

    Two links join when they share at least `least_shared` accounts and `overlap` of the smaller one,
    and that is not what chance gives: a link that most accounts have, such as usual parameters, holds
    most of any other. A mixture joins mixtures only: each of its templates is held by all who have it, and by everybody
    else besides. Identity links take part only through the component most of their accounts are in; issuers of
    reasoning blocks do as one link for each ring, since a presented block joins two by itself.
    """
    links, accounts = len(kind), int(account.max(initial=-1)) + 1
    ring = np.arange(links)
    issued = (kind == LinkKind.ISSUER)[link]
    if issued.any():
        ring = _rings(ring, link[issued], account[issued], accounts)
        link, account = np.divmod(np.unique(ring[link] * accounts + account), accounts)
    identity = np.isin(kind, [int(k) for k in IDENTITY])
    said = ~identity[link]
    mixed: Mask = kind == LinkKind.MIXTURE
    ones = np.ones(len(link), np.int32)
    matrix: Any = sparse.csr_array((ones, (link, account)), (links, accounts))
    content: Any = sparse.csr_array((ones[said], (link[said], account[said])), (links, accounts))
    size = np.bincount(link, minlength=links)

    def joins(row: I64, col: I64, shared: I64) -> Mask:
        smaller, larger = np.minimum(size[row], size[col]), np.maximum(size[row], size[col])
        enough: Mask = (shared >= least_shared) & (shared >= overlap * smaller) & (mixed[row] == mixed[col])
        chance = np.minimum(larger[enough] / max(accounts, 1), MOST_BY_CHANCE)
        enough[enough] = _beyond_chance(shared[enough], smaller[enough], chance)
        return enough

    label = _connected(content, joins, most_products)
    # an identity link goes to the component in which most of its accounts have content
    member: Any = sparse.csr_array((ones[said], (account[said], label[link[said]])), (accounts, links))
    member.data = np.minimum(member.data, 1)
    rows = np.flatnonzero(identity)
    votes: Any = (matrix[rows] @ member).tocsr()
    for place, row in enumerate(rows.tolist()):
        begin, end = votes.indptr[place], votes.indptr[place + 1]
        if begin < end:
            best = begin + int(np.lexsort((votes.indices[begin:end], -votes.data[begin:end]))[0])
            if votes.data[best] >= max(least_shared, overlap * size[row]):
                label[row] = votes.indices[best]
    return np.asarray(label[ring], np.int64)


def _rings(links: I64, link: I64, account: I64, accounts: int) -> I64:
    """Return for each link the first of those that these edges connect it with, over whatever accounts."""
    ones, n = np.ones(len(link), np.int8), len(links)
    graph: Any = sparse.csr_array((ones, (link, n + account)), (n + accounts, n + accounts))
    found = csgraph.connected_components(graph, directed=False)[1][:n]
    _, first, which = np.unique(found, return_index=True, return_inverse=True)
    return np.asarray(first[which], np.int64)


def _connected(content: Any, joins: Callable[[I64, I64, I64], Mask], most_products: int) -> I64:
    """Return the connected component of each link (row of `content`); `joins` says of which that share accounts.

    A campaign of a thousand paraphrases has a million pairs of links in one component, so not all are compared.
    Links of the very same accounts, as a template and its fragments are, are compared as one. These are compared with
    all others some at a time, and two that are known to be connected by then are not compared: what is left of the
    largest component has only itself left to be compared with, and is done. Few at first, because those who have the
    most accounts often connect nearly everything; then twice as many each time.
    """
    links, used = content.shape[0], np.flatnonzero(np.diff(content.indptr))
    of_accounts = np.add.reduceat(mix(content.indices.astype(np.uint64), 1), content.indptr[used])
    _, first, which = np.unique(of_accounts, return_index=True, return_inverse=True)
    one = used[first]
    distinct = content[one]
    across = distinct.T.tocsr()
    products = distinct @ np.diff(across.indptr)  # that a comparison with all others takes
    label, left = np.arange(len(one)), np.argsort(-products, kind="stable")
    at_a_time = FIRST_PRODUCTS
    while len(waiting := left[label[left] != np.bincount(label[left], minlength=1).argmax()]):
        chosen = waiting[: 1 + int(np.searchsorted(np.cumsum(products[waiting]), min(at_a_time, most_products)))]
        at_a_time *= 2
        shared: Any = (distinct[chosen] @ across).tocoo()
        row, col = chosen[shared.row], shared.col.astype(np.int64)
        apart = label[row] != label[col]
        row, col = row[apart], col[apart]
        joined = joins(one[row], one[col], shared.data[apart])
        label = _merged(label, row[joined], col[joined])
        left = left[~np.isin(left, chosen)]
    size = np.diff(distinct.indptr)
    together = (np.bincount(label)[label] > 1) | joins(one, one, size)
    tied = together[which]
    head = one[np.unique(label, return_index=True)[1]]  # of each component
    return _merged(np.arange(links), used[tied], head[label[which[tied]]])


def _merged(label: I64, row: I64, col: I64) -> I64:
    """Return the components of what these edges add to components, numbered in the order of their first members."""
    first, of = np.unique(label, return_index=True, return_inverse=True)[1:]
    n = len(label)
    ones = np.ones(n + len(row), np.int8)
    graph: Any = sparse.csr_array((ones, (np.r_[np.arange(n), row], np.r_[first[of], col])), (n, n))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1]).astype(np.int64)


def few_each(account: I64 | I32, link: U64) -> I64:
    """Return the places of the edges that are among the MOST_LINKS_EACH of their account with the lowest link values.

    Comparing links two by two costs the square of it, and what the same accounts share is among the lowest of all.
    """
    few = np.bincount(account)[account] <= MOST_LINKS_EACH
    many = np.flatnonzero(~few)
    order = many[np.lexsort((link[many], account[many]))]
    starts = np.flatnonzero(np.diff(account[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    few[order[rank < MOST_LINKS_EACH]] = True
    return np.flatnonzero(few)


def _beyond_chance(shared: I64, of: I64, chance: F64) -> Mask:
    """Tell where `shared` out of `of` accounts are more than `chance` for each explains (Chernoff bound)."""
    share = np.clip(shared / np.maximum(of, 1), 1e-9, 1 - 1e-9)
    nats = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    return np.asarray((share > chance) & (of * nats > JOINED_NATS), np.bool_)


def ramp(value: float, none_at: float, full_at: float) -> float:
    """Return 0 at `none_at`, 1 at `full_at`, linear between, either way round."""
    return float(min(1.0, max(0.0, (value - none_at) / (full_at - none_at))))


def _through(group: GroupColumns, edges: Mask) -> F64:
    kind = group.kind[group.link[edges]]
    return through(group.account[edges], kind, group.count[edges], len(group.age))


def typical(group: GroupColumns) -> tuple[float, float]:
    """Return how many requests in the group's words an account that uses them asks, and how many a day: medians.

    -1 without words. Identity links do not count: somebody's payment goes with everything that they ask.
    """
    kind = group.kind[group.link]
    words = np.isin(kind, [int(k) for k in ASKED])
    if not words.any():
        return -1.0, -1.0
    account, first_ms, last_ms = group.account[words], group.first_ms[words], group.last_ms[words]
    asked = through(account, kind[words], group.count[words], len(group.age))
    uses = asked > 0
    days = days_between(account, first_ms, last_ms, len(group.age))
    return float(np.median(asked[uses])), float(np.median(asked[uses] / days[uses]))


def in_common(group: GroupColumns) -> tuple[int, int, float]:
    """Return the requests through the group's links, the mixed accounts, and the share that those ask through them.

    A mixed account mostly asks for other things; the share is the median of theirs.
    An operator who resells access serves unrelated customers with the same accounts: those customers are no part of it.
    """
    asked = group.asked
    share = np.minimum(1.0, asked / np.maximum(group.requests, 1))
    mixed = share[share < MIXED_BELOW]
    return int(asked.sum()), len(mixed), float(np.median(mixed)) if len(mixed) else 0.0


def units(org: U64) -> int:
    """Return the number of customers, given the organisations of accounts (0 unknown): those of one count once."""
    known = org != 0
    return int((~known).sum() + len(np.unique(org[known])))


def read(group: GroupColumns, members: GroupColumns | None = None) -> list[Reading]:
    """Return the readings of a group, in a fixed order.

    `members` are those of it who belong, once that is known: how many they are, how long it has gone on and where
    they sit is read off them alone, so that passers-by neither make a customer many nor a weekend a week. How they
    behave is read off all who use the links: belonging asks for that behaviour, and would prove itself.
    """
    own = members or group
    readings = [
        _size(own),
        _young_surplus(group),
        _work_list(group),
        _evenness(group),
        _concentration(group),
        _duration(own),
        _identity(own),
        _spread(own),
        _single_turn(group),
        _extraction(group),
    ]
    return [*readings, _exchange(own), _novelty(group, {reading.name: reading.strength for reading in readings})]


def _size(group: GroupColumns) -> Reading:
    n = units(group.org)
    return Reading(
        "size",
        ramp(np.log10(max(n, 1)), 0.7, 2.3),
        float(n),
        5.0,
        f"{n} unrelated accounts share the links of this group",
    )


def _young_surplus(group: GroupColumns) -> Reading:
    young, established = int((group.age == 1).sum()), int((group.age == 2).sum())
    if young + established == 0:
        return Reading("young_surplus", float("nan"), None, group.young_share, "the age of the accounts is unknown")
    share = young / (young + established)
    counts = np.array([young], np.int32), np.array([established], np.int32)
    excess = float(purity(*counts, group.young_share)[0])
    nats = float(surprise(*counts, group.young_share)[0])
    return Reading(
        "young_surplus",
        ramp(excess, 0.5, 0.95) * ramp(nats, 2.0, 12.0),
        share,
        group.young_share,
        f"{share:.0%} of its accounts are younger than 30 days; of all active accounts {group.young_share:.0%} are",
    )


def _work_list(group: GroupColumns) -> Reading:
    sampled, repeated = int(group.items_sampled.sum()), int(group.items_repeated.sum())
    wrapped = _wrapped(group)
    if wrapped >= WRAPPED:
        return Reading(
            "work_list",
            0.0,
            wrapped,
            0.3,
            f"{wrapped:.0%} of its requests are questions that several accounts asked, each in words of its own; "
            "so is a benchmark",
        )
    if sampled < 12:
        return Reading("work_list", float("nan"), None, 0.3, "too few questions to tell whether they repeat")
    share = repeated / sampled
    return Reading(
        "work_list",
        ramp(share, 0.35, 0.05),
        share,
        0.3,
        f"{share:.0%} of its questions were asked by more than one account; "
        "people who ask about one thing repeat each other",
    )


def _wrapped(group: GroupColumns) -> float:
    """Return the share of requests that are questions which others ask too, behind a beginning of their own; or 0.

    Such a question is many pieces of wording that several accounts share, each of whom says every piece once or twice,
    while no whole prompt nor opening is shared. A suffix of all questions is a piece that is said with each of them; a
    scaffold has an opening, and so has what is paraphrased from a stock of phrases. (Evaded by asking every question
    through several accounts, at as many times the price.)
    """
    kind = group.kind[group.link]
    piece = kind == LinkKind.FRAGMENT
    pieces = int((group.kind == LinkKind.FRAGMENT).sum())
    if pieces < LEAST_PIECES or group.count[piece].sum() > MOST_SAID * piece.sum():
        return 0.0
    total = group.asked.sum()
    begun = np.isin(kind, [LinkKind.TEXT, LinkKind.TEMPLATE, LinkKind.HEAD])
    if _through(group, begun).sum() >= BEGUN * total:
        return 0.0
    return float(_through(group, piece).sum() / total)


def _evenness(group: GroupColumns) -> Reading:
    """Read how much their requests vary beyond chance; the few in a hundred who ask most count as who comes next.

    One customer who asks a thousand times for what ends alike does not make a campaign uneven, nor does one account
    that the operator lets run: where people share a prompt, many more of them ask much.
    """
    counts = group.asked
    first = np.full(len(group.age), np.iinfo(np.int64).max)
    np.minimum.at(first, group.account, group.first_ms)
    begin, end = int(group.first_ms.min()), int(group.last_ms.max())
    counts = np.sort(counts[first <= begin + (end - begin) // 2])
    if few := len(counts) // ONE_IN:
        counts[-few:] = counts[-few - 1]
    if len(counts) < 10 or counts.mean() < 2.5:
        return Reading(
            "evenness", float("nan"), None, 1.0, "too few requests for each account to tell how even they are"
        )
    mean = float(counts.mean())
    excess = max(0.0, (float(counts.var()) - mean) / mean**2)
    return Reading(
        "evenness",
        evenness(excess),
        excess,
        1.0,
        "its requests are spread evenly over the accounts "
        f"(squared variation beyond chance {excess:.2f}; people show 1 and more)",
        sample=len(counts),
    )


def evenness(excess: float) -> float:
    """Return the strength of a squared variation beyond chance: 0 to 1, the more even the stronger."""
    return ramp(excess, 0.8, 0.1)


def _concentration(group: GroupColumns) -> Reading:
    share = float(np.median(np.minimum(1.0, group.asked / np.maximum(group.requests, 1))))
    return Reading(
        "concentration",
        ramp(share, 0.2, 0.8),
        share,
        0.2,
        f"half of its accounts spend {share:.0%} or more of their requests on what they share",
    )


def _rank(values: I64, share: float, method: Literal["lower", "higher"]) -> float:
    return float(np.quantile(values, share, method=method))


def _duration(group: GroupColumns) -> Reading:
    """Read from the fifth of the accounts that began first to the fifth that ended last, both left out.

    A passer-by who has long used a common phrase does not make a class a campaign.
    """
    first = np.full(len(group.age), np.iinfo(np.int64).max)
    last = np.zeros(len(group.age), np.int64)
    np.minimum.at(first, group.account, group.first_ms)
    np.maximum.at(last, group.account, group.last_ms)
    hours = max(0.0, float(_rank(last, 0.8, "lower") - _rank(first, 0.2, "higher")) / HOUR_MS)
    return Reading(
        "duration", ramp(hours, 1.0, 4.0), hours, 1.0, f"it has gone on for {hours:.1f} h; a class lasts one or two"
    )


def _identity(group: GroupColumns) -> Reading:
    strong = np.isin(
        group.kind[group.link],
        [LinkKind.PAYMENT, LinkKind.CARD, LinkKind.CLIENT, LinkKind.BLOCK, LinkKind.ISSUER],
    )
    share = len(np.unique(group.account[strong])) / max(1, len(group.age))
    return Reading(
        "identity",
        ramp(share, 0.05, 0.5),
        share,
        0.02,
        f"{share:.0%} of its accounts share a rare payment, card pattern or client print with others of the group",
    )


def _exchange(group: GroupColumns) -> Reading:
    """Read how many take part in both ways: who moved from one account to another took its blocks one way."""
    n = units(group.org[group.trades])
    return Reading(
        "exchange",
        ramp(n, 0.0, TRADERS),
        float(n),
        0.0,
        f"{n} unrelated accounts present reasoning blocks that were issued to others, who present theirs in turn",
    )


def _spread(group: GroupColumns) -> Reading:
    known = group.prefix[group.prefix != 0]
    if not len(known):
        return Reading("spread", float("nan"), None, 0.5, "the networks it comes from are unknown")
    share = int(np.unique(known, return_counts=True)[1].max()) / len(known)
    return Reading(
        "spread",
        ramp(share, 0.5, 0.1),
        share,
        0.5,
        f"at most {share:.0%} of its accounts come from one network; a class or an office sits in one place",
    )


def _single_turn(group: GroupColumns) -> Reading:
    known = group.single_turn[~np.isnan(group.single_turn)]
    if not len(known):
        return Reading("single_turn", float("nan"), None, 0.5, "the number of turns is unknown")
    share = float(known.mean())
    return Reading(
        "single_turn",
        ramp(share, 0.6, 0.98),
        share,
        0.5,
        f"{share:.0%} of its requests are one question without a conversation",
    )


def _extraction(group: GroupColumns) -> Reading:
    known = group.harvest_labels[~np.isnan(group.harvest_labels)]
    if not len(known):
        return Reading("extraction", float("nan"), None, 0.02, "what is asked for is unknown")
    share = float(known.mean())
    return Reading(
        "extraction",
        ramp(share, 0.1, 0.6),
        share,
        0.02,
        f"{share:.0%} of its requests extract reasoning, grade answers or generate training data",
    )


def _novelty(group: GroupColumns, shown: dict[str, float]) -> Reading:
    """Read where neither youth nor devotion can show: a reseller's accounts, some of them old, with customers besides.

    Then it takes everything else at once: words that nobody had before, several prompts of them (a prompt has one
    opening) for most of the accounts, evenly, by many, for long, from all over, and no question twice. What is unknown
    does not show.
    """
    openings = group.kind[group.link] == LinkKind.HEAD
    each = float(np.median(np.bincount(group.account[openings], minlength=len(group.age))))
    needed = (2 * shown["evenness"], 2 * shown["size"], shown["work_list"], shown["spread"], shown["duration"])
    return Reading(
        "novelty",
        min(ramp(each, 1.0, 4.0), 1.0, *np.nan_to_num(needed).tolist()) if group.newborn else 0.0,
        each,
        1.0,
        f"half of its accounts, of all ages, share {each:.0f} or more prompts; users of a new tool share one or two",
    )
