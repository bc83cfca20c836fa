"""A simulation is a function of its seed, in order of arrival, in the wire format of the contract."""

import gzip
import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard

from detector.account import AccountRecord
from detector.event import RequestEvent
from detector.simulate import SCENARIOS, Simulation, simulate
from detector.simulate.actors import ERROR, LAG_MAX_MS, OK
from detector.simulate.files import write
from detector.simulate.simulation import failing
from tests.simulate.worlds import World


def lines(simulation: Simulation, events: int = 20_000) -> list[bytes]:
    return [line for chunk in simulation.chunks(events) for line in chunk]


def digest(seed: int, *, events: int = 20_000) -> str:
    return hashlib.sha256(b"\n".join(lines(simulate("relay", seed, 0.003, 0.4), events))).hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert digest(3) == digest(3)
    assert digest(3) != digest(4)


def test_chunk_sizes_do_not_matter() -> None:
    assert digest(3) == digest(3, events=777)


def test_a_second_pass_over_the_chunks_is_the_first_again() -> None:
    simulation = simulate("relay", 1, 0.003, 0.2)
    assert lines(simulation) == lines(simulation)


def test_accounts_and_truth_are_the_same_for_the_same_seed() -> None:
    one, two = simulate("succession", 9, 0.005), simulate("succession", 9, 0.005)
    assert one.accounts == two.accounts
    assert one.truth == two.truth


def test_leaving_out_the_text_changes_nothing_else() -> None:
    def without_text(line: bytes) -> dict[str, object]:
        event: dict[str, object] = json.loads(line)
        event.pop("prompt_text", None)
        return event

    told = lines(simulate("naked", 2, 0.002, 0.2))
    untold = lines(simulate("naked", 2, 0.002, 0.2, text=False))
    assert [without_text(line) for line in told] == [json.loads(line) for line in untold]
    assert any(b"prompt_text" in line for line in told)


def test_cutting_the_days_leaves_the_beginning_as_it_is() -> None:
    long, short = simulate("relay", 1, 0.003, 2.0, text=False), simulate("relay", 1, 0.003, 1.0, text=False)
    beginning = np.concatenate(list(long.slices()))
    beginning = beginning[beginning["time_ms"] < short.end_ms]
    whole = np.concatenate(list(short.slices()))
    assert abs(len(whole) - len(beginning)) == 0
    assert set(whole["id"].tolist()) == set(beginning["id"].tolist())


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_event_of_every_scenario_is_a_request_event(scenario: str) -> None:
    simulation = simulate(scenario, 1, 0.002, min(SCENARIOS[scenario].days, 3.0))
    decoder, known = msgspec.json.Decoder(RequestEvent), set(RequestEvent.__struct_fields__)
    accounts = {row["account_id"] for row in simulation.truth}
    ids: set[str] = set()
    everything = lines(simulation)
    for line in everything[:: max(1, len(everything) // 4000)]:
        event = decoder.decode(line)
        assert event.account_id in accounts
        assert event.time_ms < simulation.end_ms
        assert set(json.loads(line)) <= known | {"x_truth"}
        ids.add(event.id)
    assert len(ids) == len(everything[:: max(1, len(everything) // 4000)])
    for record in simulation.accounts:
        msgspec.json.decode(msgspec.json.encode(record), type=AccountRecord)


def test_events_come_in_order_of_arrival_a_few_seconds_out_of_order_at_most(quiet: World) -> None:
    times = quiet.rows["time_ms"].astype(np.int64)
    assert (np.diff(quiet.rows["arrival_ms"]) >= 0).all()
    behind = np.maximum.accumulate(times) - times
    assert 0 < behind.max() <= LAG_MAX_MS


def test_event_ids_are_unique(quiet: World) -> None:
    assert len(np.unique(quiet.rows["id"])) == len(quiet.rows)


def test_nobody_acts_before_the_account_was_made(quiet: World) -> None:
    created = np.array([record.created_ms for record in quiet.simulation._setting.roster.records])
    assert (quiet.rows["time_ms"] >= created[quiet.rows["account"]]).all()


def test_the_estimated_total_is_within_half_of_what_comes(quiet: World) -> None:
    assert 0.5 < quiet.simulation.total_events / len(quiet.rows) < 2.0


def test_requests_in_an_outage_fail_and_come_back_the_same_under_a_new_id(quiet: World) -> None:
    begin, end = quiet.simulation._setting.outages[0]
    quiet_before = quiet.rows[(quiet.rows["time_ms"] >= begin - 3_600_000) & (quiet.rows["time_ms"] < begin)]
    before = quiet_before.copy()
    before["retries"] = 30
    before["time_ms"] += begin + 60_000 - before["time_ms"].min()
    stormy = failing(np.random.default_rng(1), before, ((begin, end),))
    inside = stormy[stormy["time_ms"] < end]
    assert (inside["outcome"] == ERROR).mean() > 0.7
    repeats = stormy[len(before) :]
    assert len(repeats) > 5 * len(before)
    assert set(repeats["seed"].tolist()) <= set(before["seed"].tolist())
    assert not set(repeats["id"].tolist()) & set(before["id"].tolist())
    assert (repeats["outcome"][repeats["time_ms"] >= end] == OK).all()


def test_an_unknown_scenario_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        simulate("loud", 1)


@pytest.mark.parametrize("compress", ["", ".gz", ".zst"])
def test_files_hold_the_chunks_the_accounts_and_the_truth(tmp_path: Path, compress: str) -> None:
    simulation = simulate("relay", 1, 0.003, 0.1)
    told: list[int] = []
    total = write(simulation, tmp_path, compress, told.append)  # type: ignore[arg-type]
    raw = (tmp_path / f"events.ndjson{compress}").read_bytes()
    if compress == ".gz":
        raw = gzip.decompress(raw)
    elif compress == ".zst":
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    assert raw.splitlines() == lines(simulation)
    assert total == sum(told) == len(raw.splitlines())
    assert len((tmp_path / "accounts.ndjson").read_bytes().splitlines()) == len(simulation.accounts)
    truth = [json.loads(line) for line in (tmp_path / "truth.ndjson").read_bytes().splitlines()]
    assert truth == simulation.truth
