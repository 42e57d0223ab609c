"""Where a child begins. The supervisor imports this file alone of the worker; the heavy imports
happen in the forkserver (PRELOAD), so that a child starts in about 10 ms."""

import ctypes
import os
import signal
import sys
from typing import Any

from prewarmd.errors import ExitCode, PrewarmdError
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board
from prewarmd.worker.spec import ChildSpec

PRELOAD = ["prewarmd.worker.preload"]
_PR_SET_PDEATHSIG = 1


def run_child(spec: ChildSpec, conn: Any, arena: Arena, board: Board) -> None:
    """The target of a child's process; ends it with an exit code of ours."""
    import uvloop
    from setproctitle import setproctitle

    from prewarmd.worker.loop import Worker

    setproctitle(f"prewarmd: child {spec.index}")
    # Ctrl-C reaches the whole group; a child obeys its pipe, and SIGTERM as a fallback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The pipe's end is the first net, this the second: the parent here is the forkserver, which
    # ends with the supervisor.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    async def main() -> None:
        import asyncio

        worker = Worker(spec, arena, board)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
        await worker.run(conn, os.getpid())

    try:
        uvloop.run(main())
    except PrewarmdError as error:
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
