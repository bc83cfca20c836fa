"""What a run left behind, beside what an undisturbed replay of the same stream says.

    stream ─► replay ───────────────────────────────────► findings   accounts   parts
    findings topic, dead letters, rows in the store ────► findings   accounts   parts

A stage writes an account's row when the account was active; that its step was closed since, the next owner finds
out anew. So rows are compared as an owner has them after it took them over and closed what is open: of every
account, to the bit. `parts` is everything else that is durable: what the account partitions still have to say, and
the whole state of the link and campaign partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from detector.account import AccountRecord
from detector.config import Config
from detector.decoders import decode, repartitioned
from detector.finding import Finding
from detector.pipeline import Pipeline
from detector.stages.accounts import AccountStage
from detector.stages.issuing import CampaignStage
from detector.stages.links import LinkStage
from detector.stores import Message, Store
from detector.window import activity, rest
from tests.chaos.stream import Stream

_finding = msgspec.json.Decoder(Finding)
_SHOWN: Final = 5


@dataclass(slots=True)
class Outcome:
    """What is known at the end: findings in their order, each account's row at rest, requests and standing verdict."""

    findings: list[bytes]
    accounts: dict[str, bytes]
    requests: dict[str, int]
    parts: dict[str, bytes]
    dead: set[bytes] = field(default_factory=set)
    verdicts: dict[str, bytes] = field(default_factory=dict)
    told_again: int = 0  # findings that were on their topic before, byte for byte: readers know them by id and seq


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a disturbed run differs from an undisturbed one: not at all, if it is `well`.

    `lost` and `twice` count events, findings and dead letters; `differences` says the first few of each sort.
    """

    findings_equal: bool
    accounts_equal: bool
    lost: int
    twice: int
    differences: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether everything is as it should be."""
        return self.findings_equal and self.accounts_equal and not (self.lost or self.twice or self.differences)


def expected(stream: Stream, config: Config) -> Outcome:
    """Return what an undisturbed replay of the stream ends with: `runtime.replay`, with a look at its pipeline."""
    settings = config.pipeline()
    pipeline = Pipeline(settings)
    pipeline.learn(stream.accounts)
    found: list[Message] = []
    for piece in stream.pieces():
        batch = decode(piece, 0, hash_key=settings.accounts.hash_key).batch
        if len(batch):
            found += pipeline.feed(repartitioned(batch, settings.links.sources))
    assert pipeline.accounts.counts["events"] == stream.events
    assert pipeline.accounts.counts["duplicate"] >= stream.twice, "else a repeat proves nothing"
    parts = _parts(pipeline.links, pipeline.campaigns)
    rows, requests = _accounts(pipeline.accounts, parts)
    findings = [one.value for one in found if one.topic == "findings" and one.value is not None]
    verdicts = standing((one.key, one.value) for one in found if one.topic == "verdicts")
    return Outcome(findings, rows, requests, parts, set(stream.bad), verdicts)


def each_once(told: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Return findings in the order in which they were told first, and how many repeats there were beside them.

    A repeat repeats its bytes. What has the id and seq of another and other bytes is a finding of its own.
    """
    found: dict[bytes, None] = {}
    told_again = 0
    for value in told:
        told_again += value in found
        found.setdefault(value)
    return list(found), told_again


def standing(told: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes]:
    """Return what a reader of the verdicts topic knows at its end, who keeps what came last of each account."""
    known: dict[str, bytes] = {}
    for account_id, value in told:
        if value is None:
            known.pop(account_id, None)
        else:
            known[account_id] = value
    return known


async def stored(store: Store, records: Iterable[AccountRecord], config: Config) -> Outcome:
    """Return what the rows of the last commits say; findings and dead letters are in Kafka."""
    settings = config.pipeline()
    accounts, links = AccountStage(settings.accounts, durable=False), LinkStage(settings.links, durable=False)
    campaigns = CampaignStage(settings.campaigns, settings.verdicts, durable=False)
    accounts.learn(records)
    for stage, partitions in (
        (accounts, config.topics.partitions),
        (links, config.topics.link_partitions),
        (campaigns, 1),
    ):
        for partition in range(partitions):
            stage.assign(partition, await store.rows(stage.name, partition))
    parts = _parts(links, campaigns)
    rows, requests = _accounts(accounts, parts)
    return Outcome([], rows, requests, parts)


def _accounts(stage: AccountStage, parts: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, int]]:
    """Close what is open; add what that says to `parts`, and return rows and numbers of requests by account."""
    partitions = sorted(stage._partitions)
    clocks = {partition: stage.clock_ms(partition) for partition in partitions}
    stage.finish()
    rows: dict[str, bytes] = {}
    requests: dict[str, int] = {}
    for partition in partitions:
        parts[f"accounts:{partition} clock"] = b"%d" % clocks[partition]
        parts[f"accounts:{partition} open step"] = _joined(stage.drain(partition)[1])
        known = stage._partitions[partition].rows
        at = np.fromiter(known.values(), np.int64, len(known))
        table = activity.rows_of(stage._table, at)
        tails = [stage._records.dump(row) for row in at.tolist()]
        rows.update(zip(known, rest.encode(table, tails), strict=True))
        requests.update(zip(known, table["requests"].astype(np.int64).tolist(), strict=True))
    return rows, requests


def _parts(links: LinkStage, campaigns: CampaignStage) -> dict[str, bytes]:
    named = [(f"links:{number}", one) for number, one in links._partitions.items()]
    named += [(f"campaigns:{number}", one) for number, one in campaigns._state.items()]
    return {f"{name} {part}": value for name, state in named for part, value in state.dump().items()}


def _joined(messages: Sequence[Message]) -> bytes:
    return msgspec.msgpack.encode(messages)


def compared(wanted: Outcome, found: Outcome) -> Verdict:
    """Say how `found` differs from `wanted`."""
    missing, strange = _apart(wanted.findings, found.findings)
    differences = [f"finding lost: {_named(one)}" for one in missing[:_SHOWN]]
    differences += [f"finding that a replay does not have: {_named(one)}" for one in strange[:_SHOWN]]
    if not missing and not strange and wanted.findings != found.findings:
        differences.append("findings in another order")
    findings_equal = wanted.findings == found.findings
    names = wanted.accounts.keys() | found.accounts.keys()
    other = sorted(name for name in names if wanted.accounts.get(name) != found.accounts.get(name))
    differences += [
        f"account {name}: {found.requests.get(name, 0)} requests, not {wanted.requests.get(name, 0)}"
        f"{_columns(wanted.accounts.get(name), found.accounts.get(name))}"
        for name in other[:_SHOWN]
    ]
    parts = wanted.parts.keys() | found.parts.keys()
    differences += [f"{name} differs" for name in sorted(parts) if wanted.parts.get(name) != found.parts.get(name)]
    accounts = sorted(wanted.verdicts.keys() | found.verdicts.keys())
    apart = [name for name in accounts if wanted.verdicts.get(name) != found.verdicts.get(name)]
    differences += [f"another verdict on {name}" for name in apart[:_SHOWN]]
    surplus = [found.requests.get(name, 0) - wanted.requests.get(name, 0) for name in names]
    buried, unburied = found.dead - wanted.dead, wanted.dead - found.dead
    differences += [f"dead letter lost: {one!r}" for one in sorted(unburied)[:_SHOWN]]
    differences += [f"dead letter of nothing that was sent: {one!r}" for one in sorted(buried)[:_SHOWN]]
    return Verdict(
        findings_equal=findings_equal,
        accounts_equal=not other,
        lost=sum(-one for one in surplus if one < 0) + len(missing) + len(unburied),
        twice=sum(one for one in surplus if one > 0) + len(strange) + len(buried),
        differences=tuple(differences),
    )


def _apart(wanted: Sequence[bytes], found: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    mine, theirs = set(found), set(wanted)
    return [one for one in wanted if one not in mine], [one for one in found if one not in theirs]


def _named(value: bytes) -> str:
    one = _finding.decode(value)
    return f"{one.finding_id} seq {one.seq} ({one.kind} {one.subject} {one.state} at {one.time_ms})"


def _columns(wanted: bytes | None, found: bytes | None) -> str:
    """Name the columns of a row that differ."""
    if wanted is None or found is None:
        return ""
    (one, two), tails = rest.decode([wanted, found])
    names = [name for name in activity.ROW.names or () if one[name].tobytes() != two[name].tobytes()]
    return f", other {', '.join([*names, *(['records'] if tails[0] != tails[1] else [])])}"
