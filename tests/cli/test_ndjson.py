"""Jobs from lines: what a line may be, and how a wrong one is named."""

import pytest

from prewarmd.cli.client import InvalidError
from prewarmd.cli.ndjson import items, judged


def read(*lines: str, bot: str | None = "shop") -> list[tuple[str, dict]]:
    """The jobs of some lines, judged as for a daemon with one bot."""
    defaults = {"bot": bot} if bot else {}
    return list(judged(items([line.encode() for line in lines], defaults), ["shop"]))


def test_objects_and_strings() -> None:
    """A line's own words win over the flags; empty lines keep their numbers."""
    assert read('"a.jpg"', "", ' {"key": "b", "kind": "audio", "bucket": "media"} \r\n') == [
        ("line 1", {"bot": "shop", "key": "a.jpg"}),
        ("line 3", {"bot": "shop", "key": "b", "kind": "audio", "bucket": "media"}),
    ]
    with pytest.raises(InvalidError, match="line 1: bot: "):
        read('{"key": "a", "bot": "nobody"}')
    film = '{"key": "a.mp4", "width": 640, "height": 360, "duration_s": 2.5, "thumbnail": "a.jpg"}'
    [(_, job)] = read(film)
    assert (job["width"], job["duration_s"], job["thumbnail"]) == (640, 2.5, "a.jpg")
    with pytest.raises(InvalidError, match="line 1: names no bot"):
        read('"a"', bot=None)


@pytest.mark.parametrize(
    "line",
    ["{", "bare words", "[1]", "7", "null", "{}", '{"key": "x", "knd": "photo"}',
     '{"key": "../x"}', '{"key": "x", "kind": "gif"}', '{"key": 5}', '""', '"\\ud800"',
     '{"key": "x", "sha256": "ABC"}', '{"key": "x", "bytes": -1}', '{"key": "x", "priority": 256}',
     '{"key": "x.mp4", "width": 640}', '{"key": "x.jpg", "thumbnail": "t.jpg"}',
     '{"key": "x", "bucket": 1}', '{"key": "' + "x" * 70_000 + '"}', "\xff"],
)  # fmt: skip
def test_a_wrong_line_is_named(line: str) -> None:
    """By its number, on whatever page; it is exactly what the daemon would refuse."""
    with pytest.raises(InvalidError, match=r"^line 1502: "):
        read(*['"good"'] * 1500, "", line)
