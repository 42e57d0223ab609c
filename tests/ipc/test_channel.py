"""The pipe: framing, batching, and an end that behaves badly."""

import asyncio
import multiprocessing
import socket
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from prewarmd.errors import ProtocolError
from prewarmd.ipc.channel import FRAME_BYTES_MAX, Channel


class End:
    """Collects what one end sees."""

    def __init__(self) -> None:
        self.batches: list[list[list[Any]]] = []
        self.closed: list[Exception | None] = []
        self.changed = asyncio.Event()

    def on_batch(self, batch: list[list[Any]]) -> None:
        self.batches.append(batch)
        self.changed.set()

    def on_closed(self, reason: Exception | None) -> None:
        self.closed.append(reason)
        self.changed.set()

    async def until(self, messages: int = 0, closed: int = 0) -> None:
        async with asyncio.timeout(5):
            while sum(map(len, self.batches)) < messages or len(self.closed) < closed:
                self.changed.clear()
                await self.changed.wait()


async def adopt(end: End, half: Any) -> Channel:
    return await Channel.adopt(half, on_batch=end.on_batch, on_closed=end.on_closed)


LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_messages_of_one_turn_are_one_frame(new_loop: Any) -> None:
    """What is sent in one turn of the loop arrives as one batch, in order, on both loops."""

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

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@LOOPS
def test_a_frame_larger_than_the_socket_buffer_arrives_whole(new_loop: Any) -> None:
    """A listing page of megabytes crosses in pieces and is decoded once."""

    async def run() -> None:
        a, b = multiprocessing.Pipe(duplex=True)
        left, right = End(), End()
        ours, theirs = await adopt(left, a), await adopt(right, b)
        ours.send(["big", "x" * 4_000_000])
        await right.until(messages=1)
        assert len(right.batches[0][0][1]) == 4_000_000
        ours.close()
        theirs.close()
        await right.until(closed=1)
        await left.until(closed=1)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), max_size=30))
def test_any_cutting_of_the_stream_decodes_the_same(cuts: list[int]) -> None:
    """Byte-wise or coalesced delivery: the same messages."""

    async def run() -> None:
        end = End()
        channel = Channel(end.on_batch, end.on_closed)
        bodies = [b'[["a",1]]', b'[["b",[2]],["c"]]', b'[["d","x"]]'] * 5
        stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
        for cut in cuts:
            channel.data_received(stream[:cut])
            stream = stream[cut:]
        channel.data_received(stream)
        messages = [message for batch in end.batches for message in batch]
        assert messages == [["a", 1], ["b", [2]], ["c"], ["d", "x"]] * 5

    asyncio.run(run())


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\0",
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xfe",
        b"\0\0\0\2xx",
        b"\0\0\0\2{}",
        b"\0\0\0\3[1]",
        b"\0\0\0\4[[",
    ],
)
async def test_garbage_closes_with_a_protocol_error(garbage: bytes) -> None:
    """Nothing that a peer writes raises into the loop or allocates what it claims."""
    a, b = socket.socketpair()
    end = End()
    await adopt(end, a)
    b.sendall(garbage)
    b.close()
    await end.until(closed=1)
    assert [type(reason) for reason in end.closed] == [ProtocolError]
    assert end.batches == []


async def test_an_end_that_does_not_read_is_cut_off() -> None:
    """The outbox is bounded: a stuck peer closes the channel instead of eating memory."""
    a, b = socket.socketpair()
    end = End()
    channel = await adopt(end, a)
    for _ in range(10):
        channel.send(["x" * 5_000_000])
        channel.flush()
    await end.until(closed=1)
    assert "does not read" in str(end.closed[0])
    b.close()


def test_why_connection_send_is_never_used() -> None:
    """Once a loop watches the descriptor, multiprocessing's own send breaks in mid-frame."""

    async def run() -> None:
        a, b = multiprocessing.Pipe(duplex=True)
        asyncio.get_running_loop().add_reader(a.fileno(), lambda: None)
        with pytest.raises(BlockingIOError):
            a.send_bytes(b"x" * 10_000_000)
        asyncio.get_running_loop().remove_reader(a.fileno())
        a.close()
        b.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
