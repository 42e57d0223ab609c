"""Sizes as people write them: "256MiB", "1.5 GB", "4096". Case and blanks do not matter."""

import re

UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str) -> int | None:
    """The bytes that `text` means, None when it is no size."""
    found = _SIZE.fullmatch(text)
    unit = UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        return None
    whole, _, fraction = found[1].partition(".")
    return int(whole) * unit + round(float(f"0.{fraction or 0}") * unit)
