"""The processes of a chaos run: workers that can be disturbed, and servers as they need them.

A worker, and the Redis server, have a wall clock of their own that can be set (clock.c); a worker reaches the broker
by a way of its own, because a broker tells its clients where to call.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from detector.errors import Unavailable
from detector.runtime import servers
from detector.runtime.servers import KafkaServer, RedisServer, Server, free_port
from tests.chaos.hosts import Hosts

_RUN: Final = "from detector.cli import main; main()"
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


class Clock:
    """The wall clock of a process: right, until it is set."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self.library = folder / "clock", folder / "clock.so"
        self.set(0)
        compiler = shutil.which("cc")
        if compiler is None:
            raise Unavailable("cc", "no C compiler for the clock that jumps: apt install gcc")
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"], check=True)
        self.settings = {"LD_PRELOAD": str(self.library), "CHAOS_CLOCK": str(self._file)}

    def set(self, wrong_by_seconds: float) -> None:
        """Let it be wrong by so many whole seconds."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(int(wrong_by_seconds).to_bytes(8, "little", signed=True))


class Member(Server):
    """One worker process: `detector run`. It is not waited for."""

    name = "worker"

    def __init__(self, folder: Path, settings: Mapping[str, str], inside: Sequence[str] = ()) -> None:
        """`inside` goes before the command: the words for another host."""
        self.clock = Clock(folder)
        self.wanted = False
        command = [*inside, *_env({**settings, **self.clock.settings}), sys.executable, "-c", _RUN, "run"]
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
        if self.runs:
            os.kill(self.pid or 0, number)

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_its_clock(self) -> bool:
        """Whether the process has loaded the clock that can be set."""
        with contextlib.suppress(OSError):
            return self.runs and str(self.clock.library) in Path(f"/proc/{self.pid}/maps").read_text("utf-8")
        return False

    def said(self, event: str) -> int:
        """Return how often the log says this."""
        return self._said()[0][event]

    def told(self) -> tuple[Counter[str], list[str]]:
        """Count what the log says of each sort of `TOLD`; return that, and why the worker gave up each time."""
        found, reasons = self._said()
        return Counter({name: found[name] for name in TOLD if found[name]}), reasons

    def _said(self) -> tuple[Counter[str], list[str]]:
        found: Counter[str] = Counter()
        reasons = []
        for line in self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []:
            if line.startswith("{"):
                said = msgspec.json.decode(line)
                found[said["event"]] += 1
                if said["event"] == "worker_gives_up":
                    reasons.append(f"{said['kind']}: {said['error']}")
        return found, reasons


class StoreServer(RedisServer):
    """Redis with a clock that can be set."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder)
        self._command = [*_env(clock.settings), *self._command]


class StoreElsewhere(RedisServer):
    """Redis on a host of its own."""

    def __init__(self, folder: Path, hosts: Hosts, host: str) -> None:
        self._address = hosts.address(host)
        super().__init__(folder, ["--bind", self._address, "--protected-mode", "no"])
        self.url = f"redis://{self._address}:{self.port}/0"
        self._command = [*hosts.inside(host), *self._command]

    def _answers(self) -> bool:
        return _pongs(self._address, self.port)


class BrokerElsewhere(KafkaServer):
    """Apache Kafka on a host of its own."""

    def __init__(self, folder: Path, hosts: Hosts, host: str, heap_mb: int = 384) -> None:
        address = hosts.address(host)
        listeners = f"PLAINTEXT://{address}:{{port}},CONTROLLER://127.0.0.1:{{controller}}"
        super().__init__(folder, heap_mb, {"listeners": listeners})
        self.address = f"{address}:{self.address.split(':')[1]}"
        self._command = [*hosts.inside(host), *self._command]


class Sentinel(Server):
    """Redis Sentinel: watches a server and its replicas, and makes one of them the master when that is gone."""

    name = "sentinel"

    def __init__(self, folder: Path, watched: RedisServer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor store 127.0.0.1 {watched.port} 1\n"
            "sentinel down-after-milliseconds store 500\nsentinel failover-timeout store 5000\n",
            "utf-8",
        )
        super().__init__([servers._redis_binary() or "", str(settings), "--sentinel"], folder, self._answers)

    def _answers(self) -> bool:
        return _pongs("127.0.0.1", self.port)


class Broker(KafkaServer):
    """Apache Kafka that calls itself by another address to each of its `ways`: (port it listens on, port to call)."""

    def __init__(self, folder: Path, ways: Sequence[tuple[int, int]], heap_mb: int = 384) -> None:
        super().__init__(folder, heap_mb, {})
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


def _pongs(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.5) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


def _env(settings: Mapping[str, str]) -> list[str]:
    return ["env", *(f"{name}={value}" for name, value in settings.items())]
