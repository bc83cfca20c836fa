"""Backtest: a recorded stream and its labels through the same pipeline, measured by the score card.

    lines ──► ledger (account, time, harvest?) ──► score, twice over
      │  └──► baselines ──► flags ──┐
      └─────► replay ──► findings ──┴──► one ScoreCard each

Everything reads the stream once, together. The exchanges that the score needs a second time go to an unnamed
temporary file, 13 bytes each, so that memory is per account and the figures are exact however
late a finding names an earlier time.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np

from detector.account import AccountRecord
from detector.baselines import BASELINES, Baseline, Flag, Reader, RequestReader, Requests
from detector.errors import InputError
from detector.finding import Finding
from detector.pipeline import PipelineSettings
from detector.runtime.files import lines_of
from detector.runtime.replay import replay
from detector.scorecard import Exchanges, Flags, ScoreCard, Truth, TruthRecord, score

OURS: Final = "detector"
OURS_ALONE: Final = "detector, account findings only"

Chunks = Iterable[list[bytes]]
Detect = Callable[[Chunks], Iterable[Finding]]

_ROW: Final = np.dtype([("account", "<i4"), ("time_ms", "<i8"), ("harvest", "i1")])
_ROWS_AT_ONCE: Final = 1_000_000


def read_truth(path: Path) -> list[TruthRecord]:
    """Return the labels of a file of NDJSON; raise InputError naming the line that is none."""
    decode = msgspec.json.Decoder(TruthRecord).decode
    records = []
    for number, line in lines_of(str(path)):
        try:
            records.append(decode(line))
        except msgspec.DecodeError as error:
            raise InputError(f"{path}:{number}: not a ground truth record: {error}") from None
    if not records:
        raise InputError(f"{path}: no ground truth records")
    return records


def evaluate(
    events: Chunks, accounts: Iterable[AccountRecord], truth: Sequence[TruthRecord], settings: PipelineSettings
) -> ScoreCard:
    """Return the detector's card on lines of events, in arrival order, however cut into chunks."""
    return compare(events, truth, lambda chunks: replay(chunks, accounts, settings), baselines=())[0]


def compare(
    events: Chunks,
    truth: Sequence[TruthRecord],
    detect: Detect,
    *,
    baselines: Sequence[Callable[[], Baseline]] = BASELINES,
    reader: Reader | None = None,
    scenario: str = "",
    seed: int = 0,
) -> list[ScoreCard]:
    """Return the cards of the detector, of its account findings alone, and of each baseline.

    `detect` takes the chunks and gives the findings in order, reading on as it is asked. The
    detector's own speed is measured without the time of the baselines; its memory only where there are
    none, because they share the process. `reader` reads each chunk for the cards, where that is done elsewhere.
    """
    with tempfile.TemporaryFile(prefix="detector-evaluate-") as ledger:
        reader = reader or RequestReader(text=bool(baselines))
        watch = _Watch(events, reader, Truth(truth), [make() for make in baselines], ledger)
        ours, alone = Flags(watch.truth), Flags(watch.truth)
        memory, started = _peak_bytes(), time.perf_counter()
        for finding in detect(watch):
            ours.absorb(finding)
            if finding.kind != "campaign":
                alone.absorb(finding)
        for _ in watch:  # what a detector that stopped early left unread still counts
            pass
        seconds = time.perf_counter() - started - watch.seconds
        grown = _peak_bytes() - memory
        watch.finish()

        def card(name: str, flags: Flags) -> ScoreCard:
            scored = score(name, watch.account_ids, watch.exchanges, watch.truth, flags)
            return msgspec.structs.replace(scored, scenario=scenario, seed=seed)

        first = card(OURS, ours)
        if not first.events:
            raise InputError("the stream holds no usable event")
        measured = msgspec.structs.replace(
            first,
            events_per_second=first.events / max(seconds, 1e-9),
            bytes_per_account=None if baselines else grown / first.accounts,
        )
        others = [card(b.name, f) for b, f in zip(watch.baselines, watch.flags, strict=True)]
        return [measured, card(OURS_ALONE, alone), *others]


class _Watch:
    """The chunks, noting what the score cards need as they pass."""

    def __init__(
        self, events: Chunks, reader: Reader, truth: Truth, baselines: Sequence[Baseline], ledger: IO[bytes]
    ) -> None:
        self.truth = truth
        self.baselines = baselines
        self.flags = [Flags(truth) for _ in baselines]
        self.seconds = 0.0
        self._events = iter(events)
        self._reader = reader
        self._ledger = ledger

    @property
    def account_ids(self) -> list[str]:
        return self._reader.account_ids

    def __iter__(self) -> Iterator[list[bytes]]:
        for chunk in self._events:
            started = time.perf_counter()
            requests = self._reader.read(chunk)
            self._keep(requests)
            for baseline, flags in zip(self.baselines, self.flags, strict=True):
                self._raise(flags, baseline.name, baseline.absorb(requests))
            self.seconds += time.perf_counter() - started
            yield chunk

    def finish(self) -> None:
        for baseline, flags in zip(self.baselines, self.flags, strict=True):
            self._raise(flags, baseline.name, baseline.finish())

    def exchanges(self) -> Iterator[Exchanges]:
        self._ledger.seek(0)
        while block := self._ledger.read(_ROWS_AT_ONCE * _ROW.itemsize):
            rows = np.frombuffer(block, _ROW)
            yield Exchanges(rows["account"].copy(), rows["time_ms"].copy(), rows["harvest"].copy())

    def _keep(self, requests: Requests) -> None:
        rows = np.empty(len(requests), _ROW)
        rows["account"], rows["time_ms"], rows["harvest"] = requests.account, requests.time_ms, requests.harvest
        self._ledger.write(rows.tobytes())

    def _raise(self, flags: Flags, name: str, raised: Sequence[Flag]) -> None:
        for flag in raised:
            added = [self._reader.account_ids[a] for a in flag.accounts]
            flags.add(flag.group or f"{name}-{added[0]}", flag.time_ms, added, group=flag.group is not None)


def _peak_bytes() -> int:
    """Return the most memory that this process has held, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
