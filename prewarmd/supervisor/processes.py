"""The child processes: started by a forkserver that has the heavy imports loaded, watched by pidfd.

A pidfd becomes readable when its process is dead, and cannot mean another process later. uvloop
refuses SIGCHLD handlers, and `waitpid(-1)` would steal multiprocessing's status. With a forkserver
the parent of a child is the forkserver: the exit status comes through multiprocessing, after the
pidfd told that there is one. A respawn takes about 10 ms.

Order at a death: first whatever the child had still written is read from its pipe, then the board
is read, then the engine is told; so an answer that made it into the pipe counts.
"""

import asyncio
import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from prewarmd.core.events import ChildBeat, ChildExited, ChildGreeted, ChildReported, Event
from prewarmd.core.stage import Stage
from prewarmd.errors import ProtocolError, StoreUnwritableError
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board
from prewarmd.ipc.channel import Channel
from prewarmd.messages import PROTOCOL, Beat, Drain, Hello, Note, ToChild, decode, encode
from prewarmd.worker.entry import PRELOAD, run_child
from prewarmd.worker.spec import ChildSpec

EXIT_WAIT_S = 1.0
FORKSERVER = "forkserver"


def house_forkserver(state_dir: Path) -> None:
    """Have the forkserver listen inside the state directory: multiprocessing makes a directory for
    its socket where `tempfile` says, and takes it away at the end of an orderly exit only. What a
    supervisor that was killed left is taken away here, so call this with the state lock held.

    The place is named by a descriptor, which stays open to the end of the process: a state
    directory's own path may be longer than a socket's may be (unix(7)). The socket is bound and
    connected to in this process alone. An abstract one would be open to every user of the machine,
    and whoever connects can run code (CVE-2022-42919).
    """
    place = state_dir / FORKSERVER
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreUnwritableError(
            f"cannot make {place}: {error.strerror}", "look at the disk of the state directory"
        ) from None
    tempfile.tempdir = f"/proc/self/fd/{descriptor}"


class Inbox(Protocol):
    """Where events go."""

    def put(self, event: Event) -> None:
        """Queue an event for the next turn."""
        ...


class Process:
    """One life of one child."""

    def __init__(self, index: int, generation: int) -> None:
        self.index = index
        self.generation = generation
        self.pid = 0
        self.channel: Channel | None = None
        self.reason = ""
        self.uploads: dict[int, int] = {}
        """Upload tasks in flight -> their board rows."""
        self.pidfd = -1
        self.process: ForkServerProcess | None = None
        self.closed = asyncio.Event()


class Processes:
    """All children, performed: what the engine decided becomes spawns, kills and messages."""

    def __init__(
        self,
        spec_of: Callable[[int], ChildSpec],
        arena: Arena,
        board: Board,
        inbox: Inbox,
        log: Any,
    ) -> None:
        self._spec_of = spec_of
        self._arena = arena
        self._board = board
        self._inbox = inbox
        self._log = log
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._living: dict[int, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()

    def pids(self) -> dict[int, int]:
        """Index -> pid of the children that live."""
        return {p.index: p.pid for p in self._living.values()}

    def spawn(self, index: int, generation: int) -> None:
        """Start a child; what becomes of it arrives as events."""
        self._keep(self._spawn(Process(index, generation)))

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _spawn(self, child: Process) -> None:
        loop = asyncio.get_running_loop()
        self._living[child.index] = child
        self._nobody.clear()
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(
            target=run_child,
            args=(self._spec_of(child.index), theirs, self._arena, self._board),
            name=f"prewarmd-child-{child.index}",
            daemon=True,
        )
        try:
            process.start()
            child.process, child.pid = process, process.pid or 0
            child.pidfd = os.pidfd_open(child.pid)
        except (OSError, EOFError) as error:
            ours.close()
            self._gone(child, f"cannot be started: {error}")
            return
        finally:
            theirs.close()
        loop.add_reader(child.pidfd, self._died, child)
        child.channel = await self._adopt(ours, child)

    async def _adopt(self, ours: Connection, child: Process) -> Channel:
        def on_batch(batch: list[list[Any]]) -> None:
            self._received(child, batch)

        def on_closed(reason: object) -> None:
            if isinstance(reason, ProtocolError):
                self._log.error("child.protocol", child=child.index, detail=str(reason))
                self.kill(child.index, child.generation)
            child.closed.set()

        return await Channel.adopt(ours, on_batch=on_batch, on_closed=on_closed)

    def _received(self, child: Process, batch: list[list[Any]]) -> None:
        for array in batch:
            try:
                message = decode(array)
            except ProtocolError as error:
                self._log.error("child.protocol", child=child.index, detail=str(error))
                self.kill(child.index, child.generation)
                return
            match message:
                case Hello(protocol, _, pid):
                    if protocol != PROTOCOL:
                        self.kill(child.index, child.generation)
                        return
                    self._inbox.put(ChildGreeted(child.index, child.generation, pid))
                case Beat():
                    self._inbox.put(ChildBeat(child.index, child.generation))
                case Note(level, event, fields):
                    log = getattr(self._log, level, self._log.info)
                    log(event, child=child.index, **fields)
                case _ if hasattr(message, "task"):
                    child.uploads.pop(message.task, None)
                    self._inbox.put(
                        ChildReported(child.index, child.generation, message)  # type: ignore[arg-type]  # what has a task and comes from a child is a report
                    )

    def tell(self, index: int, message: ToChild, *, upload: tuple[int, int] | None = None) -> None:
        """Send a message; to a child that is dying it is lost, and its exit tells so."""
        child = self._living.get(index)
        if child is None or child.channel is None:
            return
        if upload is not None:
            child.uploads[upload[0]] = upload[1]
        child.channel.send(encode(message))

    def retire(self, index: int, generation: int) -> None:
        """Ask for an orderly exit."""
        if self._is(index, generation):
            self.tell(index, Drain())

    def kill(self, index: int, generation: int) -> None:
        """End it with SIGKILL, through its pidfd: never somebody else's pid."""
        child = self._living.get(index)
        if child is None or child.generation != generation or child.pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _is(self, index: int, generation: int) -> bool:
        child = self._living.get(index)
        return child is not None and child.generation == generation

    def _died(self, child: Process) -> None:
        asyncio.get_running_loop().remove_reader(child.pidfd)
        self._keep(self._reap(child))

    async def _reap(self, child: Process) -> None:
        if child.channel is not None:
            # Its end is closed by its death; what it had written is still to be read.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.closed.wait(), EXIT_WAIT_S)
            child.channel.close()
        assert child.process is not None
        await asyncio.to_thread(child.process.join, EXIT_WAIT_S)
        code = child.process.exitcode
        if code is not None:
            child.process.close()
        os.close(child.pidfd)
        child.pidfd = -1
        if code is not None and code < 0:
            reason = f"killed by {signal.Signals(-code).name}"
        else:
            reason = f"exited with {code}"
        self._gone(child, reason, killed=code == -signal.SIGKILL)

    def _gone(self, child: Process, reason: str, *, killed: bool = False) -> None:
        del self._living[child.index]
        if not self._living:
            self._nobody.set()
        sent = frozenset(
            task for task, row in child.uploads.items() if self._may_have_arrived(task, row)
        )
        self._inbox.put(ChildExited(child.index, child.generation, reason, sent, killed))

    def _may_have_arrived(self, task: int, row: int) -> bool:
        record = self._board.read(row)
        if record is None or record.task != task:
            return False  # never begun, or its answer was on its way: the board was cleared
        return record.torn or record.stage >= Stage.BODY_SENT

    async def close(self) -> None:
        """Kill what is left, and wait until it is gone."""
        for child in list(self._living.values()):
            self.kill(child.index, child.generation)
        async with asyncio.timeout(2 * EXIT_WAIT_S):
            await self._nobody.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=EXIT_WAIT_S)
