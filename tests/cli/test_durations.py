"""Lengths of time, as they are typed."""

import pytest

from prewarmd.cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", 2_592_000), ("12h", 43_200), ("90m", 5_400), ("45s", 45), ("2w", 1_209_600),
        ("1.5H", 5_400), (" 7 d ", 604_800), ("0s", 0),
    ],
)  # fmt: skip
def test_what_is_meant(text: str, seconds: float) -> None:
    """A day too many or too few would delete what was to stay."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "d",
        "-1d",
        "1y",
        "1d12h",
        "30 days",
        "1e3d",
        "\u0661d",
        "1,5h",
        "nan",
        "9" * 20 + "d",
    ],
)
def test_what_is_none(text: str) -> None:
    """Nothing is guessed: `30` might be seconds or days."""
    assert parse_duration(text) is None
