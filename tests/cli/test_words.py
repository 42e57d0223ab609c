"""How values are written for people."""

import pytest

from prewarmd.cli import words


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"),
     (100_000, "100 kB"), (999_600, "1.0 MB"), (25_300_000, "25.3 MB"), (4e12, "4000 GB")],
)  # fmt: skip
def test_sizes(size_bytes: float | None, text: str) -> None:
    """Three digits or so, decimal units."""
    assert words.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"),
     (200_000, "2 d 7 h")],
)  # fmt: skip
def test_spans(seconds: float | None, text: str) -> None:
    """The two largest units."""
    assert words.span(seconds) == text


def test_foreign_text_is_made_harmless() -> None:
    """One line, no control characters, letters of every script untouched."""
    assert words.safe("köln/写真\t\x1b[31m\u202e\n") == "köln/写真\\t\\x1b[31m\\u202e\\n"


def test_a_code_is_not_said_twice() -> None:
    """A store's texts often begin with it."""
    assert words.fault({"code": "NoSuchKey", "message": "NoSuchKey: gone"}) == "NoSuchKey: gone"
    assert words.fault({"code": "NoSuchKey", "message": "gone"}) == "NoSuchKey: gone"
    assert words.fault(None) == ""
