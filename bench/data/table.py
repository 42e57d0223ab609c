"""The goals, the table that says which are met, and the JSON object: pure functions of figures.

A figure has a dotted name. One that was not measured is absent, and the table says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table. A figure without a bound is there to be compared with."""

    name: str
    text: str
    unit: str = "us"
    at_most: float | None = None
    at_least: float | None = None

    def missed_by(self, value: float) -> float:
        """The share of the bound that is too much or too little; 0 when it is met."""
        if self.at_most is not None and value > self.at_most:
            return value / self.at_most - 1 if self.at_most else 1.0
        if self.at_least is not None and value < self.at_least:
            return 1 - value / self.at_least
        return 0.0

    @property
    def goal(self) -> str:
        """In words."""
        if self.at_most is not None:
            return f"at most {_number(self.at_most)}"
        return f"at least {_number(self.at_least)}" if self.at_least is not None else ""

    def verdict(self, figures: Figures) -> str:
        """The last column."""
        if self.name not in figures:
            return "not measured"
        if not self.goal:
            return ""
        missed = self.missed_by(figures[self.name])
        return f"MISSED by {missed:.0%}" if missed else "met"


SECTIONS: tuple[tuple[str, tuple[Line, ...]], ...] = (
    (
        "GET 100 KB, http, CPU per request",
        (
            Line("get_100k_us.prewarmd", "prewarmd"),
            Line("get_100k_us.hashing", "prewarmd, SHA-256 included"),
            Line("get_100k_us.aiobotocore", "aiobotocore"),
            Line("get_100k_us.boto3", "boto3, threads"),
            Line("get_100k_us.obstore", "obstore"),
            Line("get_100k_us.aiohttp", "aiohttp, our signer"),
            Line("get_100k_ratio.aiobotocore", "prewarmd / aiobotocore", "", at_most=1 / 8),
            Line("get_100k_ratio.obstore", "prewarmd / obstore", "", at_most=1 / 2),
        ),
    ),
    (
        "GET 100 KB, TLS, CPU per request",
        (
            Line("get_100k_tls_us.prewarmd", "prewarmd"),
            Line("get_100k_tls_us.aiobotocore", "aiobotocore"),
            Line("get_100k_tls_us.boto3", "boto3, threads"),
            Line("get_100k_tls_us.aiohttp", "aiohttp, our signer"),
            Line("get_100k_tls_ratio.aiobotocore", "prewarmd / aiobotocore", "", at_most=1 / 6),
        ),
    ),
    (
        "GET 20 MB, http, CPU per GB",
        (
            Line("get_20m_s_per_gb.prewarmd", "prewarmd", "s", at_most=0.4),
            Line("get_20m_s_per_gb.aiobotocore", "aiobotocore", "s"),
            Line("get_20m_s_per_gb.obstore", "obstore", "s"),
            Line("get_20m_s_per_gb.aiohttp", "aiohttp, our signer", "s"),
        ),
    ),
    (
        "POST 100 KB out of the extent, CPU per request",
        (
            Line("post_100k_us.prewarmd", "prewarmd, http"),
            Line("post_100k_us.aiohttp", "aiohttp, http"),
            Line("post_100k_ratio.aiohttp", "prewarmd / aiohttp, http", "", at_most=1 / 4),
            Line("post_100k_tls_us.prewarmd", "prewarmd, TLS"),
            Line("post_100k_tls_us.aiohttp", "aiohttp, TLS"),
            Line("post_100k_tls_ratio.aiohttp", "prewarmd / aiohttp, TLS", ""),
        ),
    ),
    (
        "Signing, CPU per request",
        (
            Line("sign_us.prewarmd", "prewarmd"),
            Line("sign_us.botocore", "botocore"),
            Line("sign_ratio.botocore", "prewarmd / botocore", "", at_most=1 / 8),
        ),
    ),
    (
        "Whole daemon, 100 KB photos, all its processes, CPU per media",
        (
            Line("daemon_cpu_us_per_media", "http", at_most=300),
            Line("daemon_cpu_us_per_media", "http, the stretch goal", at_most=250),
            Line("daemon_supervisor_us", "http, of that the supervisor"),
            Line("daemon_tls_cpu_us_per_media", "TLS both ways", at_most=500),
            Line("daemon_1m_rows_cpu_us_per_media", "http, 1 M rows catalogued", at_most=350),
            Line("minimal_us.one", "minimal client, 1 process of 16"),
            Line("minimal_us.five", "minimal client, 5 processes of 16"),
            Line("obstore_aiohttp_us.one", "obstore + aiohttp, 1 process of 16"),
            Line("obstore_aiohttp_us.five", "obstore + aiohttp, 5 processes of 16"),
            Line("ratio_to_minimal_client", "daemon / minimal client", "", at_most=1.6),
            Line("ratio_to_obstore", "daemon / obstore + aiohttp", "", at_most=1 / 3),
            Line("daemon_media_per_minute", "media per minute", "", at_least=180_000),
            Line("daemon_tls_media_per_minute", "media per minute, TLS", ""),
        ),
    ),
    (
        "The same into a sink that hashes: files not arrived once, whole and catalogued",
        (
            Line("sink_wrong.http", "http", "", at_most=0),
            Line("sink_wrong.tls", "TLS both ways", "", at_most=0),
            Line("sink_wrong.1m_rows", "http, 1 M rows catalogued", "", at_most=0),
        ),
    ),
    (
        "A media whose bytes are in the arena, CPU",
        (
            Line("hit_us", "hit"),
            Line("miss_us", "miss"),
            Line("hit_ratio", "hit / miss", "", at_most=1 / 2),
            Line("hit_downloaded_bytes", "bytes downloaded for hits", "", at_most=0),
        ),
    ),
    (
        "Large media",
        (
            Line("far_s.cut_through", "4 MB far away, cut-through", "s"),
            Line("far_s.whole", "4 MB far away, download, then upload", "s"),
            Line("cut_through_ratio", "cut-through / download, then upload", "", at_most=0.6),
            Line("relay_rss_mib", "growth of a child that relays 2 GB", "MiB", at_most=16),
            Line("relay_s", "relay of 2 GB", "s"),
            Line("relay_cpu_s", "the same, CPU of all processes", "s"),
            Line("hash_scaling", "SHA-256 by five children / by one", "", at_least=1.8),
            Line("hash_cores.one", "cores that the one had", ""),
            Line("hash_cores.five", "cores that the five had", ""),
        ),
    ),
)  # fmt: skip
PROMISED = (
    "get_100k_us.prewarmd", "get_100k_us.aiobotocore", "get_100k_us.obstore",
    "get_100k_us.aiohttp", "post_100k_us.prewarmd", "post_100k_us.aiohttp",
    "daemon_cpu_us_per_media", "daemon_tls_cpu_us_per_media", "daemon_media_per_minute",
    "ratio_to_minimal_client", "ratio_to_obstore", "cut_through_ratio", "sign_us.prewarmd",
    "sign_us.botocore", "relay_rss_mib",
)  # fmt: skip
"""Always in the JSON object, null when not measured."""


def lines() -> list[Line]:
    """All, in order."""
    return [line for _, section in SECTIONS for line in section]


def render(figures: Figures) -> str:
    """The table."""
    width = max(len(line.text) for line in lines())
    rows = []
    for title, section in SECTIONS:
        rows.append(f"\n{title}")
        for line in section:
            value = figures.get(line.name)
            shown = "-" if value is None else f"{_number(value)} {line.unit}".strip()
            row = f"  {line.text:{width}}  {shown:>12}  {line.goal:18}  {line.verdict(figures)}"
            rows.append(row.rstrip())
    return "\n".join(rows)


def missed(figures: Figures) -> list[str]:
    """What was measured and does not meet its goal."""
    return [
        f"{line.text}: {line.name}"
        for line in lines()
        if line.name in figures and line.missed_by(figures[line.name])
    ]


def as_object(figures: Figures) -> dict[str, Any]:
    """For JSON: dotted names nested; `missed` names the lines whose goal is not met."""
    made: dict[str, Any] = {}
    for name in dict.fromkeys((*PROMISED, *figures)):
        value = figures.get(name)
        group, dot, leaf = name.partition(".")
        rounded = None if value is None else float(f"{value:.4g}")
        if dot:
            made.setdefault(group, {})[leaf] = rounded
        else:
            made[name] = rounded
    made["missed"] = missed(figures)
    return made


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3g}"
