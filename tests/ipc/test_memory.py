"""Arena and board, shared with real processes."""

import multiprocessing
import os
import signal
import time
from typing import Any

import pytest

from prewarmd.core.stage import Stage
from prewarmd.errors import ArenaFullError
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board


def write_and_wait(arena: Arena, board: Board, conn: Any) -> None:
    arena.view(8192, 5)[:] = b"hello"
    row = board.row(1)
    row.begin(7, 70, 1, Stage.UPLOADING, 100, time.monotonic_ns())
    row.progress(42)
    conn.send_bytes(b"written")
    conn.recv_bytes()


def write_for_ever(board: Board, conn: Any) -> None:
    row = board.row(0)
    number = 0
    while True:
        number += 1
        row.begin(number, number, number, Stage.FETCHING, number, number)
        row.progress(number)
        if number == 1:  # only now: a busy machine may not let us run again for a while
            conn.send_bytes(b"go")


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_child_writes_what_the_supervisor_reads(method: str) -> None:
    """Arena and board go to a child as plain arguments, under both start methods."""
    context: Any = multiprocessing.get_context(method)
    arena, board = Arena.of(1 << 20), Board.of(4)
    arena.reserve(8192, 4096)
    ours, theirs = context.Pipe()
    child = context.Process(target=write_and_wait, args=(arena, board, theirs))
    child.start()
    assert ours.recv_bytes() == b"written"
    assert bytes(arena.view(8192, 5)) == b"hello"
    record = board.read(1)
    assert record is not None
    assert (record.task, record.job, record.stage, record.bytes_done) == (7, 70, 3, 42)
    assert board.read(0) is None
    ours.send_bytes(b"bye")
    child.join(5)
    assert child.exitcode == 0
    child.close()
    ours.close()
    theirs.close()
    arena.close()
    board.close()


def test_a_record_is_never_torn() -> None:
    """While a child replaces a record in a tight loop, and after it is killed doing so, a reader
    gets whole records, or is told that one is torn."""
    context: Any = multiprocessing.get_context("forkserver")
    board = Board.of(1)
    ours, theirs = context.Pipe()
    child = context.Process(target=write_for_ever, args=(board, theirs))
    child.start()
    ours.recv_bytes()
    for _ in range(3000):
        record = board.read(0)
        if record is not None and not record.torn:
            assert record.task == record.job == record.bytes_total == record.attempt
            assert record.bytes_done in (0, record.task)
    os.kill(child.pid, signal.SIGKILL)
    child.join(5)
    record = board.read(0)
    assert record is not None
    assert record.torn or record.task == record.job == record.bytes_total
    child.close()
    ours.close()
    theirs.close()
    board.close()


def test_a_stage_seen_before_body_sent_proves_that_nothing_arrived() -> None:
    """Stages rise, and the names say on which side of the last byte they are."""
    assert Stage.UPLOADING < Stage.BODY_SENT < Stage.ANSWERED


def test_memory_is_backed_once() -> None:
    """Reserved is backed, what was half backed is so in full; nobody closes what is being read."""
    arena = Arena.of(16 << 20)
    assert arena.resident_bytes() == 0
    arena.reserve(1 << 20, 4 << 20)
    assert arena.resident_bytes() == 4 << 20
    arena.reserve(0, 8 << 20)
    assert arena.resident_bytes() == 8 << 20
    arena.reserve(0, 8 << 20)
    assert arena.resident_bytes() == 8 << 20
    with arena.view(0, 4) as view:
        assert bytes(view) == b"\0\0\0\0"
        with pytest.raises(BufferError):
            arena.close()
    arena.close()


def test_memory_that_cannot_be_had_is_a_clear_error() -> None:
    """Too much to map is ArenaFullError with a hint; outside the arena is a bug."""
    with pytest.raises(ArenaFullError) as caught:
        Arena.of(1 << 60)
    assert "cache" in caught.value.hint
    arena = Arena.of(1 << 20)
    with pytest.raises(ValueError, match="outside"):
        arena.reserve(1 << 20, 1)
    arena.close()
