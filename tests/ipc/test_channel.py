"""The pipe: framing, batching, and an end that behaves badly. All over real socketpairs."""

import asyncio
import gc
import multiprocessing
import os
import socket
from typing import Any

import orjson
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from prewarmd.errors import ProtocolError
from prewarmd.ipc.channel import FRAME_BYTES_MAX, Channel
from prewarmd.sandbox.daemon import until
from tests.support.loops import OnLoop, descriptors


class End:
    """Collects what one end sees."""

    def __init__(self) -> None:
        self.batches: list[list[list[Any]]] = []
        self.closed: list[Exception | None] = []
        self.changed = asyncio.Event()

    @property
    def messages(self) -> list[list[Any]]:
        return [message for batch in self.batches for message in batch]

    def on_batch(self, batch: list[list[Any]]) -> None:
        assert not self.closed, "a batch after the end"
        self.batches.append(batch)
        self.changed.set()

    def on_closed(self, reason: Exception | None) -> None:
        self.closed.append(reason)
        self.changed.set()

    async def until(self, messages: int = 0, closed: int = 0) -> None:
        async with asyncio.timeout(5):
            while len(self.messages) < messages or len(self.closed) < closed:
                self.changed.clear()
                await self.changed.wait()


async def adopt(end: End, half: Any, **options: int) -> Channel:
    """One end of a pipe, watched by `end`."""
    return await Channel.adopt(half, on_batch=end.on_batch, on_closed=end.on_closed, **options)


def frame(body: bytes) -> bytes:
    """The bytes of a frame, as the other end would write them."""
    return len(body).to_bytes(4, "big") + body


def test_messages_of_one_turn_are_one_frame(on_loop: OnLoop) -> None:
    """What is sent in one turn of the loop arrives as one batch, in order."""

    async def run() -> None:
        a, b = multiprocessing.Pipe(duplex=True)
        left, right = End(), End()
        ours, theirs = await adopt(left, a), await adopt(right, b)
        for number in range(100):
            ours.send(["n", number])
        await right.until(messages=100)
        assert right.batches == [[["n", n] for n in range(100)]]
        theirs.send(["back"])
        await left.until(messages=1)
        ours.close()
        await right.until(closed=1)
        await ours.wait_closed()
        assert left.closed == [None]
        assert right.closed == [None]

    on_loop(run())


def test_a_frame_larger_than_the_socket_buffer_arrives_whole(on_loop: OnLoop) -> None:
    """A page of 1000 keys, each of 1 KiB that JSON has to escape, is one message."""

    async def run() -> None:
        a, b = multiprocessing.Pipe(duplex=True)
        left, right = End(), End()
        ours, theirs = await adopt(left, a), await adopt(right, b)
        page = ["\x01" * 1024] * 1000
        ours.send(["Listed", page])
        await right.until(messages=1)
        assert right.batches == [[["Listed", page]]]
        ours.close()
        theirs.close()
        await right.until(closed=1)
        await left.until(closed=1)

    on_loop(run())


def test_a_turn_that_fills_more_than_a_frame_is_split(on_loop: OnLoop) -> None:
    """Messages that do not fit one frame together leave in several, in order, none lost."""

    async def run() -> None:
        a, b = socket.socketpair()
        left, right = End(), End()
        ours, theirs = await adopt(left, a), await adopt(right, b)
        filling = "x" * (FRAME_BYTES_MAX // 2 - 100)
        for number in range(5):
            ours.send([number, filling])
        # A message that fills a frame to its last byte, brackets and all.
        ours.send(["y" * (FRAME_BYTES_MAX - 6)])
        await right.until(messages=6)
        assert [len(batch) for batch in right.batches] == [2, 2, 1, 1]
        assert [message[0] for message in right.messages[:5]] == list(range(5))
        ours.close()
        theirs.close()
        await left.until(closed=1)

    on_loop(run())


async def test_a_message_that_cannot_be_sent_is_refused_to_its_sender() -> None:
    """Too long for a frame, or nothing that JSON knows: its sender is told, and no other message
    is lost with it."""
    a, b = socket.socketpair()
    left, right = End(), End()
    ours, theirs = await adopt(left, a), await adopt(right, b)
    ours.send(["before"])
    for bad in ("y" * (FRAME_BYTES_MAX - 5), "\ud800", b"bytes", 1 << 64, {1: object()}):
        with pytest.raises(ProtocolError):
            ours.send([bad])
    ours.send(["after"])
    await right.until(messages=2)
    assert right.messages == [["before"], ["after"]]
    ours.close()
    theirs.close()
    await left.until(closed=1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
batches_of_messages = st.lists(
    st.lists(st.lists(json_values, max_size=4), min_size=1, max_size=4), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(batches=batches_of_messages, cuts=st.lists(st.integers(1, 40), max_size=30))
def test_any_cutting_of_the_stream_decodes_the_same(batches: Any, cuts: list[int]) -> None:
    """However the bytes are cut or coalesced on their way: the same batches."""

    async def run() -> None:
        end = End()
        channel = Channel(end.on_batch, end.on_closed)
        stream = b"".join(frame(orjson.dumps(batch)) for batch in batches)
        for cut in cuts:
            channel.data_received(stream[:cut])
            stream = stream[cut:]
        channel.data_received(stream)
        assert end.batches == batches

    asyncio.run(run())


async def test_byte_by_byte_is_a_way_of_arriving() -> None:
    """A frame cut at every byte, its head included, is delivered once, when it is whole."""
    end = End()
    channel = Channel(end.on_batch, end.on_closed)
    stream = frame(b'[["a",1]]') + frame(b'[["b"],["c"]]')
    for at in range(len(stream)):
        assert len(end.batches) == (at >= len(frame(b'[["a",1]]')))
        channel.data_received(stream[at : at + 1])
    assert end.batches == [[["a", 1]], [["b"], ["c"]]]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\0",
        b"\0\0\0\1",
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xfe",
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"xx"),
        frame(b"{}"),
        frame(b"[1]"),
        frame(b'[["a"],{}]'),
        frame(b"[" * 2000),
        frame(b'["\xff"]'),
    ],
)
def test_garbage_closes_with_a_protocol_error(garbage: bytes, on_loop: OnLoop) -> None:
    """Whatever a peer writes becomes the reason of `on_closed`, once; what came whole before it
    counts, what comes behind it does not."""

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()
        channel = await adopt(end, a)
        b.sendall(frame(b'[["good"]]') + garbage + frame(b'[["late"]]'))
        await end.until(closed=1)
        b.close()
        assert [type(reason) for reason in end.closed] == [ProtocolError]
        assert end.messages == [["good"]]
        channel.close()
        await channel.wait_closed()
        assert len(end.closed) == 1

    on_loop(run())


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=200))
def test_noise_never_raises_nor_allocates(noise: bytes) -> None:
    """Any bytes at all: decoded, waited for, or a ProtocolError; the buffer holds what came."""

    async def run() -> None:
        end = End()
        channel = Channel(end.on_batch, end.on_closed)
        channel.data_received(noise)
        assert f"{channel!r}".startswith("<Channel ")
        assert len(channel._incoming) <= len(noise)

    asyncio.run(run())


def test_a_pipe_that_ends_inside_a_frame_says_so(on_loop: OnLoop) -> None:
    """A child killed while it wrote is a death, not a breach of protocol."""

    async def run() -> None:
        for cut in (frame(b'[["a"]]')[:2], frame(b'[["a"]]')[:-1]):
            a, b = socket.socketpair()
            end = End()
            await adopt(end, a)
            b.sendall(cut)
            b.close()
            await end.until(closed=1)
            assert [type(reason) for reason in end.closed] == [EOFError]
            assert end.batches == []

    on_loop(run())


def test_last_words_count_even_if_our_own_write_finds_the_peer_dead(on_loop: OnLoop) -> None:
    """A child reports, dies, and is written to before its report was read: EPIPE makes the
    transport give up, and the report must be delivered all the same."""

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()
        channel = await adopt(end, a)
        for number in range(3):
            b.sendall(frame(b'[["Uploaded",%d]]' % number))
        b.close()
        channel.send(["Upload"])
        channel.flush()
        await end.until(closed=1)
        assert end.messages == [["Uploaded", 0], ["Uploaded", 1], ["Uploaded", 2]]
        assert [type(reason) for reason in end.closed] == [BrokenPipeError]

    on_loop(run())


def test_a_reset_is_a_reason_not_an_exception(on_loop: OnLoop) -> None:
    """A peer that dies with our messages unread resets the pipe; what it wrote before counts."""

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()
        channel = await adopt(end, a)
        channel.send(["unread"])
        await channel.flushed()
        b.sendall(frame(b'[["last"]]'))
        b.close()
        await end.until(closed=1)
        assert end.messages == [["last"]]
        assert [type(reason) for reason in end.closed] == [ConnectionResetError]

    on_loop(run())


def test_an_end_that_does_not_read_is_cut_off(on_loop: OnLoop) -> None:
    """The outbox is bounded: a stuck peer closes the channel instead of eating memory."""

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()
        channel = await adopt(end, a, outbox_bytes_max=4_000_000)
        sent = 0
        while not end.closed and sent < 20:
            channel.send(["x" * 1_000_000])
            sent += 1
            flushing = asyncio.ensure_future(channel.flushed())
            done, _ = await asyncio.wait({flushing}, timeout=0.05)
            assert not done or end.closed
        await end.until(closed=1)
        assert 4 <= sent <= 7
        assert isinstance(end.closed[0], ProtocolError)
        assert "does not read" in str(end.closed[0])
        assert channel.outbox_bytes == 0
        channel.send(["dropped"])
        assert channel.outbox_bytes == 0
        b.close()

    on_loop(run())


def test_flushed_waits_until_the_kernel_has_everything(on_loop: OnLoop) -> None:
    """The orderly exit: after `flushed` the process may close and die, and all will be read."""

    async def run() -> None:
        a, b = socket.socketpair()
        left, right = End(), End()
        ours = await adopt(left, a)
        ours.send(["x" * 3_000_000])
        flushing = asyncio.ensure_future(ours.flushed())
        done, _ = await asyncio.wait({flushing}, timeout=0.05)
        assert not done
        theirs = await adopt(right, b)
        async with asyncio.timeout(5):
            await flushing
        assert ours.outbox_bytes == 0
        ours.close()
        await right.until(messages=1, closed=1)
        assert right.closed == [None]
        assert theirs.outbox_bytes == 0

    on_loop(run())


def test_close_does_not_wait_for_a_stuck_peer(on_loop: OnLoop) -> None:
    """Closing is at once and once, also with an outbox nobody reads; `flushed` returns then."""

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()
        channel = await adopt(end, a)
        channel.send(["x" * 3_000_000])
        flushing = asyncio.ensure_future(channel.flushed())
        done, _ = await asyncio.wait({flushing}, timeout=0.05)
        assert not done
        channel.close()
        channel.close()
        async with asyncio.timeout(5):
            await channel.wait_closed()
            await flushing
        assert end.closed == [None]
        b.close()

    on_loop(run())


def test_closing_inside_a_batch_is_the_last_of_it(on_loop: OnLoop) -> None:
    """A reader that closes on a message it does not like sees nothing more of that peer."""

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()

        def close_at_once(batch: list[list[Any]]) -> None:
            end.on_batch(batch)
            channel.close()

        channel = await Channel.adopt(a, on_batch=close_at_once, on_closed=end.on_closed)
        b.sendall(frame(b'[["first"]]') + frame(b'[["second"]]'))
        await end.until(closed=1)
        assert end.messages == [["first"]]
        assert end.closed == [None]
        b.close()

    on_loop(run())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_bug_in_the_reader_ends_the_channel_loudly(new_loop: Any) -> None:
    """`on_batch` that raises is our bug: the loop reports it, and it is the channel's reason."""
    reported: list[Any] = []

    async def run() -> None:
        a, b = socket.socketpair()
        end = End()

        def broken(_: list[list[Any]]) -> None:
            raise KeyError("a bug")

        await Channel.adopt(a, on_batch=broken, on_closed=end.on_closed)
        b.sendall(frame(b'[["a"]]'))
        await end.until(closed=1)
        assert [type(reason) for reason in end.closed] == [KeyError]
        b.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))
        runner.run(run())
    assert [type(context["exception"]) for context in reported] == [KeyError]


def test_descriptors_return_to_what_they_were(on_loop: OnLoop) -> None:
    """Adopted, refused or closed: no descriptor stays, and collecting the Connection that was
    adopted does not close the one in use."""

    async def run() -> None:
        before = 0
        for round_ in range(4):
            if round_ == 1:  # the first has opened what a loop opens once and keeps
                before = descriptors()
            a, b = multiprocessing.Pipe(duplex=True)
            left, right = End(), End()
            ours, theirs = await adopt(left, a), await adopt(right, b)
            del a, b
            gc.collect()
            ours.send(["still here"])
            await right.until(messages=1)
            ours.close()
            await right.until(closed=1)
            await theirs.wait_closed()
            await ours.wait_closed()
            del ours, theirs

        async def returned() -> bool:  # a transport closes its socket some turns after it told us
            return descriptors() == before

        await until(returned, 5)

    on_loop(run())


def test_a_one_way_pipe_is_refused(on_loop: OnLoop) -> None:
    """`Pipe(duplex=False)` is no socket; the refusal leaks nothing."""

    async def run() -> None:
        before = descriptors()
        reader, writer = multiprocessing.Pipe(duplex=False)
        with pytest.raises(OSError, match=r"(?i)socket"):
            await adopt(End(), reader)
        writer.close()
        assert descriptors() == before

    on_loop(run())


def test_a_pipe_that_no_loop_takes_is_closed(on_loop: OnLoop) -> None:
    """Datagrams are no stream: the refusal is the loop's, and leaks nothing either."""

    async def run() -> None:
        ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
        before = descriptors()
        with pytest.raises(ValueError, match=r"(?i)stream socket"):
            await adopt(End(), ours)
        assert descriptors() == before - 1
        theirs.close()

    on_loop(run())


def child_echoes(end: Any) -> None:
    """A child that answers each message, until it is told to stop."""

    async def run() -> None:
        done = asyncio.Event()

        def on_batch(batch: list[list[Any]]) -> None:
            for message in batch:
                channel.send(["echo", os.getpid(), *message])
            if ["stop"] in batch:
                done.set()

        channel = await Channel.adopt(end, on_batch=on_batch, on_closed=lambda _: done.set())
        await done.wait()
        await channel.flushed()
        channel.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_two_processes_talk(method: str, on_loop: OnLoop) -> None:
    """Supervisor and child, started as the daemon starts it, over one pipe; the child's orderly
    exit is an end of file."""

    async def run() -> None:
        context: Any = multiprocessing.get_context(method)
        ours, theirs = context.Pipe(duplex=True)
        process = context.Process(target=child_echoes, args=(theirs,))
        process.start()
        theirs.close()
        end = End()
        channel = await adopt(end, ours)
        channel.send(["hello", 1])
        await end.until(messages=1)
        channel.send(["stop"])
        await end.until(messages=2, closed=1)
        assert end.messages == [["echo", process.pid, "hello", 1], ["echo", process.pid, "stop"]]
        assert end.closed == [None]
        process.join(5)
        assert process.exitcode == 0
        process.close()

    on_loop(run())


def test_why_connection_send_is_never_used() -> None:
    """Once uvloop watches the descriptor, multiprocessing's own send breaks in mid-frame: the
    other end is left with half of a frame that nothing will complete."""

    async def run() -> None:
        a, b = multiprocessing.Pipe(duplex=True)
        asyncio.get_running_loop().add_reader(a.fileno(), lambda: None)
        with pytest.raises(BlockingIOError):
            a.send_bytes(b"x" * 10_000_000)
        asyncio.get_running_loop().remove_reader(a.fileno())
        a.close()
        with pytest.raises(OSError, match="end of file during message"):
            b.recv_bytes()
        b.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
