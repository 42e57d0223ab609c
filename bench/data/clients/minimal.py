"""The bare minimum: uvloop and HTTP by hand, for servers that never err. No queue, no store, no
time-outs, no errors, nothing but the work: what a media costs when nothing else is done.

Two connections a slot. The GET's body lands in the slot's memory, is hashed there, and goes out of
it in the POST; the answer to that starts the slot's next GET.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from typing import cast

import orjson

from bench.data.clients.base import CHAT, CREDENTIALS, REGION, TOKEN, Asked, Plan
from prewarmd.worker.http.dialer import Origin
from prewarmd.worker.signing import Signer, object_path

BOUNDARY = "minimalminimalminimalminimal"
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
PART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n{CHAT}\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
HEAD_BYTES_MAX = 4096


class Client:
    """See `base`."""

    async def open(self, plan: Plan) -> None:
        self.plan = plan
        self.signer = Signer(REGION)
        store, telegram = Origin.of(plan.store), Origin.of(plan.telegram)
        self.host = store.authority
        self.post_head = (
            f"POST /bot{TOKEN}/sendPhoto HTTP/1.1\r\nHost: {telegram.authority}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: "
        )
        self.rest: Iterator[tuple[str, int]] = iter(())
        loop = asyncio.get_running_loop()
        self._slots = []
        for _ in range(plan.slots):
            slot = _Slot(self)
            await loop.create_connection(lambda s=slot: s, store.host, store.port)  # type: ignore[misc]
            await loop.create_connection(lambda s=slot: _Answer(s), telegram.host, telegram.port)  # type: ignore[misc]
            self._slots.append(slot)

    async def close(self) -> None:
        for slot in self._slots:
            slot.close()

    async def media(self, asked: Asked) -> None:
        self.rest = iter(asked)
        self.busy = len(self._slots)
        self.done = asyncio.get_running_loop().create_future()
        for slot in self._slots:
            slot.go_on()
        await self.done

    def idle(self) -> None:
        """A slot has nothing left to do."""
        self.busy -= 1
        if not self.busy:
            self.done.set_result(None)


class _Slot(asyncio.BufferedProtocol):
    """Its connection to the store, and its memory."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._head = memoryview(bytearray(HEAD_BYTES_MAX))
        self._memory = memoryview(bytearray(client.plan.most_bytes))
        self._size_bytes = self._filled = 0
        self._in_body = False
        self._get: asyncio.Transport
        self.post: asyncio.Transport

    def close(self) -> None:
        """End both connections."""
        self._get.close()
        self.post.close()

    def go_on(self) -> None:
        """GET the next object."""
        client = self._client
        key, self._size_bytes = next(client.rest, ("", 0))
        if not key:
            client.idle()
            return
        path = object_path(client.plan.bucket, key)
        headers = client.signer.sign("GET", client.host, path, {}, CREDENTIALS, time.time())
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        self._filled, self._in_body = 0, False
        self._get.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._get = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._memory[self._filled :] if self._in_body else self._head[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if not self._in_body:
            came = bytes(self._head[: self._filled])
            end = came.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            assert came.startswith(b"HTTP/1.1 200"), came
            self._filled -= end
            self._memory[: self._filled] = came[end:]
            self._in_body = True
        if self._filled == self._size_bytes:
            self._send()

    def _send(self) -> None:
        view = self._memory[: self._size_bytes]
        hashlib.sha256(view).hexdigest()
        length = len(PART) + self._size_bytes + len(TAIL)
        self.post.write(f"{self._client.post_head}{length}\r\n\r\n".encode() + PART)
        self.post.write(view)
        self.post.write(TAIL)


class _Answer(asyncio.Protocol):
    """A slot's connection to Telegram."""

    def __init__(self, slot: _Slot) -> None:
        self._slot = slot
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._slot.post = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        end = self._came.find(b"\r\n\r\n") + 4
        if end < 4 or not self._came.endswith(b"}"):
            return
        answer = orjson.loads(self._came[end:])
        assert answer["result"]["photo"][-1]["file_id"]
        self._came = b""
        self._slot.go_on()
