"""Programs the sandbox runs: in sessions of their own, gone when the sandbox is gone.

Ctrl-C in a terminal reaches the sandbox alone, which stops them in its order; and should the
sandbox be killed, the kernel kills them (PR_SET_PDEATHSIG, prctl(2); it is tied to the thread that
started them, here always the main one).
"""

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

TERM_WAIT_S = 5.0


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    pipes: bool = False,
    loud: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a program. Its output goes to `log`; with `pipes` to us; `loud`: where ours does."""
    out: IO[bytes] | int = log.open("ab") if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603  our own programs
            [str(part) for part in command],
            env=env,
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else out,
            stderr=None if loud else out,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  a single libc call
        )
    finally:
        if not isinstance(out, int):
            out.close()


def stop(process: "subprocess.Popen[bytes]", wait_s: float = TERM_WAIT_S) -> int:
    """SIGTERM, and SIGKILL for one that does not hear it; its exit code."""
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
    code = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return code
