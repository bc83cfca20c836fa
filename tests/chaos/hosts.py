"""Several hosts on one machine: network namespaces, joined by one that routes, where packets are lost on demand.

    kafka ──┐            ┌── worker 0
    redis ──┤  crossing  ├── worker 1
    here ───┘            └── worker 2

Each has a network of its own to the crossing, so that everything between two hosts is routed there, and a rule
of the crossing can lose what goes one way between two of them: silently, as a network does. Needs `ip` and root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Network
from types import TracebackType
from typing import Final, Self

from detector.errors import Unavailable

HERE: Final = "here"
"""The host of the test itself."""

_ALL: Final = IPv4Network("198.18.0.0/15")  # set aside for tests of networks (RFC 2544)
_RUN_PREFIX, _HOST_PREFIX = 27, 30
_MOST_HOSTS: Final = 1 << (_HOST_PREFIX - _RUN_PREFIX)


class Hosts:
    """Hosts of these names, and `here`, for `with`; raises Unavailable, which says what is missing."""

    def __init__(self, names: Sequence[str]) -> None:
        assert len(names) < _MOST_HOSTS
        run = os.getpid() % (1 << (_RUN_PREFIX - _ALL.prefixlen))  # runs beside each other have other addresses
        ours = list(_ALL.subnets(new_prefix=_RUN_PREFIX))[run]
        self._mark = f"chaos{run}"
        self._crossing = f"{self._mark}-crossing"
        self._networks = dict(zip([HERE, *names], ours.subnets(new_prefix=_HOST_PREFIX), strict=False))
        self._lost: set[tuple[str, str]] = set()

    def address(self, host: str) -> str:
        """Return the address of a host."""
        return str(self._networks[host][2])

    def inside(self, host: str) -> list[str]:
        """Return what goes before a command that runs on a host."""
        return [] if host == HERE else ["ip", "netns", "exec", self._name(host)]

    def lose(self, source: str, target: str) -> None:
        """Lose what goes from one host to another from now on."""
        if (source, target) not in self._lost:
            self._lost.add((source, target))
            self._rule("add", source, target)

    def part(self, one: str, other: str) -> None:
        """Lose what goes between two hosts, either way."""
        self.lose(one, other)
        self.lose(other, one)

    def heal(self, host: str) -> None:
        """Lose nothing any more of what comes from this host or goes to it."""
        for source, target in sorted(pair for pair in self._lost if host in pair):
            self._lost.remove((source, target))
            self._rule("del", source, target)

    def _rule(self, what: str, source: str, target: str) -> None:
        ways = ["from", self.address(source), "to", self.address(target)]
        _ip("-n", self._crossing, "rule", what, *ways, "blackhole")

    def _name(self, host: str) -> str:
        return f"{self._mark}-{host}"

    def __enter__(self) -> Self:
        if shutil.which("ip") is None:
            raise Unavailable("network namespaces", "no `ip` here: apt install iproute2")
        self._end()  # what a run with our number left, that was killed
        try:
            _ip("netns", "add", self._crossing)
            _ip("-n", self._crossing, "link", "set", "lo", "up")
            forward = ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]
            subprocess.run(["ip", "netns", "exec", self._crossing, *forward], check=True)
            for number, host in enumerate(self._networks):
                self._join(host, f"way{number}")
        except BaseException:
            self._end()
            raise
        return self

    def _join(self, host: str, way: str) -> None:
        network = self._networks[host]
        if host == HERE:
            there, link = [], self._mark
        else:
            there, link = ["-n", self._name(host)], "eth0"
            _ip("netns", "add", self._name(host))
            _ip(*there, "link", "set", "lo", "up")
        _ip("-n", self._crossing, "link", "add", way, "type", "veth", "peer", "name", self._mark)
        if host == HERE:
            _ip("-n", self._crossing, "link", "set", self._mark, "netns", str(os.getpid()))
        else:
            _ip("-n", self._crossing, "link", "set", self._mark, "netns", self._name(host), "name", link)
        for at, device, number in ((["-n", self._crossing], way, 1), (there, link, 2)):
            _ip(*at, "addr", "add", f"{network[number]}/{_HOST_PREFIX}", "dev", device)
            _ip(*at, "link", "set", device, "up")
        others = network.supernet(new_prefix=_RUN_PREFIX)
        _ip(*there, "route", "add", str(others), "via", str(network[1]), "dev", link)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for name in (self._crossing, *(self._name(host) for host in self._networks if host != HERE)):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)  # its links go with it
        subprocess.run(["ip", "link", "del", self._mark], capture_output=True, check=False)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = f"`ip {' '.join(words)}`: {done.stderr.strip()}"
        raise Unavailable("network namespaces", f"{said} (this needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN)")
