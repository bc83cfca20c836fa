"""The campaign stage in a process of its own, for a replay on two cores: the same findings, some chunks later.

    this process    chunk 1 ─► chunk 2 ─► chunk 3 ─►        decoding, accounts, links
    the other                 campaigns 1 ─► campaigns 2    of what the links said

Nothing flows back, so the stages work side by side. Some chunks may be under way, because a chunk that is dear to one
is often cheap to the other. A thread of the other process reads whatever is sent at once: else both might wait to send.
"""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Final, NoReturn, Self

from detector.errors import Unavailable
from detector.stages.campaigns import CampaignSettings
from detector.stages.issuing import CampaignStage
from detector.stores import Message
from detector.verdict import VerdictPolicy

_MOST_UNDER_WAY: Final = 8  # chunks, so that what waits has a bound


class CampaignsApart:
    """What a pipeline needs of the campaign stage; a context manager, which ends the process."""

    def __init__(self, settings: CampaignSettings, policy: VerdictPolicy) -> None:
        """Start the process, with the stage's one partition from nothing."""
        new = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of ours hold
        self._other, theirs = new.Pipe()
        self._process = new.Process(target=_work, args=(theirs, settings, policy), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is the end of what it sends
        self._values: list[bytes] = []
        self._under_way = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._other.close()
        self._process.join()

    def absorb(self, partition: int, values: list[bytes]) -> None:  # noqa: ARG002 - there is one
        """Take records of the link stage."""
        self._values += values

    def drain(self, partition: int) -> tuple[dict[str, bytes | None], list[Message]]:  # noqa: ARG002
        """Give on what was absorbed; return no rows, and what has come of what was given on before."""
        if not self._values:
            return {}, []
        found: list[Message] = []
        while self._under_way == _MOST_UNDER_WAY or (self._under_way and self._other.poll()):
            found += self._answer()
        self._send(self._values)
        self._values, self._under_way = [], self._under_way + 1
        return {}, found

    def rest(self) -> list[Message]:
        """Return what comes of all that was given on and not answered yet."""
        found: list[Message] = []
        while self._under_way:
            found += self._answer()
        return found

    def _answer(self) -> list[Message]:
        try:
            found: list[Message] = self._other.recv()
        except (EOFError, OSError):
            self._ended()
        self._under_way -= 1
        return found

    def tell_anew(self) -> None:
        """Let every alert that is open be raised again; forget what came of what was absorbed before."""
        self.drain(0)
        self.rest()
        self._send(None)

    def _send(self, said: list[bytes] | None) -> None:
        try:
            self._other.send(said)
        except OSError:
            self._ended()

    def _ended(self) -> NoReturn:
        self._process.join()
        raise Unavailable("the campaign stage", f"its process ended with {self._process.exitcode}")


def _work(asks: Connection, settings: CampaignSettings, policy: VerdictPolicy) -> None:
    """Be the other process: answer each list of records with what comes of it, until nobody asks any more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # who asks says when it is enough, or is gone
    stage = CampaignStage(settings, policy, durable=False)
    stage.assign(0, {})
    waiting: SimpleQueue[list[bytes] | EOFError | None] = SimpleQueue()
    Thread(target=_read, args=(asks, waiting), daemon=True).start()
    with suppress(OSError):
        while not isinstance(values := waiting.get(), EOFError):
            if values is None:
                stage.tell_anew()
                continue
            stage.absorb(0, values)
            asks.send(stage.drain(0)[1])


def _read(asks: Connection, waiting: SimpleQueue[list[bytes] | EOFError | None]) -> None:
    try:
        while True:
            waiting.put(asks.recv())
    except (EOFError, OSError) as error:
        waiting.put(EOFError(str(error)))
