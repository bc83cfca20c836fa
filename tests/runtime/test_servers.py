"""Servers for tests and benches: what they are started with."""

from __future__ import annotations

import socket
from unittest import mock

from detector.runtime import servers


def test_a_port_is_given_out_once_though_nobody_listens_on_it_yet() -> None:
    one, other = servers.free_port(), servers.free_port()
    servers._given.difference_update((one, other))
    with mock.patch.object(servers.random, "randrange", side_effect=[one, one, other]):
        assert [servers.free_port(), servers.free_port()] == [one, other]


def test_a_port_that_somebody_listens_on_is_not_given_out() -> None:
    taken, free = servers.free_port(), servers.free_port()
    servers._given.difference_update((taken, free))
    choose = mock.patch.object(servers.random, "randrange", side_effect=[taken, free])
    with socket.create_server(("127.0.0.1", taken)), choose:
        assert servers.free_port() == free


def test_no_outgoing_connection_takes_a_port_that_was_given_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as anywhere:
        assert servers.free_port() < servers._outgoing_from() <= anywhere.getsockname()[1]
