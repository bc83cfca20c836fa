"""A Redis Cluster of three masters, for tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis

from detector.runtime import servers
from detector.runtime.servers import RedisServer

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

    def agreed(self) -> bool:
        """Whether every node that runs sees the same cluster, and all of it."""
        for node in self.nodes:
            with Redis(port=node.port) as client:
                if client.cluster("info")["cluster_state"] != "ok" or len(client.cluster("nodes")) != MASTERS:
                    return False
        return True


@contextlib.contextmanager
def cluster(folder: Path, *options: str) -> Iterator[Cluster]:
    """Run one; `options` are further arguments of every node."""
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
