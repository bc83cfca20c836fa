"""The whole service in this process, for as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from detector.config import Config
from detector.runtime.live import Service

PATIENCE_SECONDS = 30.0


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[tuple[Service, asyncio.Task[None]]]:
    """Run the service; it is stopped at the end, and given some time for that."""
    service = Service(config)
    task = asyncio.create_task(service.run())
    try:
        yield service, task
    finally:
        service.worker.stop()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
