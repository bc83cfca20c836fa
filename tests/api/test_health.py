"""Alive is progress or no lag; ready is partitions and a store; a page says which check fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest

from detector import metrics
from detector.api import Check, Progress, application, serve
from detector.errors import Unavailable
from detector.metrics import Recorder


def test_a_partition_that_moves_is_alive_whatever_its_lag() -> None:
    progress = Progress(stalled_ms=1_000)
    for second in range(10):
        progress.seen("accounts/0", offset=second, lag=10**6, now_ms=second * 900)
    assert progress.check(9_000).ok


def test_a_partition_without_lag_is_alive_however_long_it_stands() -> None:
    progress = Progress(stalled_ms=1_000)
    progress.seen("accounts/0", offset=5, lag=0, now_ms=0)
    assert progress.check(10**9).ok


def test_lag_without_progress_is_stalled_after_its_time_and_not_before() -> None:
    progress = Progress(stalled_ms=1_000)
    progress.seen("accounts/0", offset=5, lag=0, now_ms=0)
    progress.seen("accounts/0", offset=5, lag=0, now_ms=50_000)
    progress.seen("accounts/0", offset=5, lag=3, now_ms=50_500)
    assert progress.check(51_000).ok
    check = progress.check(51_001)
    assert not check.ok
    assert check.detail == "accounts/0: records to read and none read for 1 s"


def test_one_stalled_partition_among_many_is_enough() -> None:
    progress = Progress(stalled_ms=1_000)
    for now in (0, 2_000):
        progress.seen("accounts/0", offset=now, lag=3, now_ms=now)
        progress.seen("accounts/1", offset=7, lag=3, now_ms=now)
    assert progress.check(2_000).detail.startswith("accounts/1:")
    progress.forget("accounts/1")
    assert progress.check(2_000).ok


class Fake:
    def __init__(self, alive: Sequence[Check] = (), ready: Sequence[Check] | Unavailable = ()) -> None:
        self._alive, self._ready = alive, ready

    def alive(self) -> Sequence[Check]:
        return self._alive

    async def ready(self) -> Sequence[Check]:
        if isinstance(self._ready, Unavailable):
            raise self._ready
        return self._ready


@pytest.mark.asyncio
async def test_a_request_that_is_none_writes_no_log_and_a_page_that_fails_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Fake):
        def alive(self) -> Sequence[Check]:
            raise ValueError("a mistake of ours")

    runner, port = await serve(application(Broken(), Recorder()), "127.0.0.1", 0)
    try:
        for request in (
            b"GET / HTP/1.1\r\nlevel=error\r\n\r\n",
            b"\x16\x03\x01\x02\r\n\r\n",
            b"GET /healthz HTTP/1.0\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            assert await reader.read(1 << 16)
            writer.close()
    finally:
        await runner.cleanup()
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == ["a mistake of ours"]


async def get(status: Fake, path: str, recorder: Recorder | None = None) -> tuple[int, str, bytes]:
    runner, port = await serve(application(status, recorder or Recorder()), "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, response.headers["Content-Type"], await response.read()
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_a_page_is_ok_when_every_check_is() -> None:
    status = Fake(alive=[Check("progress", ok=True, detail="fine")], ready=[Check("store", ok=True)])
    code, kind, body = await get(status, "/healthz")
    assert (code, kind) == (200, "application/json")
    assert body == b'{"ok":true,"checks":[{"name":"progress","ok":true,"detail":"fine"}]}'
    assert (await get(status, "/readyz"))[0] == 200


@pytest.mark.asyncio
async def test_a_page_says_which_check_fails() -> None:
    status = Fake(ready=[Check("partitions", ok=False, detail="none assigned"), Check("store", ok=True)])
    code, _, body = await get(status, "/readyz")
    assert code == 503
    assert body.startswith(b'{"ok":false,"checks":[{"name":"partitions","ok":false,"detail":"none assigned"}')


@pytest.mark.asyncio
async def test_a_service_that_is_away_is_a_failed_check_and_not_an_error() -> None:
    code, _, body = await get(Fake(ready=Unavailable("redis", "refused")), "/readyz")
    assert code == 503
    assert b'"name":"redis","ok":false' in body


@pytest.mark.asyncio
async def test_metrics_are_what_was_recorded() -> None:
    recorder = Recorder()
    recorder.add(metrics.EVENTS, 3)
    code, kind, body = await get(Fake(), "/metrics", recorder)
    assert code == 200
    assert kind.startswith("text/plain")
    assert b"detector_events_total 3.0" in body


@pytest.mark.asyncio
async def test_an_address_that_is_taken_is_unavailable() -> None:
    app = application(Fake(), Recorder())
    runner, port = await serve(app, "127.0.0.1", 0)
    try:
        with pytest.raises(Unavailable, match=str(port)):
            await serve(application(Fake(), Recorder()), "127.0.0.1", port)
    finally:
        await runner.cleanup()
