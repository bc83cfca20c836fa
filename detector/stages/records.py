"""What the account system said of an account, and since when: records on a timeline of event time.

A record is known from its `effective_ms` on, in replay too; before, what it says is unknown. Records
come from the account topic (`learn`: whoever starts a stage feeds the compacted topic first) or inside
events (kept with the account's row; known from the step of their event at the earliest).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from detector.account import TIERS, AccountRecord, Status
from detector.campaign.link import links_of_record
from detector.campaign.observation import LinkKind
from detector.event import hash64

RECORDS_PER_ACCOUNT: Final = 8  # of each origin; the oldest are forgotten
STATUSES: Final = get_args(Status)
NEVER_MS: Final = 1 << 62

Timed = tuple[int, AccountRecord]
_tail = msgspec.msgpack.Decoder(list[tuple[int, AccountRecord]])


class Records:
    """The timelines of all accounts; of more than `most_accounts` on the topic, those heard of longest ago go."""

    def __init__(self, hash_key: int, most_accounts: int) -> None:
        """Know nothing yet."""
        self._hash_key = hash_key
        self._most_accounts = most_accounts
        self.dropped = 0
        self._learned: dict[str, list[Timed]] = {}
        self._inline: dict[int, list[Timed]] = {}
        self.links: dict[int, list[tuple[LinkKind, int]]] = {}  # of each row's record as it is known now

    def learn(self, record: AccountRecord) -> None:
        """Take a record of the account topic."""
        timeline = self._learned.pop(record.account_id, [])
        _insert(timeline, record.effective_ms, record)
        self._learned[record.account_id] = timeline
        if len(self._learned) > self._most_accounts:
            del self._learned[next(iter(self._learned))]
            self.dropped += 1

    def learn_inline(self, row: int, step_ms: int, record: AccountRecord) -> bool:
        """Take a record that came inside an event of the step that starts at `step_ms`; say whether it is news."""
        timeline = self._inline.setdefault(row, [])
        if any(known == record for _, known in timeline):
            return False
        _insert(timeline, max(step_ms, record.effective_ms), record)
        return True

    def apply(self, row: int, account_id: str, end_ms: int, known: npt.NDArray[Any]) -> None:
        """Write what is known before `end_ms` into `known[row]` (dtype activity.KNOWN)."""
        timeline = sorted(self._learned.get(account_id, []) + self._inline.get(row, []), key=lambda timed: timed[0])
        past = [record for since, record in timeline if since < end_ms]
        known["next_ms"][row] = min((since for since, _ in timeline if since >= end_ms), default=NEVER_MS)
        if not past:
            return
        record = past[-1]
        links = self.links[row] = links_of_record(record, self._hash_key)
        known["links"][row] = hash64(repr(links), 0) & 0xFFFFFFFF if links else 0
        known["created_ms"][row] = -1 if record.created_ms is None else record.created_ms
        known["status_ms"][row] = -1 if record.status_ms is None else record.status_ms
        known["org"][row] = hash64(record.org_id, self._hash_key) if record.org_id else 0
        known["quota"][row] = np.nan if record.quota_tokens_per_day is None else record.quota_tokens_per_day
        known["tier"][row] = TIERS.index(record.tier) if record.tier in TIERS else -1
        known["status"][row] = STATUSES.index(record.status) if record.status else -1

    def forget(self, rows: Iterable[int]) -> None:
        """The rows are other accounts' from now on."""
        for row in rows:
            self._inline.pop(row, None)
            self.links.pop(row, None)

    def dump(self, row: int) -> bytes:
        """Return the row's inline records as bytes; none are no bytes."""
        timeline = self._inline.get(row)
        return msgspec.msgpack.encode(timeline) if timeline else b""

    def load(self, row: int, data: bytes) -> None:
        """Take back what `dump` gave."""
        if data:
            self._inline[row] = _tail.decode(data)


def _insert(timeline: list[Timed], since_ms: int, record: AccountRecord) -> None:
    timeline.append((since_ms, record))
    timeline.sort(key=lambda timed: timed[0])
    del timeline[:-RECORDS_PER_ACCOUNT]
