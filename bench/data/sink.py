"""A Bot API server that hashes every file it is given, and tells: run as `python -m
bench.data.sink`, it prints its ports.

A canned answer proves nothing about what was sent. This one answers with the hash of the file as
its file_id, so that whoever records a file_id has recorded what arrived. GET /report gives all
hashes since the last report. It keeps nothing of a file, and may be far away (`link`). Its CPU is
not part of any figure.
"""

import asyncio
import hashlib
import re
import ssl
import subprocess
import sys
import urllib.request
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from bench.data.link import NEAR, Distance, Link
from prewarmd.sandbox import children

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BOUNDARY = re.compile(rb'boundary="?([^\s";]+)', re.IGNORECASE)
_END = b"\r\n\r\n"


class Sink:
    """The process, from outside; over TLS when it is given a folder with `certificate.pem` and
    `key.pem`. Reports are had over plain http, always."""

    def __init__(self, certified: Path | None = None, distance: Distance = NEAR) -> None:
        self._certified = certified
        self._distance = distance
        self._process: subprocess.Popen[bytes] | None = None
        self._port = self._tls_port = 0

    @property
    def url(self) -> str:
        """Where uploads go."""
        if self._certified:
            return f"https://localhost:{self._tls_port}"
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "Sink":
        command: list[str | Path] = [sys.executable, "-m", __name__, *self._distance.words()]
        command += [self._certified] if self._certified else []
        self._process = children.start(command, pipes=True, loud=True)
        assert self._process.stdout is not None
        self._port, self._tls_port = map(int, self._process.stdout.readline().split())
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            children.stop(self._process)

    def report(self) -> Counter[str]:
        """Hash -> how often a file with it arrived whole, since the last report."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/report") as answer:
            return Counter(orjson.loads(answer.read()))


class _Client(asyncio.Protocol):
    """A connection to it: requests one after another."""

    def __init__(self, seen: Counter[str], distance: Distance) -> None:
        self._seen = seen
        self._distance = distance
        self._link = Link(distance.bytes_per_s)
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.Handle | None = None
        self._transport: asyncio.Transport | None = None
        self._waits = bytearray()
        """What came and is not understood yet: heads, never a file."""
        self._left_bytes = -1
        """Of a body; -1: a head is expected."""
        self._file_bytes = -1
        """Of the file in it; -1: its part has not begun."""
        self._tail = b""
        self._digest = hashlib.sha256()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._later is not None:
            self._later.cancel()

    def data_received(self, data: bytes) -> None:
        wait_s = self._link.wait_s(len(data), self._loop.time())
        if not wait_s:
            self._arrived(data)
            return
        assert self._transport is not None
        self._transport.pause_reading()
        self._later = self._loop.call_later(wait_s, self._carried, data)

    def _carried(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.resume_reading()
        self._arrived(data)

    def _arrived(self, data: bytes) -> None:
        self._waits += data
        while self._step():
            pass

    def _step(self) -> bool:
        """Whether something was understood."""
        if self._left_bytes < 0:
            return self._head()
        if self._file_bytes < 0:
            return self._part()
        if self._file_bytes:
            return self._file()
        return self._close()

    def _take(self, nbytes: int) -> bytes:
        taken = bytes(self._waits[:nbytes])
        del self._waits[:nbytes]
        return taken

    def _head(self) -> bool:
        end = self._waits.find(_END)
        if end < 0:
            return False
        head = self._take(end + len(_END))
        if head.startswith(b"GET "):
            self._answer(self._seen)
            self._seen.clear()
            return True
        length, boundary = _LENGTH.search(head), _BOUNDARY.search(head)
        assert length is not None
        assert boundary is not None
        self._left_bytes = int(length[1])
        self._tail = b"\r\n--" + boundary[1] + b"--\r\n"
        return True

    def _part(self) -> bool:
        at = self._waits.find(b"filename=")
        end = self._waits.find(_END, at) if at >= 0 else -1
        if end < 0:
            return False
        end += len(_END)
        self._take(end)
        self._left_bytes -= end
        self._file_bytes = self._left_bytes - len(self._tail)
        self._digest = hashlib.sha256()
        return True

    def _file(self) -> bool:
        piece = self._take(min(self._file_bytes, len(self._waits)))
        self._digest.update(piece)
        self._file_bytes -= len(piece)
        self._left_bytes -= len(piece)
        return bool(piece)

    def _close(self) -> bool:
        if len(self._waits) < self._left_bytes:
            return False
        whole = self._take(self._left_bytes) == self._tail
        self._left_bytes = self._file_bytes = -1
        sha256 = self._digest.hexdigest() if whole else "cut"
        self._seen[sha256] += 1
        photo = {"file_id": sha256, "file_unique_id": sha256[:16], "width": 9, "height": 9}
        result = {"message_id": 7, "photo": [photo]}
        answer = partial(self._answer, {"ok": True, "result": result})
        if self._distance.first_byte_s:
            self._later = self._loop.call_later(self._distance.first_byte_s, answer)
        else:
            answer()
        return True

    def _answer(self, value: Any) -> None:
        assert self._transport is not None
        body = orjson.dumps(value)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


async def _serve(distance: Distance, certified: str) -> None:
    client = partial(_Client, Counter[str](), distance)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(client, sock=distance.listening())]
    if certified:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(f"{certified}/certificate.pem", f"{certified}/key.pem")
        servers.append(await loop.create_server(client, sock=distance.listening(), ssl=context))
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(ports[0], ports[-1], flush=True)
    await servers[0].serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Distance.of(sys.argv[1:3]), "".join(sys.argv[3:])))
