"""Sounds and films of any length, silent and dark ones."""

import struct

FRAME_S = 1152 / 44_100
"""Of each frame of an MP3."""


def mp3(frames: int) -> bytes:
    """Of a bit rate that changes with each frame, and without a table: it has to be counted."""
    sizes = [144 * rate * 1000 // 44_100 for rate in (128, 160)]
    rates = (0x90, 0xA0)
    return b"".join(
        bytes([0xFF, 0xFB, rates[n % 2], 0]) + bytes(sizes[n % 2] - 4) for n in range(frames)
    )


def mp4(ticks: int, per_s: int) -> bytes:
    """A film that is nothing but how long it is; more bytes may follow it."""
    mvhd = struct.pack(">4x4x4xII", per_s, ticks) + bytes(80)
    moov = struct.pack(">I4s", 8 + len(mvhd), b"mvhd") + mvhd
    return b"\0\0\0\x10ftypisom\0\0\0\0" + struct.pack(">I4s", 8 + len(moov), b"moov") + moov
