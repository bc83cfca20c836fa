"""How the accounts of a group behave together: readings beside those of `group`, against what others do.

They are read off all who use the links of a group, from what stage 3 keeps of each account (`stages.conduct`)
and from `Reference`, what everybody else did. The docstring of `group` says which harmless group each is there for; how
that is told apart, and where it is not:

    narrowness     an account counts once, by all that it asks: people with one prompt in common do other things as well
    rhythm         both the group and each account by itself must lack a night: users of a worldwide tool have one each;
                   the API apps of one maker have none, and are mistaken
    release_pivot  what others moved is taken off; who was not there before the release did not move; early adopters are
                   mistaken
    probing        the refusals must fall and the requests grow: those of a red team do neither
    lockstep       what is on the clock is left out, and half of the hours must show it: bells, schedules, outages
    sign_up_burst  accounts of one network count once, and hours in which others signed up as well count for less
    content_shift  the reference are established accounts, a popular tool's users among them; a hackathon's new task
                   is as far away as a harvest, and is mistaken

All begin at weight 0: shown in a finding when they are strong, without a part in who is found, but for `release_pivot`:
a rule of `confidence` lets a crowd on a new model wait.

**lockstep** takes from SynchroTrap (Cao et al., CCS 2014) the tiles of five minutes, and compares the group with itself
instead of pairs of accounts: within an hour each account could have used its k active tiles of the 12 at other
places, so the number of active accounts on a tile has the variance Σ k/12 (1 - k/12) by chance, whatever the rates
and the time of day. Above it they act together, below it they take turns. That they act together the median hour
must say, and phases of the hour that are in use far more than others in most hours are left out: those are schedules.
**content_shift** is the maximum mean discrepancy (Gretton et al., JMLR 2012, unbiased on the group's side) over random
Fourier features (Rahimi and Recht, NIPS 2007) of account-level shares, not of requests: an account is one point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from detector.campaign.group import Reading, ramp
from detector.campaign.link import mix
from detector.campaign.observation import CAPABILITIES
from detector.event import F32, F64, I32, I64, LABELS, U64, Mask

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
TILE_MS: Final = 300_000
TILES_AN_HOUR: Final = HOUR_MS // TILE_MS
TILES: Final = DAY_MS // TILE_MS
SIGN_UP_HOURS: Final = 30 * 24  # of sign-ups before the reference was taken
LEAST_ACCOUNTS: Final = 10  # of a group, for what is pooled over accounts
LEAST_REFERENCE: Final = 50  # established accounts, below which nothing is known of them
LEAST_TRIED: Final = 1.0  # accounts' worth of requests by others on a new model: what only the group uses is no release
RELEASES: Final = 4  # new models followed at a time
FREQUENCIES: Final = 128
MOST_POINTS: Final = 1_024  # accounts of a group that are embedded, the first
BANDWIDTH: Final = 0.7  # of the kernel: about the median distance of two established accounts
_LEAST_SHARE: Final = 0.01  # of a class that nobody in the reference asks for
_NIGHT_HOURS: Final = 8
LEAST_HOURS: Final = 6  # of a day, with enough activity to tell how it is spread: longer than a class or an outage
ON_THE_CLOCK: Final = 2.0  # times as many active accounts on a phase of the hour as on another, in half of the hours


def _normal(rows: int, columns: int) -> F64:
    """Return [rows, columns] normal numbers, the same ones every time and on every machine."""
    bits = mix(np.arange(1, rows * columns + 1, dtype=np.uint64), 11) >> np.uint64(11)
    return np.asarray(special.ndtri((bits + 0.5) / float(1 << 53)).reshape(rows, columns), np.float64)


_FREQUENCIES: Final = _normal(len(CAPABILITIES) + len(LABELS) + 2, FREQUENCIES) / BANDWIDTH  # of `_plain`


@dataclass(frozen=True, slots=True)
class Conduct:
    """What A accounts did; `*_24h` as in `AccountFacts`."""

    created_ms: I64  # -1 unknown
    prefix: U64  # 0 unknown
    requests: I64
    output_tokens: I64
    requests_24h: F32
    refused_24h: F32
    single_turn_24h: F32
    capabilities: I32  # [A, classes] requests
    labels: I32  # [A, labels] requests
    told_ms: I64  # when stage 3 first heard of it
    early_asked: F32  # requests_24h at the end of the 24 h after `told_ms`, or now
    early_refused: F32
    release_asked: I32  # [A, RELEASES] requests within 24 h of each release, and ...
    release_new: I32  # ... those on the new model
    referred: Mask  # whether the reference counts it among those that no campaign holds
    active: Mask  # [A, TILES] whether it used a candidate link in each tile of the last 24 h


@dataclass(frozen=True, slots=True)
class Reference:
    """What others did: established accounts that no campaign holds, and, where it says so, all that none holds."""

    time_ms: int
    accounts: int  # established ones
    capabilities: F64  # [classes] mean share of an account's requests
    refused: float  # mean share of an account's requests in 24 h
    features: F64  # [2 FREQUENCIES] mean of `_embedded`
    fill: F64  # [features] mean of `_plain`: what an account counts as of which something is unknown
    signups: F64  # [SIGN_UP_HOURS] accounts of all ages made in each hour before `time_ms`, the last hour last
    release_ms: I64  # [RELEASES] -1 none
    release_accounts: I64  # [RELEASES] accounts that were there before and asked within 24 h of it
    release_moved: F64  # [RELEASES] sum of the shares of their requests that were on the new model


def refer(established: Conduct, created_ms: I64, releases: tuple[I64, I64, F64], time_ms: int) -> Reference:
    """Return the reference that these established accounts make.

    Of all accounts that no campaign holds: `created_ms`, and for each release when it was and what `moved` says.
    """
    shares = _shares(established.capabilities)
    plain = _plain(established)
    known = ~np.isnan(plain)
    fill = np.where(known, plain, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    signups = np.bincount(_signup_hour(created_ms, time_ms), minlength=SIGN_UP_HOURS + 1)[:-1]
    return Reference(
        time_ms,
        len(established.requests),
        _mean(shares[~np.isnan(shares[:, 0])]),
        float(_mean(_refused(established.refused_24h, established.requests_24h)[:, None])[0]),
        _mean(_embedded(np.where(known, plain, fill))),
        fill,
        signups.astype(np.float64),
        *releases,
    )


def observe(group: Conduct, reference: Reference | None, time_ms: int) -> list[Reading]:
    """Return the readings of a group at `time_ms`, in a fixed order; without a reference some are unknown."""
    known = reference if reference and reference.accounts >= LEAST_REFERENCE else None
    return [
        _narrowness(group, known),
        _rhythm(group, time_ms),
        _release_pivot(group, reference),
        _probing(group, known, time_ms),
        _lockstep(group, time_ms),
        _sign_up_burst(group, reference),
        _content_shift(group, known),
    ]


def _unknown(name: str, baseline: float | None, because: str) -> Reading:
    return Reading(name, float("nan"), None, baseline, because)


def _read(name: str, strength: float, value: float, baseline: float, because: str) -> Reading:
    """Return a reading, rounded: a matrix product or a logarithm may differ in its last bit."""
    return Reading(name, round(strength, 4), round(value, 4), round(baseline, 4), because)


def _mean(rows: F64) -> F64:
    return np.asarray(rows.sum(axis=0) / max(len(rows), 1), np.float64)


def _shares(counts: I32) -> F64:
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.where(totals > 0, counts / np.maximum(totals, 1), np.nan), np.float64)


# -- what is asked --------------------------------------------------------------------------


def _narrowness(group: Conduct, reference: Reference | None) -> Reading:
    """Kullback-Leibler divergence of the mean account from the established ones', less what chance gives.

    An account counts once, whatever its volume. The correction is Miller and Madow's with accounts, not requests,
    as the independent draws: Σ var / 2q over the classes, var being that of the mean over accounts.
    """
    shares = _shares(group.capabilities)
    shares = shares[~np.isnan(shares[:, 0])]
    n = len(shares)
    if reference is None or n < LEAST_ACCOUNTS:
        return _unknown("narrowness", 0.0, "too little is known of the classes of tasks")
    mean = _mean(shares)
    asked = mean > 0
    usual = np.maximum(reference.capabilities, _LEAST_SHARE)
    usual = usual / usual.sum()
    chance = float((shares.var(axis=0)[asked] / (2 * (n - 1) * mean[asked])).sum())
    nats = max(0.0, float((mean[asked] * np.log(mean[asked] / usual[asked])).sum()) - chance)
    top = int(mean.argmax())
    return _read(
        "narrowness",
        ramp(nats, 0.4, 1.4),
        nats,
        0.0,
        f"{mean[top]:.0%} of what an account asks is of one class of tasks, "
        f"of established accounts' {usual[top]:.0%} ({nats:.2f} nats apart)",
    )


def _plain(accounts: Conduct) -> F64:
    """Return [A, features] what an account asks and gets: shares, and the length of an answer; NaN unknown."""
    asked = np.where(accounts.requests_24h > 0, accounts.requests_24h, np.nan)
    each = accounts.output_tokens / np.maximum(accounts.requests, 1)
    return np.column_stack(
        [
            _shares(accounts.capabilities),
            _shares(accounts.labels),
            np.minimum(1.0, accounts.single_turn_24h / asked),
            np.where(accounts.output_tokens > 0, np.log2(np.maximum(each, 1.0)) / 8, np.nan),
        ]
    )


def _embedded(plain: F64) -> F64:
    """Return random Fourier features: their inner products are about those of the Gaussian kernel."""
    angle = plain @ _FREQUENCIES
    return np.asarray(np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / np.sqrt(FREQUENCIES), np.float64)


def _content_shift(group: Conduct, reference: Reference | None) -> Reading:
    n = len(group.requests)
    if reference is None or n < LEAST_ACCOUNTS:
        return _unknown("content_shift", 0.0, "too few accounts to tell whether they ask for something else")
    plain = _plain(group)[:MOST_POINTS]
    embedded = _embedded(np.where(np.isnan(plain), reference.fill, plain))
    n = len(embedded)
    mean = _mean(embedded)
    chance = (float((embedded**2).sum()) / n - float(mean @ mean)) / (n - 1)
    apart = float(np.sqrt(max(0.0, float(((mean - reference.features) ** 2).sum()) - chance)))
    return _read(
        "content_shift",
        ramp(apart, 0.4, 0.9),
        apart,
        0.0,
        f"what its accounts ask and get is {apart:.2f} away from what established accounts do (0 alike, 1.4 at most)",
    )


# -- when they act --------------------------------------------------------------------------


def _rhythm(group: Conduct, time_ms: int) -> Reading:
    """Two things at once: no night over the group, and none of each account by itself.

    The second is the mean cosine between the hours of two active tiles of one account, on the circle of a day, each
    pair once: 1 at one time of day, 0 around the clock, whichever zone an account lives in, however few tiles it has.
    A busy account counts no more than others, and once an hour.
    """
    tiles = group.active.reshape(len(group.active), 24, TILES_AN_HOUR).sum(axis=2, dtype=np.int16)  # [A, hours]
    counts = tiles.sum(axis=1, dtype=np.int64)
    several = counts > 1
    hours = (tiles > 0).sum(axis=0)
    seen_ms = time_ms - float(np.quantile(group.told_ms, 0.2)) if len(counts) else 0.0
    if several.sum() < LEAST_ACCOUNTS or seen_ms < 20 * HOUR_MS or hours.sum() < 60:
        return _unknown("rhythm", 0.1, "not yet a day of activity to see nights in")
    around = np.r_[hours, hours[: _NIGHT_HOURS - 1]]
    night = float(np.convolve(around, np.ones(_NIGHT_HOURS), "valid").min() / hours.sum())
    angle = 2 * np.pi * np.arange(24) / 24
    length = (tiles @ np.cos(angle)) ** 2 + (tiles @ np.sin(angle)) ** 2
    own = float(((length - counts)[several] / (counts * (counts - 1))[several]).mean())
    return _read(
        "rhythm",
        ramp(night, 0.15, 0.27) * ramp(own, 0.4, 0.1),
        night,
        0.1,
        f"its quietest {_NIGHT_HOURS} hours have {night:.0%} of a day's activity (33% around the clock, people 10%), "
        f"and its accounts keep to a time of day by {own:.2f} (0 around the clock, people 0.5)",
    )


def _lockstep(group: Conduct, time_ms: int) -> Reading:
    full = _full_hours(group.active, time_ms)  # [A, hours, tiles]
    usual = np.maximum(full.sum(axis=0).mean(axis=1, keepdims=True), 0.5)
    full = full[:, :, np.median(full.sum(axis=0) / usual, axis=0) <= ON_THE_CLOCK]
    tiles = full.shape[2]
    rate = full.mean(axis=2)
    chance = (rate * (1 - rate)).sum(axis=0)  # variance of the number of active accounts on a tile, [hours]
    enough = chance >= 0.5
    if len(full) < LEAST_ACCOUNTS or enough.sum() < LEAST_HOURS:
        return _unknown("lockstep", 1.0, "too few hours with enough activity to tell whether they act in step")
    deviation, chance = full[:, enough].sum(axis=0).var(axis=1), chance[enough]
    degrees = tiles - 1
    all_hours = float(deviation.sum() / chance.sum())
    median = float(np.median(deviation / chance)) / (1 - 2 / (9 * degrees)) ** 3  # that of chi-squared, by its mean
    turns = all_hours < 1  # an outage would hide it, not make it
    ratio = all_hours if turns else max(1.0, median)
    sure = abs(ratio - 1) / float(np.sqrt((2 if turns else np.pi) / (degrees * len(chance))))
    strength = ramp(ratio, 0.85, 0.6) if turns else ramp(ratio, 1.4, 2.5)
    how = "take turns" if turns else "act together"
    return _read(
        "lockstep",
        strength * ramp(sure, 2.0, 5.0),
        ratio,
        1.0,
        f"its accounts {how}: the number active in five minutes varies {ratio:.2f} times as much as by chance",
    )


def _full_hours(active: Mask, time_ms: int) -> Mask:
    """Return the last 23 hours of the clock before that of `time_ms` - 1, [A, 23, TILES_AN_HOUR]."""
    begun = (time_ms - 1) // TILE_MS % TILES_AN_HOUR + 1  # tiles of the hour that is not over
    full = active[:, (TILES_AN_HOUR - begun) % TILES_AN_HOUR : TILES - begun]
    return full.reshape(len(active), TILES // TILES_AN_HOUR - 1, TILES_AN_HOUR)


# -- where they come from, and what they move to --------------------------------------------


def _signup_hour(created_ms: I64, time_ms: int) -> I64:
    """Return the place of each account in `Reference.signups`; SIGN_UP_HOURS where it is beyond, or unknown."""
    place = SIGN_UP_HOURS - 1 - (time_ms // HOUR_MS - created_ms // HOUR_MS)
    return np.where((created_ms >= 0) & (place >= 0) & (place < SIGN_UP_HOURS), place, SIGN_UP_HOURS)


def _sign_up_burst(group: Conduct, reference: Reference | None) -> Reading:
    """The fullest hour, or the fullest day, against the hours in which others signed up: negative binomial.

    Accounts of one network count once: a class signs up in one room.
    """
    if reference is None:
        return _unknown("sign_up_burst", None, "it is not known when others signed up")
    hour = _signup_hour(group.created_ms, reference.time_ms)
    ours = (hour < SIGN_UP_HOURS) & (group.prefix != 0)
    own = np.bincount(hour[group.referred], minlength=SIGN_UP_HOURS + 1)[:-1]
    others = np.maximum(0.0, reference.signups - own)
    if ours.sum() < LEAST_ACCOUNTS or others.sum() < LEAST_REFERENCE:
        return _unknown("sign_up_burst", None, "too few of its accounts, or of others, signed up within 30 days")
    best = (0.0, 0, 0.0, "hour")
    for width, name in ((1, "hour"), (24, "day")):
        slots = SIGN_UP_HOURS // width
        place = hour[ours] // width
        counts = _networks(place, group.prefix[ours], slots)
        usual = others.reshape(slots, width).sum(axis=1)
        mean = float(usual.mean())
        spread = min(5.0, max(0.1, (float(usual.var()) - mean) / mean**2))
        expected = float(counts.sum()) * (usual + 1) / (usual + 1).sum()
        tail = special.betainc(np.maximum(counts, 1), 1 / spread, expected * spread / (1 + expected * spread))
        nats = np.where(counts > 0, -np.log(np.maximum(tail, 1e-300) * 2 * slots), 0.0)
        fullest = int(nats.argmax())
        best = max(best, (float(nats[fullest]), int(counts[fullest]), float(expected[fullest]), name))
    nats_best, count, expected_best, name = best
    return _read(
        "sign_up_burst",
        ramp(nats_best, 3.0, 15.0) * ramp(count, 4.0, 12.0),
        float(count),
        expected_best,
        f"accounts of {count} networks signed up within one {name}, where {expected_best:.1f} would if they came "
        "when others did",
    )


def _networks(place: I64, network: U64, places: int) -> I64:
    """Return how many networks there are at each place."""
    order = np.lexsort((network, place))
    place, network = place[order], network[order]
    first = np.append(True, (place[1:] != place[:-1]) | (network[1:] != network[:-1]))[: len(place)]
    return np.bincount(place[first], minlength=places)


def moved(told_ms: I64, asked: I32, new: I32, release_ms: I64) -> tuple[I64, F64, F64]:
    """Return for each release, of the accounts that were there before it and asked within 24 h of it: how many.

    Then the sum of the shares of their requests that were on the new model, and the sum of the squares of those.
    `asked` and `new` are [A, RELEASES]. Shares are in thousandths, so that sums do not depend on an order.
    """
    before = (told_ms[:, None] < release_ms) & (asked > 0)
    thousandths = np.where(before, np.rint(1_000 * new / np.maximum(asked, 1)), 0).astype(np.int64)
    return before.sum(axis=0), thousandths.sum(axis=0) / 1e3, (thousandths**2).sum(axis=0) / 1e6


def _release_pivot(group: Conduct, reference: Reference | None) -> Reading:
    """Of those who were there before the release: the mean share of an account's requests that moved, and others'.

    An account counts once, whatever its volume. Two standard errors are given away: few accounts vary.
    """
    unknown = _unknown("release_pivot", 0.0, "no new model appeared that others use too, or it had not begun before")
    if reference is None:
        return unknown
    best = unknown
    accounts, shares, squares = moved(group.told_ms, group.release_asked, group.release_new, reference.release_ms)
    own = group.referred
    own_accounts, own_shares, _ = moved(
        group.told_ms[own], group.release_asked[own], group.release_new[own], reference.release_ms
    )
    others = np.maximum(reference.release_accounts - own_accounts, 0)
    others_shares = np.maximum(reference.release_moved - own_shares, 0.0)
    known = (accounts >= LEAST_ACCOUNTS) & (others >= 2 * LEAST_ACCOUNTS) & (others_shares >= LEAST_TRIED)
    for n in np.flatnonzero(known).tolist():
        count, share, usual = int(accounts[n]), float(shares[n] / accounts[n]), float(others_shares[n] / others[n])
        error = float(np.sqrt(max(0.0, float(squares[n]) / count - share**2) / (count - 1)))
        found = _read(
            "release_pivot",
            ramp(share - usual - 2 * error, 0.05, 0.3),
            share,
            usual,
            f"within 24 h of a new model its accounts moved {share:.0%} of their requests to it, others {usual:.0%}",
        )
        best = found if best.value is None or found.strength > best.strength else best
    return best


def _probing(group: Conduct, reference: Reference | None, time_ms: int) -> Reading:
    """The first accounts' first day, against now; an account's refusals count once, whatever its volume."""
    begin = float(np.quantile(group.told_ms, 0.1)) if len(group.told_ms) else float(time_ms)
    first = group.told_ms <= begin + DAY_MS / 2
    early, now = float(np.nansum(group.early_asked[first])), float(np.nansum(group.requests_24h))
    refused = _refused(group.early_refused[first], group.early_asked[first])
    later = _refused(group.refused_24h, group.requests_24h)
    known = reference is not None and time_ms - begin >= DAY_MS and min(early, now) >= 30
    if reference is None or not known or len(refused) < LEAST_ACCOUNTS or not len(later):
        return _unknown("probing", None, "its first day is not over, or too little was asked in it")
    share, share_now = float(refused.mean()), float(later.mean())
    growth = now / early
    return _read(
        "probing",
        ramp(share - reference.refused, 0.05, 0.3) * ramp(growth, 1.0, 3.0) * ramp(share_now, 0.9 * share, 0.4 * share)
        if share > 0
        else 0.0,
        share,
        reference.refused,
        f"on the first day {share:.0%} of what its first accounts asked was refused, {share_now:.0%} is now, and it "
        f"asks {growth:.1f} times as much",
    )


def _refused(refused: F32, asked: F32) -> F64:
    """Return the share of an account's requests that was refused, of those that asked."""
    known = (asked > 0) & ~np.isnan(refused)
    return refused[known].astype(np.float64) / asked[known]
