"""One daemon per state directory: an flock on `lock`, which also says who holds it.

The lock counts, never the file's presence, so a crash leaves nothing to clean up. The first line is
the holder's pid, so that `status` can look at a daemon that hangs.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from prewarmd.errors import AlreadyRunningError, StoreUnwritableError


class StateLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, state_dir: Path) -> Self:
        """Make the directory if need be, and own it; AlreadyRunningError names who does."""
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnwritableError(
                f"cannot write the state directory {state_dir}: {error.strerror}",
                "choose another state_dir, or give this user the right to it",
            ) from None
        if not _locked(fd):
            pid = os.pread(fd, 32, 0).split(b"\n")[0].decode("ascii", "replace") or "?"
            os.close(fd)
            raise AlreadyRunningError(
                f"a daemon (pid {pid}) owns {state_dir} already",
                "stop it, or choose another state_dir",
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(fd)

    def release(self) -> None:
        """Let go; idempotent."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _locked(fd: int) -> bool:
    """Tried for a moment: `holder` looks by taking a shared lock for an instant."""
    for _ in range(20):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def holder(state_dir: Path) -> int | None:
    """The pid of the daemon that owns `state_dir`, None when nobody does."""
    try:
        fd = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).split(b"\n")[0]
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None
