"""Durable state for a stage whose state is a function of its input: snapshot and journal.

The link and campaign stages keep large tables of which every step touches a little everywhere;
writing the touched rows would cost more than the work itself. Since such a stage is a
deterministic function of its input records, the input *is* the cheapest description of a change:

    rows in the store:   rules, snapshot/…  (the state after some step)  +  journal/000017, /000018, …

A commit appends the records absorbed since the last one; when the journal outgrows the snapshot
a new snapshot replaces both. Starting again is loading the snapshot and absorbing the journal,
with what that publishes thrown away: it was published already, or is in the outbox.

That holds where the rules (rules.py) are those by which the journal was absorbed. By others the same records may
bring something that was never published, as if a backup of the moment of the snapshot had been restored: such a
journal is `foreign`, the stage says what it brings, and the next commit is a snapshot.
"""

from __future__ import annotations

from typing import Final

from detector.stages import Journalled

SNAPSHOT_AT_LEAST_BYTES: Final = 4 << 20
_FULL: Final = 1 << 62  # bytes
_RULES_ROW: Final = "rules"


class Journal:
    """The rows of one partition of one stage."""

    def __init__(self, rules: bytes = b"") -> None:
        """Start with neither snapshot nor journal; `rules` are those by which records are absorbed."""
        self.foreign = False
        self._rules = rules
        self._stored_rules = b""
        self._pending: list[bytes] = []
        self._first_entry = self._entries = 0
        self._journal_bytes = 0
        self._snapshot: dict[str, int] = {}

    def append(self, record: bytes) -> None:
        """Remember one absorbed input record."""
        self._pending.append(record)

    def restore(self, rows: dict[str, bytes], state: Journalled) -> list[bytes]:
        """Load the snapshot among `rows` into `state`; return the journal's records in their order."""
        parts = {name.removeprefix("snapshot/"): value for name, value in rows.items() if name.startswith("snapshot/")}
        if parts:
            state.load(parts)
        self._snapshot = {f"snapshot/{name}": len(value) for name, value in parts.items()}
        names = sorted(name for name in rows if name.startswith("journal/"))
        self._stored_rules = rows.get(_RULES_ROW, b"")
        self.foreign = bool(names) and self._stored_rules != self._rules
        if names:
            self._first_entry = int(names[0].removeprefix("journal/"))
            self._entries = int(names[-1].removeprefix("journal/")) + 1
        records: list[bytes] = []
        for name in names:
            self._journal_bytes += len(rows[name])
            records.extend(_split(rows[name]))
        if self.foreign:
            self.begin_anew()
        return records

    def begin_anew(self) -> None:
        """Let the next commit be a snapshot: what comes is absorbed otherwise than what the journal holds."""
        self._journal_bytes = _FULL

    def rows(self, state: Journalled) -> dict[str, bytes | None]:
        """Return the rows that make the store hold all that was appended, and forget them."""
        if not self._pending and not self.foreign:
            return {}
        entry = _join(self._pending)
        self._pending = []
        rows: dict[str, bytes | None] = {} if self._stored_rules == self._rules else {_RULES_ROW: self._rules}
        self._stored_rules = self._rules
        most_bytes = max(SNAPSHOT_AT_LEAST_BYTES, 2 * sum(self._snapshot.values()))
        if self._journal_bytes + len(entry) <= most_bytes:
            rows[f"journal/{self._entries:09d}"] = entry
            self._entries += 1
            self._journal_bytes += len(entry)
            return rows
        self.foreign = False
        rows |= {f"journal/{number:09d}": None for number in range(self._first_entry, self._entries)}
        rows |= dict.fromkeys(self._snapshot)
        parts = {f"snapshot/{name}": value for name, value in state.dump().items()}
        rows |= parts
        self._snapshot = {name: len(value) for name, value in parts.items()}
        self._first_entry = self._entries
        self._journal_bytes = 0
        return rows


def _join(records: list[bytes]) -> bytes:
    return b"".join(len(record).to_bytes(4, "little") + record for record in records)


def _split(entry: bytes) -> list[bytes]:
    records, at = [], 0
    while at < len(entry):
        length = int.from_bytes(entry[at : at + 4], "little")
        records.append(entry[at + 4 : at + 4 + length])
        at += 4 + length
    return records
