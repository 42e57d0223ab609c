"""One connection, one exchange at a time: a request out of memory that is not ours, an answer into
such memory.

The transport writes an answer's body straight to where `Sink.place` says: nothing is copied but
what came together with the head. Requests are written as they are; the transport keeps references
to what the kernel has not taken yet, so an exchange ends only when it holds none any more, or when
the connection is gone. That is what makes an extent free for another object.

Between exchanges, and behind the end of an answer, the server has nothing to say: whatever comes
then lands in a scratch buffer of the connection's own, and the connection is not used again.

No timer belongs to a connection: whoever keeps it calls `sweep` a few times a second, which ends
exchanges that take too long (see `Patience`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, cast

from prewarmd.worker.http.answer import Answer, Collector, Place, Sink, Small
from prewarmd.worker.http.errors import GarbledError, HttpError, LostError, TimedOutError
from prewarmd.worker.http.head import Head, Parser
from prewarmd.worker.http.outgoing import Outgoing
from prewarmd.worker.http.patience import Patience, Watch

SCRATCH_BYTES, READ_BYTES = 16 << 10, 4 << 10
"""A head may have so many. Fewer are read at once: what comes with it has to be copied twice."""
_HEAD_END = b"\r\n\r\n"


class _Stage(Enum):
    IDLE = "idle"
    HEAD = "head"
    LANDING = "landing"
    COLLECTING = "collecting"
    WAITING = "waiting"


Body = Callable[["Connection"], Awaitable[None]] | Sequence[bytes | memoryview]


class Connection(asyncio.BufferedProtocol):
    """Made by `dialer`, kept by `pool`."""

    def __init__(self, now: float) -> None:
        self.used = 0
        """Exchanges so far."""
        self.since = now
        """When its last exchange ended."""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call (getpid)
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._scratch = bytearray(SCRATCH_BYTES)
        self._view = memoryview(self._scratch)
        self._filled = 0
        self._stage = _Stage.IDLE
        self._sink: Sink = Small()
        self._watch = Watch(Patience(), now)
        self._parser = Parser()
        self._into: memoryview | None = None
        self._done_bytes = self._length = 0
        self._collector: Collector | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._out = Outgoing(self._loop, self._lost)
        self._is_written = True
        self.rests = False
        """Its writer waits for something of its own, and not for the server."""
        self.is_tunnelling = False
        """The answer is a proxy's: behind a 200 begins what it tunnels."""
        self._is_fit = True
        """Nothing happened after which it cannot be used again."""
        self._written_at = now
        self._moved_bytes = 0

    # -- asyncio ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.attach(cast("asyncio.Transport", transport))  # uvloop's is none by inheritance

    def attach(self, transport: asyncio.Transport) -> None:
        """That transport carries it from now on: the first, or TLS within a tunnel."""
        self._transport = transport
        self._out.attach(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio. Never empty, also when nothing is expected: TLS asks in advance."""
        if self._into is not None:
            return self._into[self._done_bytes :]
        if self._filled == SCRATCH_BYTES:  # while memory is waited for, or of garbage
            self._filled = 0
            self._is_fit = False
        return self._view[self._filled : self._filled + READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio."""
        self._moved_bytes += nbytes
        if self._into is not None:
            self._done_bytes += nbytes
            if self._done_bytes == self._length:
                self._into = None  # first: a byte behind the body must not land in anybody's media
                self._sink.landed(self._length)
                self._finish(Answer(self._parser.head))
            else:
                self._sink.landed(self._done_bytes)
            return
        self._filled += nbytes
        try:
            self._digest()
        except HttpError as error:
            self._fail(error)

    def _close_body(self) -> None:
        """The connection ended in good order, and so does a body that has no other end."""
        collector = self._collector
        if self._stage is _Stage.COLLECTING and collector and collector.is_until_close:
            self._finish(collector.answer())

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._is_fit = False
        if exc is None:
            self._close_body()
        self._settle(LostError(self._where()))
        self._into = None
        self._out.wake()
        if not self._lost.done():
            self._lost.set_result(None)

    def pause_writing(self) -> None:
        """See asyncio."""
        self._out.fill()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._out.resume()

    # -- an exchange -----------------------------------------------------------------------------

    async def exchange(
        self, request: bytes, sink: Sink, patience: Patience, body: Body = ()
    ) -> Answer:
        """Send a request; its answer. Pieces of a body leave with it, in one system call; a writer
        sends one by `write`, which tells when to stop. Raises HttpError, and then it is gone."""
        assert self._stage is _Stage.IDLE
        assert self._transport is not None
        self._begin(sink, patience, self._loop.time())
        self.used += 1
        answer = self._expect()
        try:
            if not answer.done():
                pieces = (request,) if callable(body) else (request, *body)
                self._out.write(*pieces)
                if callable(body):
                    await body(self)
            if not self._is_written:
                self._is_written, self._written_at = True, self._loop.time()
            return await answer
        finally:
            await self._end(answer)
            del answer  # an error that it holds holds this frame, and so what it was given

    def _begin(self, sink: Sink, patience: Patience, now: float) -> None:
        self._sink, self._watch = sink, Watch(patience, now)
        self._stage = _Stage.HEAD
        self._parser = Parser()
        self._collector = None
        self._done_bytes = 0
        self._is_written = False
        self._out.begin()
        self._moved_bytes = 0

    async def write(self, piece: bytes | memoryview, *, last: bool = False) -> bool:
        """Send a piece of the body, and wait until the socket can take another; False when no more
        is wanted, because the answer is here already or the connection is gone. Behind the `last`
        one the answer may come while this waits, and is none that came too early."""
        assert self._transport is not None
        assert self._answer is not None
        if self._answer.done():
            return False
        self._out.write(piece)
        if last:
            self._is_written, self._written_at = True, self._loop.time()
        if self._transport.is_closing():
            await self.gone()  # it found the peer gone, and takes whatever it is given
        if self._out.is_tls:
            await asyncio.sleep(0)  # the transport below TLS, too; and others have their turn
        while self._out.is_full and not self._answer.done():
            await self._out.change()
        return not self._answer.done()

    async def until(self, done: asyncio.Future[Any]) -> bool:
        """Within `write`: wait for something of the caller's, which is not held against the server;
        False when no more is wanted, as in `write`."""
        assert self._answer is not None
        done.add_done_callback(self._out.wake)
        self.rests = True
        try:
            while not (done.done() or self._answer.done()):
                await self._out.change()
        finally:
            self.rests = False
            done.remove_done_callback(self._out.wake)
        self._watch.rested(self._loop.time())
        return not self._answer.done()

    async def flushed(self) -> bool:
        """Within `write`: wait until the transport refers to nothing that was written; False when
        no more is wanted, as in `write`."""
        assert self._answer is not None
        await self._out.drained(self._answer)
        return not self._answer.done()

    async def land(self, into: memoryview) -> None:
        """Go on with an answer that waited for memory: of its length, or less (see Sink)."""
        assert self._stage is _Stage.WAITING
        assert self._transport is not None
        self._watch.rested(self._loop.time())
        answer = self._expect()
        try:
            if not answer.done():
                self._start_landing(into)
                self._transport.resume_reading()
            await answer
        finally:
            await self._end(answer)
            del answer

    def _expect(self) -> asyncio.Future[Answer]:
        answer = self._answer = self._loop.create_future()
        if not self._is_fit:
            self._settle(LostError("the connection had ended"))
        return answer

    async def _end(self, answer: asyncio.Future[Answer]) -> None:
        """However it ended, the transport refers to nothing of ours afterwards."""
        self.since = self._loop.time()
        answer.cancel()  # nobody waits for it any more
        is_answered = not answer.cancelled() and answer.exception() is None
        self._is_fit &= is_answered
        if self._is_fit:
            await self._out.drained()  # the server has answered, and still reads on
        if not self._is_fit:
            if not is_answered or self._out.held_bytes:
                self.abort()
            elif self._transport is not None:
                self._transport.abort()  # all is said: no reset
            await self.gone()
        self._answer = None
        if self._stage is not _Stage.WAITING:
            self._sink = Small()  # whoever it was may hold memory

    @property
    def sent_bytes(self) -> int:
        """Of the request, head included, that the socket has taken."""
        return self._out.taken_bytes

    @property
    def piece_bytes(self) -> int:
        """What is best written at once."""
        return self._out.piece_bytes

    # -- what comes in ---------------------------------------------------------------------------

    def _digest(self) -> None:
        """Make sense of what lies in the scratch buffer."""
        while self._filled:
            match self._stage:
                case _Stage.HEAD:
                    if not self._read_head():
                        return
                case _Stage.COLLECTING:
                    self._collect()
                    return
                case _Stage.WAITING:
                    return  # it was read before reading could be paused
                case _Stage.IDLE | _Stage.LANDING:
                    self._is_fit = False  # nobody asked
                    self._filled = 0
                    if self._answer is None:
                        self.abort()
                    return

    def _read_head(self) -> bool:
        """Whether one was there, and there may be more to make sense of."""
        end = self._scratch.find(_HEAD_END, 0, self._filled)
        if end < 0:
            if self._filled == SCRATCH_BYTES:
                raise GarbledError(f"a head of more than {SCRATCH_BYTES} bytes")
            return False
        end += len(_HEAD_END)
        self._parser.feed(self._view[:end])
        head = self._parser.head
        self._consume(end)
        if head.is_interim:
            self._parser = Parser()
            return True
        if not head.status:
            raise GarbledError("not HTTP")
        self._place(head)
        return True

    def _consume(self, nbytes: int) -> None:
        rest = self._filled - nbytes
        if rest:
            self._view[:rest] = bytes(self._view[nbytes : self._filled])
        self._filled = rest

    def _place(self, head: Head) -> None:
        if head.length == 0 or (self.is_tunnelling and head.status < 300):
            self._finish(Answer(head))
            return
        place = self._sink.place(head)
        if isinstance(place, memoryview):
            self._start_landing(place)
        elif place is Place.WAIT:
            assert self._transport is not None
            self._stage = _Stage.WAITING
            self._transport.pause_reading()
            self._settle(Answer(head))
        elif place is Place.NONE:
            self._finish(Answer(head))
        else:
            self._stage = _Stage.COLLECTING
            self._collector = Collector(self._parser)

    def _start_landing(self, into: memoryview) -> None:
        """What came with the head is copied, the rest goes where it belongs by itself."""
        self._length = len(into)
        self._is_fit &= self._length == self._parser.head.length
        here = min(self._filled, self._length)
        into[:here] = self._view[:here]
        self._consume(here)
        self._done_bytes = here
        self._sink.landed(here)
        if here == self._length:
            self._finish(Answer(self._parser.head))
        else:
            self._stage = _Stage.LANDING
            self._into = into

    def _collect(self) -> None:
        collector = self._collector
        assert collector is not None
        self._consume(collector.take(self._view[: self._filled]))
        if collector.is_over:
            self._is_fit &= not collector.is_strange
            self._finish(collector.answer())

    def _finish(self, answer: Answer) -> None:
        """The answer is whole."""
        self._stage = _Stage.IDLE
        keeps = answer.head.keep_alive or self.is_tunnelling
        self._is_fit &= keeps and self._is_written and not self._filled
        self._settle(answer)

    def _fail(self, error: HttpError) -> None:
        self._is_fit = False
        self._settle(error)
        self.abort()

    def _settle(self, outcome: Answer | HttpError) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        if isinstance(outcome, Answer):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)
        self._out.wake()

    def _where(self) -> str:
        if self._stage is _Stage.LANDING or self._stage is _Stage.COLLECTING:
            done = self._collector.done_bytes if self._collector else self._done_bytes
            whole = self._parser.head.length
            if whole is None:
                return "the connection ended within the answer"
            return f"the connection ended after {done} of {whole} bytes"
        if not self._is_written:
            return f"the connection ended after {self.sent_bytes} bytes of the request"
        return "the connection ended before the answer"

    # -- its end ---------------------------------------------------------------------------------

    @property
    def is_fit(self) -> bool:
        """Whether it may be used for another exchange."""
        return self._is_fit and self._stage is _Stage.IDLE and not self._lost.done()

    def sweep(self, now: float) -> None:
        """End an exchange that takes too long."""
        if self._answer is None or self._stage is _Stage.WAITING or self.rests:
            return
        held_bytes = self._out.held_bytes
        awaits_head = self._stage is _Stage.HEAD and self._is_written and not held_bytes
        moved_bytes = self._moved_bytes + self._out.written_bytes - held_bytes
        sent_at = self._written_at if awaits_head else None
        if late := self._watch.lateness(now, moved_bytes, sent_at):
            self._fail(TimedOutError(late))

    def abort(self) -> None:
        """End it now. The peer sees a reset."""
        self._is_fit = False
        self._out.reset()

    async def gone(self) -> None:
        """Wait until the transport is, and refers to nothing any more."""
        if self._transport is not None:
            await asyncio.shield(self._lost)
