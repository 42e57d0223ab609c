"""Servers that do what a script says, and nothing that HTTP would ask of them."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trustme

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Wire:
    """Plain, or TLS with a certificate authority of the test's own."""

    server: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None

    @property
    def scheme(self) -> str:
        """Of URLs."""
        return "https" if self.server else "http"


def tls_wire() -> Wire:
    """A server certificate for 127.0.0.1 and localhost, and who trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    authority.configure_trust(client)
    return Wire(server, client)


@dataclass
class Scripted:
    """A server; each connection is given to the script."""

    url: str
    port: int
    accepted: list[asyncio.StreamWriter] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    """All that any client sent, as far as scripts read by `hear`."""


@asynccontextmanager
async def serving(
    script: Script, wire: Wire | None = None, **options: object
) -> AsyncIterator[Scripted]:
    """A server on a free loopback port, gone afterwards with all its connections."""
    wire = wire or Wire()
    scripted = Scripted("", 0)
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scripted.accepted.append(writer)
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await script(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError, RuntimeError):
            pass  # the client went, in any loop's words: that is what many a test is about
        finally:
            running.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=wire.server, limit=1 << 20)
    scripted.port = server.sockets[0].getsockname()[1]
    scripted.url = f"{wire.scheme}://127.0.0.1:{scripted.port}"
    try:
        yield scripted
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for writer in scripted.accepted:
            writer.transport.abort()
        await server.wait_closed()


async def silence() -> None:
    """Do nothing, until the server is over."""
    await asyncio.Event().wait()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a process does that dies: what the peer has not read may be lost."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """A request's head."""
    return await reader.readuntil(b"\r\n\r\n")


async def while_there(writer: asyncio.StreamWriter, every_s: float) -> AsyncIterator[None]:
    """Now and then, for as long as the client has not gone."""
    leaving = asyncio.ensure_future(writer.wait_closed())
    while not leaving.done():
        yield
        await asyncio.wait([leaving], timeout=every_s)
    leaving.exception()  # a reset is a way to go


async def goes_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the client goes, or says something; it is given so long."""
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return False
    return True


def answering(*answers: bytes, pieces: int = 0, came: asyncio.Event | None = None) -> Script:
    """One answer for each request of a connection, then the end of it. With `pieces`, an answer
    comes in pieces of so many bytes, each once the client has told by `came` that it has read the
    one before."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request_of(reader)
            step = pieces or len(answer) or 1
            for at in range(0, len(answer), step):
                if at and came is not None:
                    await came.wait()
                    came.clear()
                writer.write(answer[at : at + step])
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    return script
