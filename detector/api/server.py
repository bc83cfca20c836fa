"""The HTTP server: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST

from detector.api.health import Check, Status
from detector.errors import Unavailable
from detector.metrics import Recorder

_NO_STORE: Final = {"Cache-Control": "no-store"}


def application(status: Status, recorder: Recorder) -> web.Application:
    """Return the application; a check that fails makes its page answer 503 and say which."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=recorder.exposition(), headers={**_NO_STORE, "Content-Type": CONTENT_TYPE_LATEST})

    async def alive() -> Sequence[Check]:
        return status.alive()

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", _page(alive))
    app.router.add_get("/readyz", _page(status.ready))
    return app


def _page(checks: Callable[[], Awaitable[Sequence[Check]]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def page(_: web.Request) -> web.Response:
        try:
            found = await checks()
        except Unavailable as error:
            found = [Check(error.service, ok=False, detail=str(error))]
        ok = all(check.ok for check in found)
        body = msgspec.json.encode({"ok": ok, "checks": [asdict(check) for check in found]})
        return web.Response(status=200 if ok else 503, body=body, content_type="application/json", headers=_NO_STORE)

    return page


def _ours(record: logging.LogRecord) -> bool:
    """Return whether a line is about more than a request that is none: who knocks must not be able to fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Start to answer; return the runner, whose `cleanup()` ends it, and the port (for `port` 0: the one found).

    Raise Unavailable when the address cannot be had.
    """
    logger = logging.getLogger(__name__)
    logger.addFilter(_ours)
    runner = web.AppRunner(app, access_log=None, logger=logger)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise Unavailable(f"address {host}:{port}", error.strerror or str(error)) from error
    return runner, int(runner.addresses[0][1])
