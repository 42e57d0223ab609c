"""The HTTP of the Bot API server: an asyncio protocol over httptools, thin around `World`.

Paths: `/bot<token>/<method>` and `/bot<token>/test/<method>` for clients, `/file/bot<token>/<path>`
for what getFile names, `/__sandbox/<page>` for tests and the demo (see `control`).

An error found in mid-body (413, rubbish) is answered at once, and what still comes is thrown away
until the client has seen it: closing at once would reset the connection, and the answer with it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import httptools
import orjson

from prewarmd.sandbox.botapi import album
from prewarmd.sandbox.botapi.body import Body, body_of
from prewarmd.sandbox.botapi.control import Control
from prewarmd.sandbox.botapi.errors import ApiError
from prewarmd.sandbox.botapi.page import PageMissingError
from prewarmd.sandbox.botapi.pages import Pages
from prewarmd.sandbox.botapi.parameters import Parameters
from prewarmd.sandbox.botapi.queue import Queue
from prewarmd.sandbox.botapi.script import Rule, Script
from prewarmd.sandbox.botapi.shapes import BotAccount
from prewarmd.sandbox.botapi.world import FIELD_OF, World
from prewarmd.sandbox.flood import Flood, FloodPolicy, Send, Shape, Verdict

LINGER_S = 5.0
MESSAGES = {*FIELD_OF, "sendmessage", "sendmediagroup", "forwardmessage",
    "copymessage", "copymessages"}  # fmt: skip
"""What sends some."""
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    413: "Request Entity Too Large", 421: "Misdirected Request", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway"}  # fmt: skip


class Server:
    """What all connections share."""

    def __init__(
        self,
        world: World,
        *,
        latency_s: float = 0.0,
        floods: FloodPolicy | None = None,
        hashes: bool = True,
    ) -> None:
        self.world = world
        self.hashes = hashes
        self.pages = Pages(hashes=hashes)
        self.queue = Queue(Flood(floods)) if floods is not None else None
        """None: nobody is ever too fast."""
        self.script = Script()
        self.latency_s = latency_s
        self.connections: set[Connection] = set()
        self.control = Control(world, self.script, self.queue, self._uploads)
        self._fetches: set[asyncio.Future[None]] = set()

    def connection(self) -> "Connection":
        """A protocol for one accepted connection."""
        return Connection(self)

    def _uploads(self) -> list[int]:
        return [one.seen_bytes for one in self.connections if one.uploading]

    def fetch(self, url: str, given: Parameters, then: Callable[[], None]) -> None:
        """Get a page for a request that names it, and go on; nobody else waits meanwhile."""

        async def fetched() -> None:
            given.pages[url] = await self.pages.page(url)
            then()

        task = asyncio.ensure_future(fetched())
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)


class Request:
    """One request as far as it has arrived."""

    def __init__(self) -> None:
        self.began = asyncio.get_running_loop().time()
        self.url = b""
        self.headers: dict[str, str] = {}
        self.control_path = ""
        self.file_path = ""
        self.method = ""
        self.bot: BotAccount | None = None
        self.query: dict[str, str] = {}
        self.body: Body | None = None
        self.control_body = bytearray()
        self.rule: Rule | None = None
        self.answered = False


class Connection(asyncio.Protocol):
    """One client's connection: one request after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._timers: set[asyncio.TimerHandle] = set()
        self.seen_bytes = 0
        self.uploading = False

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        self._server.connections.discard(self)
        for timer in self._timers:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close()
        except httptools.HttpParserError:
            # What the server's own HTTP parser says: a status line and nothing else.
            self._write(400, b"", close=True)
            self._close()

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._timers.add(self._loop.call_later(delay_s, act))

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _reset(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- httptools callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A new request."""
        self._request = Request()
        self.seen_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Enough to know whom it is for."""
        request = self._request
        try:
            self._route(request)
        except ApiError as error:
            self._answer_error(error)
        if request.headers.get("expect", "").lower() == "100-continue" and not request.answered:
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _route(self, request: Request) -> None:
        target = httptools.parse_url(request.url)
        path = unquote((target.path or b"").decode("latin-1"))
        if path.startswith("/__sandbox/"):
            request.control_path = path.removeprefix("/__sandbox/")
            return
        if not path.startswith(("/bot", "/file/bot")):
            raise ApiError(404, "Not Found")
        token, _, method = path.removeprefix("/file").removeprefix("/bot").partition("/")
        if path.startswith("/file/"):
            request.bot, request.file_path = self._server.world.bot_of(token), method
            return
        request.method = method.removeprefix("test/").lower()
        request.bot = self._server.world.bot_of(token)
        request.query = dict(parse_qsl((target.query or b"").decode("latin-1")))
        declared = int(request.headers.get("content-length") or 0)
        if declared > self._server.world.files.bytes_max + (1 << 20):
            raise ApiError(413, "Request Entity Too Large")
        if request.headers.get("content-type"):
            request.body = body_of(request.headers["content-type"], hashes=self._server.hashes)
        self.uploading = request.method.startswith("send")
        request.rule = self._server.script.take(
            request.method, request.bot.username, None, early=True
        )

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        request = self._request
        if request.answered:
            return  # thrown away, see the head of this file
        self.seen_bytes += len(data)
        if request.control_path:
            request.control_body += data
            return
        rule = request.rule
        if rule is not None and rule.cut == "body" and self.seen_bytes >= rule.cut_bytes:
            request.answered = True
            self._reset()
            return
        if request.body is not None:
            try:
                request.body.feed(data)
            except ApiError as error:
                self._answer_error(error)
                return
        if rule is not None and rule.read_bytes_per_s and self._transport is not None:
            self._transport.pause_reading()
            self._later(len(data) / rule.read_bytes_per_s, self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self._request
        self.uploading = False
        if request.answered:
            self._close()
        elif request.control_path:
            verb = self._parser.get_method().decode()
            body = bytes(request.control_body)
            status, answer = self._server.control.answer(verb, request.control_path, body)
            self._write(status, orjson.dumps(answer))
        elif request.file_path:
            self._download(request)
        else:
            self._answer(request)

    # -- answers -----------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        server = self._server
        assert request.bot is not None
        try:
            given = request.body.finish() if request.body is not None else Parameters()
            given.texts = {**request.query, **given.texts}
            rule = server.script.take(
                request.method, request.bot.username, given.number("chat_id"), early=False
            )
        except ApiError as error:
            self._answer_error(error, whole=True)
            return
        if rule is not None and (rule.status or rule.raw is not None) and not rule.delivers:
            self._fail_by(rule)
            return
        send = self._send(request, given)
        if server.queue is None or send is None:
            self._carry_out(request, given, rule)
            return

        def judged(verdict: Verdict) -> bool:
            if verdict.shape is Shape.DELIVERED:
                self._carry_out(request, given, rule)
            else:
                text = _error(verdict.status, verdict.description, verdict.parameters)
                wait = verdict.parameters.get("retry_after")
                self._write(verdict.status, text, retry_after=wait)
            return self._transport is not None

        server.queue.send(send, request.began, judged)

    def _send(self, request: Request, given: Parameters) -> Send | None:
        """What the flood model is asked about; None of what sends no message."""
        chat_id, world = given.number("chat_id"), self._server.world
        if request.method not in MESSAGES or chat_id not in world.chats:
            return None
        assert request.bot is not None
        files, items = given.files.values(), 1
        if request.method == "sendmediagroup":
            items = album.count(given)
        elif request.method == "copymessages":
            items = max(1, len(given.numbers("message_ids")))
        size_bytes = sum(file.size_bytes for file in files)
        return Send(request.bot.username, chat_id, size_bytes, items, is_upload=bool(files))

    def _carry_out(self, request: Request, given: Parameters, rule: Rule | None) -> None:
        server = self._server
        assert request.bot is not None
        try:
            result = server.world.answer(request.bot, request.method, given, int(time.time()))
        except ApiError as error:
            self._answer_error(error, whole=True)
            return
        except PageMissingError as wanted:
            self._server.fetch(wanted.url, given, lambda: self._carry_out(request, given, rule))
            return
        if rule is not None and rule.cut == "answer":
            self._reset()
            return
        if rule is not None and rule.delivers:
            self._fail_by(rule)
            return
        latency_s = server.latency_s if request.method.startswith("send") else 0.0
        delay_s = latency_s + (rule.delay_s if rule is not None else 0.0)
        body = orjson.dumps({"ok": True, "result": result})
        if delay_s:
            self._later(delay_s, lambda: self._write(200, body))
        else:
            self._write(200, body)

    def _download(self, request: Request) -> None:
        try:
            data = self._server.world.files.content(request.file_path)
        except ApiError as error:
            self._answer_error(error, whole=True)
        else:
            self._write(200, data, kind="application/octet-stream")

    def _fail_by(self, rule: Rule) -> None:
        if rule.raw is not None:
            body, kind = rule.raw.encode(), "text/html"
        else:
            body, kind = _error(rule.status, rule.description, rule.parameters), ""
        wait = rule.parameters.get("retry_after")
        status = rule.status or 200
        self._later(rule.delay_s, lambda: self._write(status, body, kind=kind, retry_after=wait))

    def _answer_error(self, error: ApiError, *, whole: bool = False) -> None:
        """Say what is wrong; unless the request is `whole`, what still comes is thrown away."""
        request = self._request
        request.answered = True
        text = _error(error.status, error.description, error.parameters)
        self._write(error.status, text, close=not whole)
        if not whole:
            self._later(LINGER_S, self._close)

    def _write(
        self, status: int, body: bytes, *, close: bool = False, kind: str = "",
        retry_after: int | None = None,
    ) -> None:  # fmt: skip
        if self._transport is None:
            return
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nServer: nginx/1.18.0\r\n"
        head += f"Content-Type: {kind or 'application/json'}\r\nContent-Length: {len(body)}\r\n"
        head += f"Connection: {'close' if close else 'keep-alive'}\r\n"
        if retry_after is not None:
            head += f"Retry-After: {retry_after}\r\n"
        self._transport.write(f"{head}\r\n".encode() + body)


def _error(status: int, description: str, parameters: dict[str, int]) -> bytes:
    answer: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        answer["parameters"] = parameters
    return orjson.dumps(answer)
