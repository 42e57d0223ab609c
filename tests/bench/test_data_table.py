"""The table of `make bench-data`: what it says of goals."""

import pytest

from bench.data import table

FIGURES = {line.name: 0.0 for line in table.lines() if line.at_least is None}


def _row(figures: table.Figures, text: str) -> str:
    rows = [row for row in table.render(figures).splitlines() if row.strip().startswith(text)]
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    ("name", "text", "value", "verdict"),
    [
        ("ratio_to_minimal_client", "daemon / minimal", 1.6, "met"),
        ("ratio_to_minimal_client", "daemon / minimal", 2.0, "MISSED by 25%"),
        ("daemon_media_per_minute", "media per minute  ", 180_000, "met"),
        ("daemon_media_per_minute", "media per minute  ", 135_000, "MISSED by 25%"),
        ("cut_through_ratio", "cut-through / download", 0.6, "met"),
        ("relay_rss_mib", "growth of a child", 20, "MISSED by 25%"),
        ("hash_scaling", "SHA-256 by five", 0.9, "MISSED by 50%"),
    ],
)
def test_the_table_says_whether_a_goal_is_met(
    name: str, text: str, value: float, verdict: str
) -> None:
    """A missed goal that reads like any other row would be taken for a good figure."""
    assert _row({**FIGURES, name: value}, text).endswith(verdict)


def test_a_single_wrong_body_is_a_missed_goal() -> None:
    """A bound of zero has no percentage; it must not be divided by, nor pass."""
    figures = {**FIGURES, "sink_wrong.tls": 1.0}
    assert table.missed(figures) == ["TLS both ways: sink_wrong.tls"]
    assert "MISSED" in table.render(figures)


def test_a_figure_nobody_measured_is_no_figure() -> None:
    """A zero, or a goal met, in place of what was not measured would be a made-up number."""
    assert _row({}, "prewarmd / obstore").endswith("not measured")
    assert "met" not in table.render({}).split()
    assert table.missed({}) == []


def test_the_json_object_has_all_fields_that_were_promised() -> None:
    """Scripts that compare releases read these fields."""
    made = table.as_object({"sign_us.prewarmd": 9.12345, "ratio_to_obstore": 0.5})
    assert set(made["get_100k_us"]) == {"prewarmd", "aiobotocore", "obstore", "aiohttp"}
    assert set(made["post_100k_us"]) == {"prewarmd", "aiohttp"}
    assert made["sign_us"] == {"prewarmd": 9.123, "botocore": None}
    assert made["ratio_to_obstore"] == 0.5
    assert made["missed"] == ["daemon / obstore + aiohttp: ratio_to_obstore"]
    alone = {
        "daemon_cpu_us_per_media", "daemon_tls_cpu_us_per_media", "daemon_media_per_minute",
        "ratio_to_minimal_client", "cut_through_ratio", "relay_rss_mib",
    }  # fmt: skip
    assert {name: made[name] for name in alone} == dict.fromkeys(alone)


def test_every_promised_field_has_a_line_in_the_table() -> None:
    """Else the table would show less than the JSON object."""
    shown = {line.name for line in table.lines()}
    assert set(table.PROMISED) <= shown
