"""The edge between the engine's time and the world's: monotonic seconds inside, UTC outside."""

import time
from datetime import UTC, datetime


def monotonic() -> float:
    """The engine's clock."""
    return time.monotonic()


def wall() -> float:
    """Unix seconds."""
    return time.time()


def to_engine(unix: float) -> float:
    """A wall-clock time on the engine's clock."""
    return unix - time.time() + time.monotonic()


def iso(unix: float | None) -> str | None:
    """ISO 8601, UTC, milliseconds."""
    if unix is None:
        return None
    stamp = datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
