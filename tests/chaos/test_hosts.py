"""Hosts of their own for broker, Redis and each worker, and a network between them that is parted."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from detector import config as configuration
from detector.errors import Unavailable
from detector.runtime import servers
from tests.chaos import comparison, stream
from tests.chaos import hosts as hosts_module
from tests.chaos.faults import WORKERS
from tests.chaos.group import NAME, Group, Moment, Progress, Setting
from tests.chaos.hosts import HERE, Hosts
from tests.chaos.members import BrokerElsewhere, Member, StoreElsewhere
from tests.servers import environment

pytestmark = pytest.mark.chaos

STORE, BROKER = "redis", "kafka"
NAMES = [STORE, BROKER, *(f"worker{number}" for number in range(WORKERS))]
EVENTS = 5_000
SEED = 1
SETTING = Setting(partitions=4, session_ms=3_000, hot_accounts=50, backlog=300, seconds=15.0)
PARTED_SECONDS = 5.0  # longer than a session


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts(NAMES) as found:
        yield found


# -- the network ------------------------------------------------------------------------------------


def arrives(hosts: Hosts, source: str) -> bool:
    """Whether a datagram from a host comes here."""
    with socket.socket(type=socket.SOCK_DGRAM) as here:
        here.bind((hosts.address(HERE), 0))
        here.settimeout(0.5)
        address = f"/dev/udp/{hosts.address(HERE)}/{here.getsockname()[1]}"
        subprocess.run([*hosts.inside(source), "bash", "-c", f"echo hello >{address}"], check=True)
        try:
            return here.recv(64) == b"hello\n"
        except TimeoutError:
            return False


def test_what_goes_one_way_is_lost_and_what_goes_the_other_is_not_until_it_heals(hosts: Hosts) -> None:
    hosts.lose(HERE, STORE)
    assert arrives(hosts, STORE)
    hosts.lose(STORE, HERE)
    assert not arrives(hosts, STORE)
    assert arrives(hosts, BROKER), "another host's packets are no matter of this"
    hosts.heal(STORE)
    assert arrives(hosts, STORE)


def test_where_namespaces_cannot_be_made_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module.shutil, "which", lambda _: None)
    with pytest.raises(Unavailable, match="apt install iproute2"):
        Hosts(NAMES).__enter__()


# -- what workers make of it --------------------------------------------------------------------------


class Apart(Group):
    """Broker, Redis and three workers, each on a host of its own."""

    def __init__(self, folder: Path, setting: Setting, hosts: Hosts) -> None:
        self.hosts = hosts
        redis = StoreElsewhere(folder / "redis", hosts, STORE)
        kafka = BrokerElsewhere(folder / "kafka", hosts, BROKER)
        own = {**environment(NAME, kafka.address, redis.url), **setting.environment()}
        members = [
            Member(
                folder / f"worker-{number}",
                {**own, "DETECTOR_WEB_PORT": str(servers.free_port())},
                hosts.inside(f"worker{number}"),
            )
            for number in range(WORKERS)
        ]
        super().__init__(setting, configuration.load(None, own), kafka, redis, members)

    async def lost(self, *ways: tuple[str, str]) -> None:
        """Lose what goes these ways for a while."""
        for source, target in ways:
            self.hosts.lose(source, target)
        await asyncio.sleep(PARTED_SECONDS)
        for host in sorted({host for way in ways for host in way if host.startswith("worker")}):
            self.hosts.heal(host)

    def moments(self) -> list[Moment]:
        """Return each worker parted from one server, from the other and from both, also one way only."""
        zero, one, two = NAMES[2:]
        parted = {
            "from the store": [(zero, STORE), (STORE, zero)],
            "from the broker": [(one, BROKER), (BROKER, one)],
            "answers of the broker": [(BROKER, two)],
            "requests to the store": [(one, STORE)],
            "answers of the store": [(STORE, two)],
            "requests to the broker": [(zero, BROKER)],
            "from both": [(two, STORE), (STORE, two), (two, BROKER), (BROKER, two)],
        }
        return [
            Moment(0.1 + 0.8 * number / len(parted), kind, partial(self.lost, *ways))
            for number, (kind, ways) in enumerate(parted.items())
        ]


@pytest.mark.asyncio
async def test_workers_that_are_parted_from_store_or_broker_or_hear_no_answers_lose_and_repeat_nothing(
    tmp_path: Path, hosts: Hosts
) -> None:
    group = Apart(tmp_path, SETTING, hosts)
    recorded = stream.made(tmp_path / "stream", EVENTS, SEED, group.config)
    wanted = comparison.expected(recorded, group.config)
    happened: list[Progress] = []
    async with group.opened():
        found = await group.run(recorded, group.moments(), happened.append)
    assert len(happened[-1].faults) == len(group.moments())
    told, reasons = group.told()
    assert told["waiting"], "else nobody missed anything"
    assert not reasons
    verdict = comparison.compared(wanted, found)
    assert verdict.well, verdict
