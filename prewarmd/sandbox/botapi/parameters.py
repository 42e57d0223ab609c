"""What a request carries: texts, file parts by their names, and what stood at URLs it names."""

from dataclasses import dataclass, field

import orjson

from prewarmd.sandbox.botapi.conversion import Upload
from prewarmd.sandbox.botapi.page import Page

DIGITS_MAX = 20


@dataclass(slots=True)
class Parameters:
    """As they arrived, whatever shape the body had."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    """By URL; fetched when the world wants them."""

    def text(self, name: str) -> str:
        """A parameter; "" when it is not there."""
        return self.texts.get(name, "")

    def is_true(self, name: str) -> bool:
        """A flag."""
        return self.text(name).lower() in ("true", "yes", "1")

    def number(self, name: str) -> int | None:
        """An integer of 64 bits or so; None when there is none."""
        text = self.text(name)
        is_number = text.removeprefix("-").isdecimal() and len(text) <= DIGITS_MAX
        return int(text) if is_number else None

    def numbers(self, name: str) -> list[int]:
        """A JSON array of integers; empty when there is none."""
        try:
            found = orjson.loads(self.text(name) or "[]")
        except orjson.JSONDecodeError:
            return []
        is_fit = isinstance(found, list) and all(type(one) is int for one in found)
        return found if is_fit else []
