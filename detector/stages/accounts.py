"""Stage 1, keyed by account: EventBatch -> account windows -> judgements -> Observations.

    events ─► clock, redelivered ids ─► cells (account, step, minute)
                                          │ round k: the k-th cell of every account
                                          ├─► accounts whose step is over are judged as of its end, then
                                          └─► the cell is added
    partition's clock passes a step ─► what its accounts did, shared and scored ─► one record per link partition

A *step* is `cadence_ms` of the partition's clock. An event belongs to the step of the clock at its
arrival, whatever its own time, so that a step is over for good when the clock passes its end. An
account is judged at the end of a step in which it was active, on its own row and records alone;
that is as fine as judging needs to be, for judgements leave with the step's record. So the cut of
the stream into batches cannot show, and a batch that spans many steps is still judged a whole
column of accounts at a time.

Durable rows of a partition: `a<account id>` (window/rest), `p` (clock, step), `i<generation>.<n>` (recent
event ids) and `o<n>` (pairs of the open step); the last two are written once and deleted whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector import score
from detector.account import AccountRecord
from detector.campaign.link import links_of, mix
from detector.campaign.observation import CAPABILITIES, LinkKind
from detector.event import F32, I64, U64, EventBatch, Mask, hash64
from detector.signals import SIGNALS, Signal
from detector.signals.canary import Canary
from detector.stages.forgetting import Forgetting
from detector.stages.pending import Pending
from detector.stages.records import Records
from detector.stages.steps import CLOSED, MODEL, PAIR, Rows, Sentences, Verdicts, joined, messages, nothing
from detector.stores import Message, read_back
from detector.window import activity, mixture, rest
from detector.window.clock import UNSET, PartitionClock
from detector.window.columns import AccountColumns, Column
from detector.window.recent import RecentIds

OTHER_MODEL: Final = "other"
_FIRST_CAPACITY: Final = 1024
_NO_PAIRS: Final = np.zeros(0, PAIR)
_COUNTED: Final = (
    *("events", "duplicate", "late", "ahead", "judged", "steps", "ids_passed_over", "models_dropped", "pairs_dropped"),
    "forgotten",
)
_FACTS_READ: Final = (
    ("requests_24h", Column.REQUESTS_24H),
    ("active_hours_24h", Column.ACTIVE_HOURS_24H),
    ("refused_24h", Column.REFUSED_24H),
    ("single_turn_24h", Column.SINGLE_TURN_24H),
)
_FACTS_KEPT: Final = (
    "first_seen_ms",
    "prefix",
    "requests",
    "output_tokens",
    "capabilities",
    "labels",
    "score",
    "requests_24h",
    "active_hours_24h",
    "refused_24h",
    "single_turn_24h",
)


_head: Final = msgspec.msgpack.Decoder(tuple[tuple[int, int, int, int], int, int, list[tuple[int, int]], int])


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Bounds and levels of the account stage."""

    link_partitions: int = 8
    cadence_ms: int = 60_000
    lateness_ms: int = 600_000
    hash_key: int = 0
    raise_at: float = 0.4  # an account's score is told from here on ...
    clear_at: float = 0.25  # ... until it falls below this
    change: float = 0.1  # and in between whenever it moved by so much
    growth: float = 0.05  # an account is judged again when its requests grew by this share ...
    judge_again_ms: int = 1_800_000  # ... or after so long, at the end of a step in which it was active
    reasons: int = 6  # of the readings of an account that is told, the strongest
    # event ids per partition and twenty minutes, kept for an hour; 16 to 32 bytes each
    ids_per_generation: int = 4_000_000
    hot_accounts: int = 1_000_000  # accounts in memory; the coldest wait in the store
    forget_days: float = 90.0  # an account without a request for so long is as if it never was, and leaves the store
    most_records: int = 4_000_000  # accounts of which the account topic's word is kept; those told of longest ago go
    most_models: int = 1_000  # names of models told of in a step of a partition; requests to others count as `other`
    # different (account, link, text) told of in a step of a partition, for each link partition; of more, a sample of
    # the texts. Each takes some 300 bytes of memory for a minute, and 53 of the 16 MB that a record may have
    most_pairs: int = 250_000
    signals: tuple[Signal, ...] = SIGNALS


class _Partition:
    """What is kept per partition beside its accounts."""

    def __init__(self, settings: AccountSettings) -> None:
        self.rows: dict[str, int] = {}
        self.clock = PartitionClock()
        self.recent = RecentIds(settings.ids_per_generation)
        self.pending = Pending(settings.most_pairs * settings.link_partitions)
        self.step = UNSET  # of the clock
        self.told = UNSET  # the last step announced
        self.outbox: list[Message] = []
        self.deleted: list[str] = []
        self.id_chunks: dict[int, int] = {}
        self.changed = False


class AccountStage:
    """The account partitions this worker owns; a `stages.Stage`."""

    name = "accounts"

    def __init__(self, settings: AccountSettings, *, durable: bool = True) -> None:
        """`durable=False` gives no rows to a store: a replay starts over instead."""
        self._settings = settings
        self._durable = durable
        self._forgetting = Forgetting(settings.forget_days, settings.cadence_ms)
        self._signals = settings.signals
        self._signal_names = [signal.name for signal in self._signals]
        self._partitions: dict[int, _Partition] = {}
        self._models: dict[int, str] = {}
        self._records = Records(settings.hash_key, settings.most_records)
        self._table = np.empty(_FIRST_CAPACITY, activity.ROW)
        self._known = np.empty(_FIRST_CAPACITY, activity.KNOWN)
        self._partition = np.full(_FIRST_CAPACITY, -1, np.int16)
        self._account = np.zeros(_FIRST_CAPACITY, np.uint64)
        self._dirty = np.zeros(_FIRST_CAPACITY, bool)
        self._is_open = np.zeros(_FIRST_CAPACITY, bool)
        self._ids: list[str] = []
        self._free: list[int] = []
        self._open: I64 = np.zeros(0, np.int64)
        self._facts: list[npt.NDArray[Any]] = []
        self._verdicts: list[Verdicts] = []
        self._signups: list[npt.NDArray[Any]] = []
        self.counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        self.unavailable = dict.fromkeys(self._signal_names, 0)

    # -- ownership --------------------------------------------------------------------------

    def assign(self, partition: int, rows: dict[str, bytes]) -> None:
        """Start (again) from the rows of the last commit; empty: from nothing."""
        self.revoke(partition)
        state = self._partitions[partition] = _Partition(self._settings)
        self.adopt(partition, rows)
        with read_back(f"accounts:{partition}"):
            if "p" in rows:
                clock, state.step, state.told, id_chunks, state.pending.chunks = _head.decode(rows["p"])
                state.clock = PartitionClock(*clock)
                state.id_chunks = dict(id_chunks)
            for key in sorted(rows):
                if key[:1] == "i":
                    state.recent.restore(int(key[1:].split(".")[0]), rows[key])
                elif key[:1] == "o":
                    state.pending.restore(rows[key], state.rows, self._models)

    def revoke(self, partition: int) -> None:
        """Forget the partition; another worker owns it."""
        state = self._partitions.pop(partition, None)
        if state is not None:
            self._release(list(state.rows.values()))

    def wanted(self, batch: EventBatch) -> dict[int, list[str]]:
        """Return by partition the keys of the rows that `batch` needs and that are not in memory."""
        missing = {}
        for partition, events in _by_partition(batch.partition):
            rows = self._partitions[partition].rows
            ids = [batch.account_ids[a] for a in np.unique(batch.account[events]).tolist()]
            keys = [f"a{account_id}" for account_id in ids if account_id not in rows]
            if keys:
                missing[partition] = keys
        return missing

    def adopt(self, partition: int, rows: dict[str, bytes]) -> None:
        """Take account rows that the store had; those of other kinds are passed over."""
        keys = sorted(key for key in rows if key[:1] == "a")
        with read_back(f"accounts:{partition}"):
            decoded, tails = rest.decode([rows[key] for key in keys])
            at = self._new_rows(partition, [key[1:] for key in keys])
            self._table[at] = decoded
            for row, tail in zip(at.tolist(), tails, strict=True):
                self._records.load(row, tail)
        opened = at[decoded["open_step"] >= 0]
        self._open = np.concatenate([self._open, opened])
        self._is_open[opened] = True

    def expire(self, partition: int, rows: dict[str, bytes]) -> None:
        """Look at some rows of the store: the next drain deletes those of accounts that are to be forgotten.

        When such an account comes back it begins anew whether its row was deleted or not, so when it is
        looked at changes nothing but the room that the store takes.
        """
        state = self._partitions[partition]
        keys = sorted(key for key in rows if key[:1] == "a")
        held = np.array([state.rows.get(key[1:], -1) for key in keys], np.int64)
        with read_back(f"accounts:{partition}"):
            stored, _ = rest.decode([rows[key] for key in keys])
        every = np.arange(len(stored))
        seen_ms = self._forgetting.seen_ms
        seen = np.where(held >= 0, seen_ms(self._table, held), seen_ms(stored, every))
        busy = (held >= 0) & (self._dirty[held] | self._is_open[held])
        old = self._forgetting.long_ago(seen, state.clock.clock_ms) & ~busy
        self._release(held[old & (held >= 0)].tolist())
        gone = [keys[place] for place in np.flatnonzero(old).tolist()]
        state.deleted += gone
        state.changed |= bool(gone)
        self.counts["forgotten"] += len(gone)

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:
        """Return the rows changed since the last drain (None: deleted) and what to publish, and forget both.

        Rows beyond `hot_accounts` leave memory here, so the commit must succeed before the next batch is absorbed.
        """
        state = self._partitions[partition]
        outbox, state.outbox = state.outbox, []
        if not self._durable or not state.changed:
            return {}, outbox
        rows: dict[str, bytes | None] = dict.fromkeys(state.deleted)
        state.deleted, state.changed = [], False
        dirty = np.flatnonzero(self._dirty)  # few of a million: of these alone the partition is looked at
        dirty = dirty[self._partition[dirty] == partition]
        tails = [self._records.dump(row) for row in dirty.tolist()]
        encoded = rest.encode(activity.rows_of(self._table, dirty), tails)
        rows |= {f"a{self._ids[row]}": value for row, value in zip(dirty.tolist(), encoded, strict=True)}
        self._dirty[dirty] = False
        for generation in [g for g in state.id_chunks if g not in state.recent.generations()]:
            rows |= {f"i{generation}.{n}": None for n in range(state.id_chunks.pop(generation))}
        for generation, ids in state.recent.drain().items():
            number = state.id_chunks.get(generation, 0)
            rows[f"i{generation}.{number}"] = ids
            state.id_chunks[generation] = number + 1
        chunk = state.pending.drain(self._ids, self._models)
        if chunk is not None:
            rows[f"o{state.pending.chunks}"] = chunk
            state.pending.chunks += 1
        clock = tuple(getattr(state.clock, field.name) for field in fields(state.clock))
        rows["p"] = msgspec.msgpack.encode(
            (clock, state.step, state.told, sorted(state.id_chunks.items()), state.pending.chunks)
        )
        self._evict()
        return rows, outbox

    def waiting(self, partition: int) -> bool:
        """Return whether a drain would give something to publish."""
        return bool(self._partitions[partition].outbox)

    def clock_ms(self, partition: int) -> int:
        """Return the partition's clock; -1 before its first event."""
        return self._partitions[partition].clock.clock_ms

    @property
    def records_dropped(self) -> int:
        """Accounts whose records were forgotten, because there were more than `most_records`."""
        return self._records.dropped

    def sizes(self) -> dict[str, int]:
        """Return what the partitions hold in memory: accounts."""
        return {"accounts": len(self._ids) - len(self._free)}

    def _evict(self) -> None:
        excess = len(self._ids) - len(self._free) - self._settings.hot_accounts
        if excess > 0:
            used = self._partition[: len(self._ids)] >= 0
            idle = np.flatnonzero(used & ~self._dirty[: len(used)] & (self._table["open_step"][: len(used)] < 0))
            oldest = np.argsort(self._table["last_ms"][idle], kind="stable")[:excess]
            self._release(idle[oldest].tolist())

    def _release(self, rows: list[int]) -> None:
        for row in rows:
            state = self._partitions.get(int(self._partition[row]))
            if state is not None:
                del state.rows[self._ids[row]]
        self._records.forget(rows)
        self._partition[rows] = -1
        self._dirty[rows] = self._is_open[rows] = False
        self._open = self._open[self._partition[self._open] >= 0]
        self._free.extend(rows)

    def _new_rows(self, partition: int, ids: list[str]) -> I64:
        """Give each id (distinct, not in memory) an empty row."""
        state = self._partitions[partition]
        reused = [self._free.pop() for _ in range(min(len(ids), len(self._free)))]
        start = len(self._ids)
        rows = np.array(reused + list(range(start, start + len(ids) - len(reused))), np.int64)
        self._ids.extend([""] * (len(ids) - len(reused)))
        if len(self._ids) > len(self._table):
            capacity = max(2 * len(self._table), len(self._ids))
            self._table, self._known = (
                activity.grown(self._table, start, capacity),
                activity.grown(self._known, start, capacity),
            )
            more = capacity - len(self._partition)
            self._partition = np.concatenate([self._partition, np.full(more, -1, np.int16)])
            self._account = np.concatenate([self._account, np.zeros(more, np.uint64)])
            self._dirty = np.concatenate([self._dirty, np.zeros(more, bool)])
            self._is_open = np.concatenate([self._is_open, np.zeros(more, bool)])
        for row, account_id in zip(rows.tolist(), ids, strict=True):
            state.rows[account_id] = row
            self._ids[row] = account_id
            self._account[row] = hash64(account_id, self._settings.hash_key)
        self._empty(rows)
        self._partition[rows] = partition
        return rows

    def _empty(self, rows: I64) -> None:
        """Let nothing be known of the accounts of these rows."""
        plain = f"V{activity.ROW.itemsize}"
        self._table.view(plain)[rows] = activity.fresh(1).view(plain)
        known = np.zeros(1, activity.KNOWN)
        for name in ("created_ms", "status_ms", "tier", "status"):
            known[name] = -1
        known["quota"] = np.nan
        self._known[rows] = known

    # -- input ------------------------------------------------------------------------------

    def learn(self, records: Iterable[AccountRecord]) -> None:
        """Take records of the account topic; each takes effect at its `effective_ms` in event time."""
        for record in records:
            self._records.learn(record)
            for state in self._partitions.values():
                row = state.rows.get(record.account_id)
                if row is not None:
                    self._known["next_ms"][row] = 0

    def absorb(self, batch: EventBatch) -> None:
        """Take a batch, in the order of each partition; its partitions are assigned and its rows in memory."""
        if not len(batch):
            return
        rows = np.empty(len(batch), np.int64)
        clock = np.empty(len(batch), np.int64)
        ahead, seen = np.zeros(len(batch), bool), np.zeros(len(batch), bool)
        for partition, events in _by_partition(batch.partition):
            state = self._partitions[partition]
            state.changed = True
            rows[events] = self._rows_of(partition, batch, events)
            clock[events], ahead[events] = state.clock.arrive(batch.time_ms[events], self._account[rows[events]])
            before = state.recent.passed_over
            seen[events] = state.recent.arrive(batch.event_id[events], clock[events])
            self.counts["ids_passed_over"] += state.recent.passed_over - before
        self.counts["events"] += len(batch)
        self.counts["ahead"] += int(ahead.sum())
        self.counts["duplicate"] += int(seen.sum())
        for part in self._forgetting.parts(batch.partition, clock):
            step = clock[part] // self._settings.cadence_ms
            ticks = {
                partition: step[events][np.diff(step[events], prepend=-2) != 0].tolist()
                for partition, events in _by_partition(batch.partition[part])
            }
            kept = part[~seen[part]]
            mine = batch if len(kept) == len(batch) else batch.taken(kept)
            self._advance(ticks, self._count(mine, rows[kept], clock[kept], ahead[kept]))

    def advance(self, partition: int, clock_ms: int) -> None:
        """Take the owner's word that nothing older than `clock_ms` will come: the partition is idle until then."""
        state = self._partitions[partition]
        state.changed = True
        state.clock.clock_ms = max(state.clock.clock_ms, clock_ms)
        self._advance({partition: [state.clock.clock_ms // self._settings.cadence_ms]}, {})

    def finish(self) -> None:
        """Close every open step, as if the clocks of all partitions had passed the last of them."""
        end = max((state.step for state in self._partitions.values()), default=UNSET) + 1
        if end > 0:
            for partition in sorted(self._partitions):
                self.advance(partition, end * self._settings.cadence_ms)

    def _rows_of(self, partition: int, batch: EventBatch, events: I64) -> I64:
        known = self._partitions[partition].rows
        account = batch.account[events]
        place = np.full(len(batch.account_ids), -1, np.int64)
        place[account] = 0
        used = np.flatnonzero(place == 0)
        ids = [batch.account_ids[a] for a in used.tolist()]
        rows = [known.get(account_id, -1) for account_id in ids]
        new = [i for i, row in enumerate(rows) if row < 0]
        if new:
            for i, row in zip(new, self._new_rows(partition, [ids[i] for i in new]).tolist(), strict=True):
                rows[i] = row
        place[used] = rows
        return place[account]

    def _count(self, batch: EventBatch, rows: I64, clock: I64, ahead: Mask) -> dict[int, Rows]:
        """Add a batch without duplicates to the windows, in rounds; return by partition what it shares."""
        if not len(batch):
            return {}
        back = self._forgetting.back(self._table, rows, clock)
        self._close(back[self._table["open_step"][back] >= 0])
        self._records.forget(back.tolist())
        self._empty(back)
        step = clock // self._settings.cadence_ms
        at_ms = np.where(ahead, clock, batch.time_ms)
        late = at_ms < clock - self._settings.lateness_ms
        self.counts["late"] += int(late.sum())
        for event, record in batch.records:
            row = int(rows[event])
            if self._records.learn_inline(row, int(step[event]) * self._settings.cadence_ms, record):
                self._known["next_ms"][row] = 0
        cells = activity.cells_of(batch, self._table, rows, step, at_ms, clock, late, _capability(batch))
        heads = np.flatnonzero(np.concatenate([[True], cells.row[1:] != cells.row[:-1]]))
        rank = np.arange(len(cells.row)) - np.repeat(heads, np.diff(np.append(heads, len(cells.row))))
        order = np.argsort(rank, kind="stable")
        bounds = np.cumsum(np.bincount(rank)).tolist()
        for start, end in zip([0, *bounds], bounds, strict=False):
            chosen = order[start:end]
            among = cells.row[chosen]
            opened = self._table["open_step"][among]
            self._close(among[(opened >= 0) & (opened < cells.step[chosen])])
            activity.add(self._table, cells, chosen)
        active = cells.row[heads]
        self._open = np.concatenate([self._open, active[~self._is_open[active]]])
        self._is_open[active] = self._dirty[active] = True
        return self._pairs(batch, rows, step, at_ms, clock)

    def _named(self, batch: EventBatch, step: I64) -> U64:
        """Return the value under which each event's model is counted: its own, or that of `other` beyond `most_models`.

        Names are kept until their step is over. That they are few is the usual case, and cheap to see.
        """
        values = np.array([hash64(model, self._settings.hash_key) for model in batch.models], np.uint64)
        named = values[batch.model]
        known = dict(zip(values.tolist(), batch.models, strict=True))
        if len(self._models.keys() | known.keys()) <= self._settings.most_models:
            self._models |= known
            return named
        other = hash64(OTHER_MODEL, self._settings.hash_key)
        for partition, events in _by_partition(batch.partition):
            state = self._partitions[partition]
            for start, end in pairwise(np.flatnonzero(np.diff(step[events], prepend=-1, append=-1)).tolist()):
                mine = events[start:end]
                told = state.pending.models() if step[mine[0]] == state.step else set()
                told.add(other)
                distinct, first = np.unique(named[mine], return_index=True)
                new = [value for value in distinct[np.argsort(first)].tolist() if value not in told]
                told.update(new[: max(0, 1 + self._settings.most_models - len(told))])
                beyond = ~np.isin(named[mine], np.array(list(told), np.uint64))
                named[mine[beyond]] = other
                self.counts["models_dropped"] += int(beyond.sum())
        used = set(named.tolist())
        self._models |= {value: name for value, name in known.items() if value in used} | {other: OTHER_MODEL}
        return named

    def _forget_models(self) -> None:
        """Keep the names that an open step needs, when there are more than one step may have."""
        if len(self._models) > self._settings.most_models:
            used = set().union(*(state.pending.models() for state in self._partitions.values()))
            self._models = {value: name for value, name in self._models.items() if value in used}

    def _pairs(self, batch: EventBatch, rows: I64, step: I64, at_ms: I64, clock: I64) -> dict[int, Rows]:
        """Return by partition what the events share, of one kind after the other."""
        from detector.stages import loops  # noqa: PLC0415 - numba costs a second and 100 MB

        links = links_of(batch)
        again, mixtures = mixture.mixtures_of(self._table, rows, mixture.templates_of(batch.sketches), clock)
        mixed = np.full(mixtures.size, LinkKind.MIXTURE, np.uint8)
        event = np.concatenate([np.arange(len(batch)), links.event, *[again] * mixture.BANDS])
        tokens = np.clip(np.nan_to_num(batch.output_tokens), 0, 1e12).astype(np.int64)
        kind = np.concatenate([np.full(len(batch), MODEL, np.uint8), links.kind, mixed])
        value = np.concatenate([self._named(batch, step), links.value, mix(mixtures.T.ravel(), LinkKind.MIXTURE)])
        partition = batch.partition.astype(np.int64)
        ends = np.cumsum(np.bincount(partition[event]))
        starts = np.append(0, ends[:-1])
        pairs = np.empty(len(event), PAIR)
        columns = rows, step, batch.sketches.text, tokens, at_ms
        loops.spread(event, kind, value, columns, partition, starts.copy(), pairs)
        bounds = zip(starts.tolist(), ends.tolist(), strict=True)
        return {number: pairs[start:end] for number, (start, end) in enumerate(bounds) if start < end}

    # -- judging and telling ----------------------------------------------------------------

    def _close(self, rows: I64) -> None:
        """Close the step in which accounts were active: judge those that are due as of its end, note the facts of all.

        An account is due when its requests grew by `growth` or `judge_again_ms` passed since it was
        judged: a slow account nearly always is, a busy one need not be judged every minute.
        """
        if not len(rows):
            return
        settings, table = self._settings, self._table
        step = table["open_step"][rows].astype(np.int64)
        end_ms = (step + 1) * settings.cadence_ms
        renewed = rows[self._known["next_ms"][rows] < end_ms]
        for row, opened in zip(renewed.tolist(), table["open_step"][renewed].tolist(), strict=True):
            self._records.apply(row, self._ids[row], (opened + 1) * settings.cadence_ms, self._known)
        judged_ms = table["judged_ms"][rows]
        due = np.flatnonzero(
            (judged_ms < 0)
            | (end_ms - judged_ms >= settings.judge_again_ms)
            | (table["unjudged"][rows] >= settings.growth * table["requests_24h"][rows])
        )
        if len(due):
            self._judge(rows[due], step[due], end_ms[due])
        self._share_signups(rows, step, end_ms)
        table["open_step"][rows] = -1
        closed = np.empty(len(rows), CLOSED)
        closed["row"], closed["step"] = rows, step
        closed["account"], closed["partition"] = self._account[rows], self._partition[rows]
        facts = closed["facts"]
        for name in ("created_ms", "status_ms", "org", "tier", "status"):
            facts[name] = self._known[name][rows]
        for name in _FACTS_KEPT:
            facts[name] = table[name][rows]
        self._facts.append(closed)

    def _judge(self, rows: I64, step: I64, end_ms: I64) -> None:
        table = self._table
        accounts = activity.columns(table, rows, end_ms, self._known[rows], self._account[rows])
        # Rounded, because a logarithm may differ in its last bit with the place of an account in its batch.
        strengths: F32 = np.stack([signal.strengths(accounts) for signal in self._signals])
        strengths = np.round(strengths, 4).astype(np.float32)
        scores = score.scores(self._signal_names, strengths)
        table["score"][rows] = scores
        table["judged_ms"][rows] = end_ms
        table["unjudged"][rows] = 0
        for name, column in _FACTS_READ:
            table[name][rows] = accounts[column]
        self.counts["judged"] += len(rows)
        for name, missing in zip(self._signal_names, np.isnan(strengths).sum(axis=1).tolist(), strict=True):
            self.unavailable[name] += missing
        self._tell(rows, step, end_ms, accounts, strengths, scores)

    def _share_signups(self, rows: I64, step: I64, end_ms: I64) -> None:
        """Note the links of the records of these accounts: once a day, and when a record brings others."""
        table, links = self._table, self._known["links"][rows]
        day = ((end_ms - 1) // activity.DAY_MS).astype(np.int16)
        due = np.flatnonzero(
            (links != 0) & ((table["signup_day"][rows] != day) | (table["signup_links"][rows] != links))
        )
        if not len(due):
            return
        table["signup_day"][rows[due]] = day[due]
        table["signup_links"][rows[due]] = links[due]
        shared = [self._records.links[row] for row in rows[due].tolist()]
        which = np.repeat(due, [len(found) for found in shared])
        newest = table["newest_ms"][rows[which]]
        pairs = np.zeros(len(which), PAIR)
        pairs["row"], pairs["step"], pairs["count"] = rows[which], step[which], 1
        pairs["kind"] = [kind for found in shared for kind, _ in found]
        pairs["value"] = np.array([value for found in shared for _, value in found], np.uint64)
        pairs["first_ms"] = pairs["last_ms"] = np.where(newest < 0, end_ms[which] - 1, newest)
        self._signups.append(pairs)

    def _tell(self, rows: I64, step: I64, end_ms: I64, accounts: AccountColumns, strengths: F32, scores: F32) -> None:
        """Note the judgements that raise, clear or change an account's alert; and every one of a canary."""
        settings = self._settings
        told = self._table["told_score"][rows]
        raised = told > 0
        clears = raised & (scores < settings.clear_at)
        canary = strengths[self._signal_names.index(Canary.name)] > 0 if Canary.name in self._signal_names else False
        changes = raised & ~clears & ((np.abs(scores - told) >= settings.change) | canary)
        chosen = np.flatnonzero((~raised & (scores >= settings.raise_at)) | clears | changes)
        if not len(chosen):
            return
        self._table["told_score"][rows[chosen]] = np.where(clears[chosen], 0, scores[chosen])
        because = tuple(self._sentences(accounts, strengths[:, i], i) for i in chosen.tolist())
        self._verdicts.append(
            Verdicts(rows[chosen], step[chosen], end_ms[chosen], scores[chosen], strengths[:, chosen].T, because)
        )

    def _sentences(self, accounts: AccountColumns, strengths: F32, row: int) -> Sentences:
        return tuple(
            (
                self._signals[number].name,
                strength,
                weight,
                _rounded(self._signals[number].value(accounts, row)),
                _rounded(self._signals[number].baseline(accounts, row)),
                self._signals[number].because(accounts, row),
            )
            for number, strength, weight in score.strongest(self._signal_names, strengths, self._settings.reasons)
        )

    def _advance(self, ticks: dict[int, list[int]], pairs: dict[int, Rows]) -> None:
        """Move the partitions' steps through `ticks`, closing what they leave behind."""
        for partition, steps in ticks.items():
            state = self._partitions[partition]
            if steps[0] != state.step:
                steps.insert(0, state.step)
            state.step = steps[-1]
        current = np.full(max(self._partitions) + 1, UNSET, np.int64)
        for partition, state in self._partitions.items():
            current[partition] = state.step
        due = self._table["open_step"][self._open] < current[self._partition[self._open]]
        self._close(self._open[due])
        self._is_open[self._open[due]] = False
        self._open = self._open[~due]

        closed: list[Rows] = []
        for partition in sorted(ticks):
            mine, state = pairs.get(partition, _NO_PAIRS), self._partitions[partition]
            if ticks[partition][0] < state.step:
                state.deleted += [f"o{n}" for n in range(state.pending.chunks)]
                state.pending.chunks = 0
                over = mine["step"] < state.step
                closed += state.pending.close(ticks[partition][0], activity.rows_of(mine, np.flatnonzero(over)))
                mine = activity.rows_of(mine, np.flatnonzero(~over))
            if len(mine):
                state.pending.add(mine)
            self.counts["pairs_dropped"] += state.pending.dropped
            state.pending.dropped = 0
        if closed:
            self._announce(ticks, closed)
            self._forget_models()

    def _announce(self, ticks: dict[int, list[int]], closed: list[Rows]) -> None:
        facts = joined(self._facts, CLOSED)
        pairs = joined([*closed, *self._signups], PAIR)
        told = _joined(self._verdicts, len(self._signals))
        self._facts, self._verdicts, self._signups = [], [], []
        wide = self._settings.link_partitions
        records = {
            (source, step): out for source, step, out in messages(facts, pairs, told, self._ids, self._models, wide)
        }
        for partition, steps in sorted(ticks.items()):
            state = self._partitions[partition]
            for before, after in pairwise(steps):
                if (partition, before) in records:
                    state.outbox += records[partition, before]
                    state.told = before
                    self.counts["steps"] += 1
                if after - 1 > state.told:
                    state.outbox += [nothing(partition, after - 1, q) for q in range(wide)]
                    state.told = after - 1
                    self.counts["steps"] += 1


def _by_partition(of: npt.NDArray[Any]) -> list[tuple[int, I64]]:
    """Return each partition with its events, in the order they came, given the partition of each."""
    partition = of.astype(np.int16)
    if (partition == partition[0]).all():
        return [(int(partition[0]), np.arange(len(of)))]
    order = np.argsort(partition, kind="stable")
    parts, starts = np.unique(partition[order], return_index=True)
    return list(zip(parts.tolist(), np.split(order, starts[1:]), strict=True))


def _capability(batch: EventBatch) -> I64:
    """Return the class of each event's capability; an unlisted label is `other`, none is -1."""
    classes = [
        CAPABILITIES.index(label) if label in CAPABILITIES else CAPABILITIES.index("other")
        for label in batch.capabilities
    ]
    return np.array([*classes, -1], np.int64)[batch.capability]  # -1 picks the last


def _rounded(number: float) -> float | None:
    return None if np.isnan(number) else float(f"{number:.6g}")


def _joined(verdicts: list[Verdicts], signals: int) -> Verdicts:
    empty = Verdicts(
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros((0, signals), np.float32),
        (),
    )
    verdicts = [empty, *verdicts]
    return Verdicts(
        np.concatenate([v.row for v in verdicts]),
        np.concatenate([v.step for v in verdicts]),
        np.concatenate([v.end_ms for v in verdicts]),
        np.concatenate([v.score for v in verdicts]),
        np.concatenate([v.strengths for v in verdicts]),
        tuple(sentences for v in verdicts for sentences in v.because),
    )
