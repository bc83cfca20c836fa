"""The processes of a chaos run: workers that can be disturbed, and a broker that each of them reaches by its own way."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from detector.runtime.servers import KafkaServer, Server

ROOT: Final = Path(__file__).parents[2]
TOLD: Final = (
    "fenced",
    "left_unsettled",
    "log_has_a_hole",
    "outbox_of_last_owner_published",
    "stood_still",
    "take_over_waits",
    "waiting",
    "worker_gives_up",
)
"""What a worker's log may say of what happened to it."""


class Member(Server):
    """One worker process: `detector run`, with a clock that can be wrong. It is not waited for."""

    name = "worker"

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clock = folder / "clock"
        self._clock.write_text("0")
        self.wanted = False
        self.suspended = False
        given = [f"{name}={value}" for name, value in {**settings, "PYTHONPATH": str(ROOT)}.items()]
        command = ["env", *given, sys.executable, "-m", "tests.chaos.clocked", str(self._clock), "run"]
        super().__init__(command, folder, lambda: True)

    def begin(self) -> None:
        """Start it; from now on it is wanted."""
        self.wanted = True
        self.start()

    def ended(self) -> int | None:
        """Return the exit code of a process that has ended by itself, once; None otherwise."""
        if self._process is None or self._process.poll() is None:
            return None
        code, self._process = self._process.returncode, None
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where there is a process."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def set_clock(self, wrong_by_seconds: float) -> None:
        """Let its wall clock be wrong by so much. (A process that is only just starting dies of it, and is one more.)"""
        self._clock.write_text(str(wrong_by_seconds))
        self.send(signal.SIGUSR1)

    def told(self) -> Counter[str]:
        """Count what the log says of each sort of `TOLD`."""
        found: Counter[str] = Counter()
        for line in self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []:
            if line.startswith("{"):
                found[msgspec.json.decode(line)["event"]] += 1
        return Counter({name: found[name] for name in TOLD if found[name]})


class Broker(KafkaServer):
    """Apache Kafka that calls itself by another address to each of its `ways`: (port it listens on, port to call)."""

    def __init__(self, folder: Path, ways: Sequence[tuple[int, int]], heap_mb: int = 384) -> None:
        super().__init__(folder, heap_mb)
        properties = folder / "server.properties"
        said = dict(line.split("=", 1) for line in properties.read_text("utf-8").splitlines() if "=" in line)
        listeners = said["listeners"].split(",")
        advertised = [one for one in listeners if not one.startswith("CONTROLLER")]
        protocols = [said["listener.security.protocol.map"]]
        for number, (listen, call) in enumerate(ways):
            listeners.append(f"WAY{number}://127.0.0.1:{listen}")
            advertised.append(f"WAY{number}://127.0.0.1:{call}")
            protocols.append(f"WAY{number}:PLAINTEXT")
        said["listeners"] = ",".join(listeners)
        said["advertised.listeners"] = ",".join(advertised)
        said["listener.security.protocol.map"] = ",".join(protocols)
        said["inter.broker.listener.name"] = "PLAINTEXT"
        properties.write_text("".join(f"{name}={value}\n" for name, value in said.items()), "utf-8")
