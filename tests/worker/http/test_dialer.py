"""Making connections: names, addresses, certificates, proxies."""

import asyncio
import ssl

import pytest

from prewarmd.worker.http.answer import Small
from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.dialer import Dialer, Origin, Proxy
from prewarmd.worker.http.errors import UnreachableError
from prewarmd.worker.http.patience import Patience
from tests.support.loops import OnLoop
from tests.worker.http.servers import Script, Wire, answering, request_of, serving, silence

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(connection: Connection) -> bytes:
    """One exchange, then the end."""
    try:
        return (await connection.exchange(GET, Small(), Patience())).body
    finally:
        connection.abort()
        await connection.gone()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.telegram.org", Origin("api.telegram.org", 443, True, "api.telegram.org")),
        ("http://h:80/path", Origin("h", 80, False, "h")),
        ("http://h:8081", Origin("h", 8081, False, "h:8081")),
        ("https://h:80", Origin("h", 80, True, "h:80")),
        ("http://[::1]:9000", Origin("::1", 9000, False, "[::1]:9000")),
    ],
)
def test_where_a_url_leads(url: str, origin: Origin) -> None:
    """The Host header is signed: as the store sees it, or every request is refused."""
    assert Origin.of(url) == origin


def test_addresses_are_tried_in_turn(on_loop: OnLoop, wire: Wire) -> None:
    """`localhost` is ::1 first on many machines, and nobody listens there."""

    async def run() -> None:
        async with asyncio.timeout(10), serving(answering(OK), wire) as server:
            url = f"{wire.scheme}://localhost:{server.port}"
            dialer = Dialer(Origin.of(url), context=wire.client)
            dialer._addresses = ["::1", "127.0.0.9", "127.0.0.1"]
            dialer._resolved_at = asyncio.get_running_loop().time()
            assert await ask(await dialer.dial()) == b"ok"
            assert dialer._addresses[0] == "127.0.0.1", "the good one is first next time"

    on_loop(run())


def test_a_name_is_resolved_anew_when_all_addresses_fail(on_loop: OnLoop) -> None:
    """A service that moved would stay unreachable until the daemon is restarted."""

    async def run() -> None:
        async with asyncio.timeout(10), serving(answering(OK)) as server:
            dialer = Dialer(Origin.of(f"http://localhost:{server.port}"))
            dialer._addresses = ["127.0.0.9"]
            dialer._resolved_at = asyncio.get_running_loop().time()
            with pytest.raises(UnreachableError):
                await dialer.dial()
            assert await ask(await dialer.dial()) == b"ok"

    on_loop(run())


def test_a_name_that_nobody_knows(on_loop: OnLoop) -> None:
    """The message names it: a typing error in the configuration is found at once."""

    async def run() -> None:
        with pytest.raises(UnreachableError, match=r"nobody\.invalid"):
            await Dialer(Origin.of("http://nobody.invalid:1")).dial()

    on_loop(run())


def test_a_server_that_never_greets(on_loop: OnLoop, tls: Wire) -> None:
    """A black hole would hold a slot for ever."""

    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        await silence()

    async def run() -> None:
        async with serving(mute) as server:
            origin = Origin.of(f"https://127.0.0.1:{server.port}")
            with pytest.raises(UnreachableError, match=r"no connection within 0\.3 s"):
                await Dialer(origin, context=tls.client, connect_s=0.3).dial()

    on_loop(run())


async def puzzled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A plain server that is greeted in TLS."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()


def test_certificates_are_checked(on_loop: OnLoop, tls: Wire) -> None:
    """Somebody in between would read every token."""

    async def run() -> None:
        async with serving(answering(OK), tls) as server:
            stranger = Dialer(
                Origin.of(f"https://127.0.0.1:{server.port}"), context=ssl.create_default_context()
            )
            with pytest.raises(UnreachableError, match="certificate is not good"):
                await stranger.dial()
            elsewhere = Dialer(Origin.of(f"https://127.0.0.2:{server.port}"), context=tls.client)
            elsewhere._addresses = ["127.0.0.1"]
            elsewhere._resolved_at = asyncio.get_running_loop().time()
            with pytest.raises(UnreachableError, match="certificate is not good"):
                await elsewhere.dial()
        async with serving(puzzled) as plain:
            origin = Origin.of(f"https://127.0.0.1:{plain.port}")
            with pytest.raises(UnreachableError, match="no TLS"):
                await Dialer(origin, context=tls.client).dial()

    on_loop(run())


def proxy(asked: list[bytes], verdict: bytes) -> Script:
    """Tunnels to where CONNECT says, when the verdict is 200."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request_of(reader)
        asked.append(head)
        writer.write(verdict)
        await writer.drain()
        if b" 200" not in verdict:
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(pipe(reader, ours), pipe(theirs, writer))
        finally:
            ours.transport.abort()

    return script


@pytest.mark.parametrize(
    "verdict", [b"HTTP/1.0 200 Connection established\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_a_proxys_tunnel(on_loop: OnLoop, wire: Wire, verdict: bytes) -> None:
    """Where api.telegram.org is filtered, nothing could be sent."""
    asked: list[bytes] = []

    async def run() -> None:
        async with (
            asyncio.timeout(10),
            serving(answering(OK), wire) as server,
            serving(proxy(asked, verdict)) as middle,
        ):
            dialer = Dialer(
                Origin.of(server.url),
                context=wire.client,
                proxy=Proxy.of(f"http://user:p%40ss@127.0.0.1:{middle.port}"),
            )
            assert await ask(await dialer.dial()) == b"ok"
            [head] = asked
            assert head.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())
            assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in head

    on_loop(run())


def test_a_proxy_that_refuses(on_loop: OnLoop) -> None:
    """Its reason is told, and its password is not."""
    asked: list[bytes] = []
    verdict = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nno no"

    async def run() -> None:
        async with serving(proxy(asked, verdict)) as middle:
            through = Proxy.of(f"http://user:secret@127.0.0.1:{middle.port}")
            assert "secret" not in repr(through)
            with pytest.raises(UnreachableError, match="the proxy answered 407"):
                await Dialer(Origin.of("http://127.0.0.1:1"), proxy=through).dial()

    on_loop(run())
