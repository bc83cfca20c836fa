"""Records of steps that are not over: against a slow definition, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detector.stages.waiting import Waiting

SOURCES = 3
# What each source closes: steps in ascending order, with so many bytes (none: it has nothing to say).
CLOSED = st.lists(st.tuples(st.integers(1, 3), st.one_of(st.none(), st.integers(1, 20))), max_size=15)
STREAMS = st.tuples(CLOSED, CLOSED, CLOSED)


def in_order(streams, chance) -> list[tuple[int, int, bytes | None]]:
    """Arrivals (source, step, record), each source in its order."""
    queues = []
    for source, stream in enumerate(streams):
        step, queue = 0, []
        for further, size in stream:
            step += further
            queue.append((source, step, None if size is None else f"{source}.{step}".encode().ljust(size)))
        queues.append(queue)
    turns = [source for source, queue in enumerate(queues) for _ in queue]
    chance.shuffle(turns)
    at = [iter(queue) for queue in queues]
    return [next(at[source]) for source in turns]


@given(STREAMS, st.randoms(use_true_random=False))
def test_a_step_is_over_when_every_source_has_closed_it(streams, chance) -> None:
    arrivals = in_order(streams, chance)
    waiting, over = Waiting(SOURCES, 1 << 30), []
    for arrival in arrivals:
        over += [(step, sorted(records)) for step, records in waiting.arrive(*arrival)]
    last = [max((step for source, step, _ in arrivals if source == mine), default=-1) for mine in range(SOURCES)]
    done = min(last)
    said: dict[int, list[bytes]] = {}
    for _, step, record in arrivals:
        if record is not None and step <= done:
            said.setdefault(step, []).append(record)
    assert over == [(step, sorted(records)) for step, records in sorted(said.items())]
    assert waiting.done == done
    assert waiting.forced == 0


@given(STREAMS, st.randoms(use_true_random=False), st.integers(0, 60))
def test_what_waits_is_bounded_and_every_record_is_given_up_once(streams, chance, most: int) -> None:
    waiting, over, records = Waiting(SOURCES, most), [], []
    for source, step, record in in_order(streams, chance):
        before = waiting.done
        ready = waiting.arrive(source, step, record)
        assert all(before < step <= waiting.done for step, _ in ready)
        assert waiting.bytes_held <= most
        over += ready
        records += [record] if record else []
    given_up = [record for _, several in over for record in several]
    held = [record for _, several in waiting.dump()[2] for record in several]
    assert sorted(given_up + held) == sorted(records)
    assert [step for step, _ in over] == sorted({step for step, _ in over})


@given(STREAMS, st.randoms(use_true_random=False), st.integers(0, 60), st.integers(0, 45))
def test_dumped_and_loaded_at_any_point_it_goes_on_the_same(streams, chance, most: int, cut: int) -> None:
    one, other = Waiting(SOURCES, most), Waiting(SOURCES, most)
    arrivals = in_order(streams, chance)
    for arrival in arrivals[:cut]:
        one.arrive(*arrival)
    other.load(*one.dump())
    for arrival in arrivals[cut:]:
        assert [(s, sorted(r)) for s, r in one.arrive(*arrival)] == [(s, sorted(r)) for s, r in other.arrive(*arrival)]
    assert one.dump() == other.dump()
