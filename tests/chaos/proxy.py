"""A TCP proxy that fails on demand: the network between a worker and a server.

    client ──request──► Proxy ──► server
           ◄──answer───

- `cut(bytes)`: of what is still to go in one direction, so many bytes pass, over all connections together, and the
  connection that carried the last of them is reset: the server has half of a write, or the client half of an answer.
- `stall` and `flow`: nothing passes, and nobody is told. What was sent before a client gave up and went away
  arrives once it flows again, as it does when a network loses packets for a while.
- `slow`: every answer comes, and comes late.
- `hold`: the same for the connections that there are; new ones pass, and so what was sent first arrives last.
- `hold_at(words)`: the same for the connection that is about to carry these words, from there on.
- `retarget`: new connections go elsewhere, those there are end: a name that follows a fail-over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from enum import IntEnum
from typing import Final

_PIECE_BYTES: Final = 1 << 16


class Way(IntEnum):
    """A direction, by what travels in it."""

    REQUEST = 0
    ANSWER = 1


class Proxy:
    """Listens on `port` from `start` on; a server that is away ends the client's connection."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self.slowed = 0  # answers that came late
        self._slow_seconds = 0.0
        self.cuts: Counter[Way] = Counter()
        self.kept_waiting = 0  # connections and pieces that did not pass at once
        self._target_port = target_port
        self._left: dict[Way, int] = {}  # bytes that still pass before the cut
        self._stalled = False
        self._words: bytes | None = None
        self.held = asyncio.Event()  # what `hold_at` waits for has come
        self._gates: set[asyncio.Event] = set()  # of each connection: set while it flows
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=4 * _PIECE_BYTES)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self, way: Way, after_bytes: int) -> None:
        """Reset the connection that carries the `after_bytes`-th byte from now on, behind that byte."""
        assert after_bytes > 0
        self._left[way] = after_bytes

    def slow(self, seconds: float) -> None:
        """Let every answer, piece by piece, come so much later from now on."""
        self._slow_seconds = seconds

    def stall(self) -> None:
        """Let nothing pass."""
        self._stalled = True
        self.hold()

    def hold(self) -> None:
        """Let nothing pass on the connections that there are now."""
        for gate in self._gates:
            gate.clear()

    def hold_at(self, words: bytes) -> None:
        """Hold the connection on which a piece with these words comes, before that piece."""
        self._words = words
        self.held.clear()

    def flow(self) -> None:
        """Let everything pass, first what was held up."""
        self._stalled, self._words = False, None
        for gate in self._gates:
            gate.set()

    def retarget(self, port: int) -> None:
        """Send new connections to another server, and end those that there are."""
        self._target_port = port
        self.reset()

    def reset(self) -> None:
        """End every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, RuntimeError, asyncio.CancelledError):  # uvloop of a closed connection
                await self._served(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._serving.discard(task)

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gate = asyncio.Event()
        if not self._stalled:
            gate.set()
        self._gates.add(gate)
        try:
            self.kept_waiting += self._stalled
            await gate.wait()
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target_port, limit=4 * _PIECE_BYTES)
            self._writers.add(ours)
            try:
                await asyncio.gather(
                    self._pumped(Way.REQUEST, gate, reader, ours), self._pumped(Way.ANSWER, gate, theirs, writer)
                )
            finally:
                ours.transport.abort()
                self._writers.discard(ours)
        finally:
            self._gates.discard(gate)

    async def _pumped(
        self, way: Way, gate: asyncio.Event, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        """Pass bytes on until their source ends; raise OSError when the connection is cut or broken."""
        while data := await source.read(_PIECE_BYTES):
            if self._words is not None and self._words in data:
                self._words = None
                gate.clear()
                self.held.set()
            self.kept_waiting += not gate.is_set()
            await gate.wait()
            if way == Way.ANSWER and self._slow_seconds:
                self.slowed += 1
                await asyncio.sleep(self._slow_seconds)
            left = self._left.get(way)
            if left is not None and len(data) >= left:
                del self._left[way]
                self.cuts[way] += 1
                sink.write(data[:left])
                await sink.drain()
                raise ConnectionResetError
            if left is not None:
                self._left[way] = left - len(data)
            sink.write(data)
            await sink.drain()
        await gate.wait()
        if way == Way.REQUEST and sink.can_write_eof():
            sink.write_eof()
        else:
            sink.close()
