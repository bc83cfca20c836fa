"""A Redis Cluster of three masters, for tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis

from detector.runtime import servers
from detector.runtime.servers import RedisServer
from tests.servers.secured import least_rights

RIGHTS_TOO = "+asking +command +cluster|slots"
"""What deploy/README.md adds to the rule for a cluster."""

MASTERS = 3
SLOTS = 16384


class Cluster:
    """Three masters that share the slots evenly."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes
        self.url = nodes[0].url.replace("redis://", "redis+cluster://")

    def node_of(self, slot: int) -> RedisServer:
        """The master that had the slot when the cluster was made."""
        return self.nodes[slot * MASTERS // SLOTS]

    @contextlib.contextmanager
    def moving(self, slot: int) -> Iterator[None]:
        """The slot moves to another master: meanwhile one of its keys is there already, and the others are not."""
        old = self.node_of(slot)
        new = next(node for node in self.nodes if node is not old)
        with Redis(port=old.port) as source, Redis(port=new.port) as target:
            ids = {client: client.execute_command("CLUSTER MYID").decode() for client in (source, target)}

            def move(most: int) -> None:
                keys = source.execute_command("CLUSTER GETKEYSINSLOT", slot, most)
                source.execute_command("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *keys)

            target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
            source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
            move(1)
            yield
            move(100)
            for client in (target, source):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])

    def agreed(self) -> bool:
        """Whether every node that runs sees the same cluster, and all of it."""
        for node in self.nodes:
            with Redis(port=node.port) as client:
                if client.cluster("info")["cluster_state"] != "ok" or len(client.cluster("nodes")) != MASTERS:
                    return False
        return True


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run one, whose users are the operator and one with the least rights."""
    options = least_rights(folder, RIGHTS_TOO)
    with contextlib.ExitStack() as stack:
        nodes, buses = [], []
        for number in range(MASTERS):
            bus = servers.free_port()
            cluster_options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "1000")
            nodes.append(stack.enter_context(servers.redis(folder / str(number), *cluster_options, *options)))
            buses.append(bus)
        for number, node in enumerate(nodes):
            with Redis(port=node.port) as client:
                first, last = (-(-SLOTS * part // MASTERS) for part in (number, number + 1))
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
                client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port, buses[0])
        made = Cluster(nodes)
        deadline = time.monotonic() + 30
        while not made.agreed():
            assert time.monotonic() < deadline, "the nodes do not find each other"
        yield made
