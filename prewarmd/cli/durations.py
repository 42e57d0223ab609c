"""Lengths of time as people write them: "30d", "12h", "90m". Case and blanks do not matter."""

import re

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
EXAMPLES = "write 30d, 12h or 90m; units are w, d, h, m, s"
_DURATION = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([a-z])\s*", re.IGNORECASE | re.ASCII)


def parse_duration(text: str) -> float | None:
    """The seconds that `text` means, None when it is no length of time."""
    found = _DURATION.fullmatch(text)
    unit_s = UNITS_S.get(found[2].lower()) if found else None
    return None if found is None or unit_s is None else float(found[1]) * unit_s
