"""How values are written for people: sizes, times, and text that somebody else chose."""

from typing import Any


def safe(text: object) -> str:
    """`text` on one line and without control characters: an object's key is free to hold what a
    terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def size(size_bytes: float | None) -> str:
    """12.3 MB; decimal, as Telegram and R2 count."""
    if size_bytes is None:
        return "-"
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def span(seconds: float | None) -> str:
    """A length of time, in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds % 60)} s"


def plain(value: Any, unit: str = "") -> str:
    """A figure, `-` when there is none."""
    if value is None:
        return "-"
    text = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
    return text + unit


def fault(error: dict[str, Any] | None) -> str:
    """A job's error as one phrase."""
    return safe(coded(error["code"], error["message"])) if error else ""


def coded(code: str, detail: str) -> str:
    """A code and what is said about it; a store's own texts often begin with the same code."""
    return detail if detail.startswith(f"{code}:") else f"{code}: {detail}"
