"""Servers for tests and benches: what they are started with."""

from __future__ import annotations

from unittest import mock

from detector.runtime import servers


def test_a_port_is_given_out_once_though_nobody_listens_on_it_yet() -> None:
    one = mock.MagicMock()
    one.__enter__.return_value.getsockname.side_effect = [("127.0.0.1", port) for port in (1, 1, 2)]
    with mock.patch.object(servers.socket, "socket", return_value=one):
        assert [servers.free_port(), servers.free_port()] == [1, 2]
