"""An object store whose objects are made as they are sent: run as `python -m bench.data.store`, it
prints its port.

So they may be larger than what a disk should hold, and come from as far away as is wanted
(`link`). It answers GETs, by Range and If-Match if they say so, with a strong ETag. Signatures are
not checked. Its CPU is not part of any figure.
"""

import asyncio
import re
import subprocess
import sys
from functools import cache, partial

import uvloop

from bench.data.link import NEAR, Distance, Link
from bench.data.objects import Endless
from prewarmd.sandbox import children

PIECE_BYTES = 64 << 10
_OBJECT = re.compile(rb"^GET /\S+/(\w+)-(\d+)\.bin HTTP/1\.1\r\n")
_RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)
_IF_MATCH = re.compile(rb"\r\nif-match: (\S+)\r\n", re.IGNORECASE)

_endless = cache(Endless)


class Store:
    """The process, from outside. A context: started and stopped."""

    def __init__(self, distance: Distance = NEAR) -> None:
        self._distance = distance
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> "Store":
        command = [sys.executable, "-m", __name__, *self._distance.words()]
        self._process = children.start(command, pipes=True, loud=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            children.stop(self._process)


async def _connected(
    distance: Distance, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    link = Link(distance.bytes_per_s)
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(distance.first_byte_s)
            await _answer(head, link, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has what it wants
    finally:
        writer.close()


async def _answer(head: bytes, link: Link, writer: asyncio.StreamWriter) -> None:
    asked, ranged, wanted = _OBJECT.match(head), _RANGE.search(head), _IF_MATCH.search(head)
    if asked is None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    size_bytes = int(asked[2])
    etag = b'"%s-%d"' % (asked[1], size_bytes)
    if wanted is not None and wanted[1] != etag:
        writer.write(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
        return
    start, end, status, more = 0, size_bytes, b"200 OK", b""
    if ranged is not None:
        start, end = int(ranged[1]), min(int(ranged[2]) + 1, size_bytes)
        status = b"206 Partial Content"
        more = b"Content-Range: bytes %d-%d/%d\r\n" % (start, end - 1, size_bytes)
    told = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nETag: %s\r\nAccept-Ranges: bytes\r\n%s\r\n"
    writer.write(told % (status, end - start, etag, more))
    data, loop = _endless(asked[1].decode()), asyncio.get_running_loop()
    for at in range(start, end, PIECE_BYTES):
        piece = data.stretch(at, min(at + PIECE_BYTES, end))
        if wait_s := link.wait_s(len(piece), loop.time()):
            await asyncio.sleep(wait_s)
        writer.write(piece)
        await writer.drain()


async def _serve(distance: Distance) -> None:
    listener = distance.listening()
    server = await asyncio.start_server(partial(_connected, distance), sock=listener)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Distance.of(sys.argv[1:])))
