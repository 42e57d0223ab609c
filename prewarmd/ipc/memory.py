"""A memfd that several processes map: made by the supervisor, named nowhere, gone with its users.

Passed to a child as an argument of its Process: pickling makes a `DupFd`, inside `__reduce__` and
so at the time of the start. Made earlier, multiprocessing would silently fall back to a thread
with a listening socket (`resource_sharer`).
"""

import mmap
import os
from multiprocessing import reduction
from typing import Any, Self, cast


class Memory:
    """`size_bytes` of shared, zeroed memory. The descriptor belongs to this object."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        self.fd = fd
        self.size_bytes = size_bytes
        self.map = mmap.mmap(fd, size_bytes, mmap.MAP_SHARED)

    @classmethod
    def create(cls, name: str, size_bytes: int) -> Self:
        """New memory; `name` shows in /proc/PID/maps only. Nothing is backed yet."""
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, size_bytes)
            return cls(fd, size_bytes)
        except (OSError, ValueError, OverflowError):
            os.close(fd)
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (type(self), reduction.DupFd(self.fd), self.size_bytes)

    def resident_bytes(self) -> int:
        """What the system has backed so far."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self) -> None:
        """Unmap and close; BufferError while somebody still holds a view."""
        if self.fd >= 0:
            self.map.close()
            os.close(self.fd)
            self.fd = -1


def _attach(cls: type[Memory], dup: Any, size_bytes: int) -> Memory:
    return cls(cast("int", dup.detach()), size_bytes)
