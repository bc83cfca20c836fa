"""Records that wait until every source has closed their step: how a stage with several sources tells time.

    source 0   ──7───8───9──►                a step is over when every source has closed it, and its
    source 1   ──7───8──►                    records are given up together, whatever order they came in
                     └ 8 is over; 9 waits

A source that is far behind the others would make them wait in memory without end. Beyond a bound of bytes
the earliest steps are over although it has not closed them; what it says of them comes with the first
step that is still open. That bound is the one thing that lets the order of arrival show.
"""

from __future__ import annotations


class Waiting:
    """The records of one partition's input that wait, and which steps are over."""

    def __init__(self, sources: int, most_bytes: int) -> None:
        """Wait for `sources` sources, with at most `most_bytes` of records."""
        self._sources = sources
        self._most_bytes = most_bytes
        self.bytes_held = 0
        self._records: dict[int, list[bytes]] = {}
        self.closed: dict[int, int] = {}  # by source
        self.done = -1
        self.forced = 0  # steps that were over before every source had closed them

    def arrive(self, source: int, step: int, record: bytes | None) -> list[tuple[int, list[bytes]]]:
        """Take a record, None when the source has only closed the step; return the steps that are over, with records.

        `done` is the last step that is over, also when nothing was said of it.
        """
        self.closed[source] = step
        if record is not None:
            self._records.setdefault(max(step, self.done + 1), []).append(record)
            self.bytes_held += len(record)
        ready = min(self.closed.values()) if len(self.closed) >= self._sources else self.done
        if self.bytes_held > self._most_bytes:
            ready = max(ready, self._forced())
        steps = sorted(step for step in self._records if step <= ready)
        self.done = max(self.done, ready)
        return [(step, self._taken(step)) for step in steps]

    def _forced(self) -> int:
        """Return the step up to which half of the bytes go."""
        held, step = self.bytes_held, self.done
        for step in sorted(self._records):
            held -= sum(map(len, self._records[step]))
            self.forced += 1
            if 2 * held <= self._most_bytes:
                break
        return step

    def _taken(self, step: int) -> list[bytes]:
        records = self._records.pop(step)
        self.bytes_held -= sum(map(len, records))
        return records

    def dump(self) -> tuple[list[tuple[int, int]], int, list[tuple[int, list[bytes]]]]:
        """Return everything; equal states give equal values, whatever order records came in."""
        records = sorted((step, sorted(values)) for step, values in self._records.items())
        return sorted(self.closed.items()), self.done, records

    def load(self, closed: list[tuple[int, int]], done: int, records: list[tuple[int, list[bytes]]]) -> None:
        """Become the dumped state."""
        self.closed, self.done, self._records = dict(closed), done, dict(records)
        self.bytes_held = sum(len(value) for values in self._records.values() for value in values)
