"""The proxy, between a client and a server that answers every byte with itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from detector.runtime import servers
from tests.chaos.proxy import Proxy, Way
from tests.runtime.words import until

pytestmark = pytest.mark.asyncio


class Echo:
    """What came, and a proxy before it."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.ended = asyncio.Event()
        self.port = servers.free_port()
        self.proxy = Proxy(servers.free_port(), self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self.came += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self.ended.set()

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.proxy.port)


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", echo.port):
        await echo.proxy.start()
        try:
            yield echo
        finally:
            await echo.proxy.stop()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end of the connection, in whichever way it ends."""
    found = bytearray()
    try:
        while data := await reader.read(1 << 16):
            found += data
    except OSError:
        pass
    return bytes(found)


async def test_what_is_not_disturbed_passes_both_ways() -> None:
    async with echoing() as echo:
        reader, writer = await echo.client()
        writer.write(b"x" * 300_000)
        assert await reader.readexactly(300_000) == b"x" * 300_000
        writer.close()


async def test_a_cut_request_arrives_up_to_that_byte_and_the_client_loses_its_connection() -> None:
    async with echoing() as echo:
        reader, writer = await echo.client()
        writer.write(b"abc")
        await reader.readexactly(3)
        echo.proxy.cut(Way.REQUEST, 4)
        writer.write(b"defghij")
        await rest(reader)
        await echo.ended.wait()
        assert bytes(echo.came) == b"abcdefg"
        assert echo.proxy.cuts == {Way.REQUEST: 1}
        again, other = await echo.client()  # the next one is whole
        other.write(b"klm")
        assert await again.readexactly(3) == b"klm"


async def test_a_cut_answer_leaves_a_request_that_arrived_whole() -> None:
    async with echoing() as echo:
        echo.proxy.cut(Way.ANSWER, 2)
        reader, writer = await echo.client()
        writer.write(b"abcdef")
        assert b"ab".startswith(await rest(reader))
        assert bytes(echo.came) == b"abcdef"


async def test_a_slow_server_gets_what_is_sent_at_once_and_is_heard_late() -> None:
    async with echoing() as echo:
        reader, writer = await echo.client()
        writer.write(b"a")
        await reader.readexactly(1)
        assert echo.proxy.slowed == 0
        echo.proxy.slow(0.05)
        began = asyncio.get_running_loop().time()
        for letter in b"bcd":
            writer.write(bytes([letter]))
            assert await reader.readexactly(1) == bytes([letter])
        assert asyncio.get_running_loop().time() - began >= 3 * 0.05
        assert echo.proxy.slowed == 3
        echo.proxy.slow(0)
        writer.write(b"e")
        await reader.readexactly(1)
        assert echo.proxy.slowed == 3


async def test_what_was_sent_into_a_stall_arrives_after_it_even_when_its_sender_has_gone() -> None:
    async with echoing() as echo:
        reader, writer = await echo.client()
        writer.write(b"abc")
        await reader.readexactly(3)
        echo.proxy.stall()
        writer.write(b"def")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await until(lambda: echo.proxy.kept_waiting == 1)
        assert bytes(echo.came) == b"abc"
        echo.proxy.flow()
        await echo.ended.wait()
        assert bytes(echo.came) == b"abcdef"


async def test_new_connections_pass_those_that_are_held() -> None:
    async with echoing() as echo:
        reader, writer = await echo.client()
        writer.write(b"a")
        await reader.readexactly(1)
        echo.proxy.hold()
        writer.write(b"b")
        again, other = await echo.client()
        other.write(b"c")
        await again.readexactly(1)
        echo.proxy.flow()
        await reader.readexactly(1)
        assert bytes(echo.came) == b"acb"


async def test_after_a_retarget_old_connections_are_over_and_new_ones_go_elsewhere() -> None:
    async with echoing() as echo, echoing() as other:
        reader, writer = await echo.client()
        writer.write(b"a")
        await reader.readexactly(1)
        echo.proxy.retarget(other.port)
        assert await rest(reader) == b""
        again, anew = await echo.client()
        anew.write(b"b")
        assert await again.readexactly(1) == b"b"
        assert (bytes(echo.came), bytes(other.came)) == (b"a", b"b")
