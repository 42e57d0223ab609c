"""A thread that owns one SQLite connection, and commits in groups.

Operations are functions of the connection. The thread takes one, drains what else is queued, runs
them all in one transaction and commits; while the disk syncs, the next group gathers. So the idle
latency is one sync, throughput grows with the sync time, and no timer is needed. One call into the
event loop resolves a whole group, after COMMIT returned.

An operation that fails is found by running the group again one by one: only its own future gets
the exception. A commit that fails (disk full, I/O error) fails the whole group and leaves the
connection usable; a damaged database is said so.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from prewarmd.errors import PrewarmdError, StoreDamagedError, StoreUnwritableError

T = TypeVar("T")
Operation = Callable[[apsw.Connection], Any]
GROUP_MAX = 512
_DAMAGE = (apsw.CorruptError, apsw.NotADBError)
_TROUBLE = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError)


class _Asked:
    """One operation and who waits for it."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation, future: "asyncio.Future[Any]") -> None:
        self.operation = operation
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


def named(error: BaseException) -> BaseException:
    """An SQLite error under our own name, where it is the world's and not a bug."""
    if isinstance(error, _DAMAGE):
        return StoreDamagedError(
            f"the database is damaged: {error}", "restore it from a backup; nothing was changed"
        )
    if isinstance(error, _TROUBLE):
        return StoreUnwritableError(
            f"the database cannot be written: {error}", "look at the disk of the state directory"
        )
    return error


class Thread:
    """A connection, its thread, its queue. `writes` False: no transaction is opened."""

    def __init__(
        self,
        name: str,
        open_connection: Callable[[], apsw.Connection],
        *,
        writes: bool,
        began: Callable[[], None] = lambda: None,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._open = open_connection
        self._writes = writes
        self._began = began
        self._committed = committed
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closing = False

    async def start(self) -> None:
        """Open the connection in the thread; what it raises is raised here."""
        self._thread.start()
        await asyncio.shield(self._opened)  # the thread sets it, whoever still waits

    async def ask(self, operation: Callable[[apsw.Connection], T]) -> T:
        """Run an operation; returns after its group's COMMIT, which no cancelling can stop."""
        if self._closing:
            raise StoreUnwritableError("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Asked(operation, future))
        return await asyncio.shield(future)

    async def stop(self) -> None:
        """Finish what was asked, close the connection, end the thread."""
        if not self._closing:
            self._closing = True
            if not self._thread.is_alive():
                return
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._open()
        except (apsw.Error, PrewarmdError, OSError) as error:
            self._loop.call_soon_threadsafe(self._opened.set_exception, named(error))
            return
        self._loop.call_soon_threadsafe(self._opened.set_result, None)
        stop = False
        while not stop:
            group: list[_Asked] = []
            asked = self._queue.get()
            while asked is not None:
                group.append(asked)
                if len(group) == GROUP_MAX or self._queue.empty():
                    break
                asked = self._queue.get()
            stop = asked is None
            if group:
                self._perform(connection, group)
                self._loop.call_soon_threadsafe(_resolve, group)
        connection.close()

    def _perform(self, connection: apsw.Connection, group: list[_Asked]) -> None:
        try:
            self._transaction(connection, group)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to one operation: find it
            if len(group) == 1:
                group[0].error = named(error)
                return
            for asked in group:
                self._perform(connection, [asked])

    def _transaction(self, connection: apsw.Connection, group: list[_Asked]) -> None:
        connection.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
        self._began()
        try:
            for asked in group:
                asked.result = asked.operation(connection)
            connection.execute("COMMIT")
            self._committed()
        finally:
            if connection.in_transaction:  # not after a COMMIT that succeeded
                connection.execute("ROLLBACK")


def _resolve(group: list[_Asked]) -> None:
    for asked in group:
        if asked.future.done():
            continue
        if asked.error is not None:
            asked.future.set_exception(asked.error)
            asked.future.exception()  # a waiter that was cancelled must not be warned about
        else:
            asked.future.set_result(asked.result)
