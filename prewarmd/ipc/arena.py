"""The arena: the bytes of all media in flight and in the cache, in one memfd.

It knows ranges, nothing else: which extent holds what is the supervisor's index (`core.cache`).
Memory is backed by `reserve` before anybody writes to it, so a machine that is full answers with an
error here and never with SIGBUS in a child. What is backed stays so.
"""

import errno
import os

from prewarmd.core.extents import PAGE, page_round
from prewarmd.errors import ArenaFullError
from prewarmd.ipc.memory import Memory


class Arena(Memory):
    """Shared memory for media."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        super().__init__(fd, size_bytes)
        self._backed = bytearray(page_round(size_bytes) // PAGE)
        """A one for each page that `reserve` had backed: it asks the system for a page once."""

    @classmethod
    def of(cls, size_bytes: int) -> "Arena":
        """An arena of that size, nothing backed yet; ArenaFullError when it cannot be mapped."""
        try:
            return cls.create("prewarmd-arena", size_bytes)
        except (OSError, ValueError, OverflowError) as error:
            raise ArenaFullError(
                f"no address space for a cache of {size_bytes} bytes: {error}",
                "choose a smaller [cache] bytes",
            ) from None

    def reserve(self, offset: int, size_bytes: int) -> None:
        """Have the system back a range; ArenaFullError when it cannot."""
        if offset < 0 or offset + size_bytes > self.size_bytes:
            raise ValueError(f"[{offset}, +{size_bytes}) is outside the arena")
        first, end = offset // PAGE, page_round(offset + size_bytes) // PAGE
        if self._backed.find(0, first, end) < 0:
            return
        try:
            os.posix_fallocate(self.fd, offset, size_bytes)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
                raise
            raise ArenaFullError(
                f"the system gives no {size_bytes} bytes of memory ({error.strerror})",
                "choose a smaller [cache] bytes, or give the service more memory",
            ) from None
        self._backed[first:end] = bytes([1]) * (end - first)

    def view(self, offset: int, size_bytes: int) -> memoryview:
        """The bytes of a range, without a copy. Release it before `close`."""
        return memoryview(self.map)[offset : offset + size_bytes]
