"""The arena: the bytes of all media in flight and in the cache, in one memfd.

It knows ranges, nothing else: which extent holds what is the supervisor's index (`core.cache`).
Memory is backed by `reserve` before anybody writes to it, so a machine that is full answers with an
error here and never with SIGBUS in a child; `release` punches a hole and gives pages back.
"""

import ctypes
import errno
import os

from prewarmd.errors import ArenaFullError
from prewarmd.ipc.memory import Memory

_FALLOC_FL_KEEP_SIZE = 0x01
_FALLOC_FL_PUNCH_HOLE = 0x02
PAGE_BYTES = 4096
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Arena(Memory):
    """Shared memory for media."""

    _backed = bytearray()
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
        if not self._backed:
            self._backed = bytearray(-(-self.size_bytes // PAGE_BYTES))
        first, end = offset // PAGE_BYTES, -(-(offset + size_bytes) // PAGE_BYTES)
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

    def release(self, offset: int, size_bytes: int) -> None:
        """Return a range's pages to the system; it reads as zeros afterwards."""
        mode = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
        if _libc.fallocate(self.fd, mode, offset, size_bytes) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        first, end = offset // PAGE_BYTES, -(-(offset + size_bytes) // PAGE_BYTES)
        self._backed[first:end] = bytes(len(self._backed[first:end]))

    def view(self, offset: int, size_bytes: int) -> memoryview:
        """The bytes of a range, without a copy. Release it before `close`."""
        return memoryview(self.map)[offset : offset + size_bytes]
