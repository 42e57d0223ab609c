"""The page of `status`."""

from typing import Any

from rich.console import Console

from prewarmd.cli.screen import screen

PROCESS: dict[str, Any] = {
    "pid": 1, "name": "x", "cpu_percent": 1.0, "rss_bytes": 10**6, "pss_bytes": 10**6, "fds": 3,
    "uptime_s": 5.0,
}  # fmt: skip


def status(number: int) -> dict[str, Any]:
    """A daemon with so many jobs in flight and lanes; the last lane is closed."""
    task = {"child": 0, "bot": "shop", "kind": "video", "stage": "body_sent", "attempt": 1,
            "bytes_done": 12_500_000, "bytes_total": 25_000_000, "seconds": 2.0}  # fmt: skip
    lane = {"bot": "shop", "kind": "channel", "in_flight": 1, "next_send_in_s": None,
            "per_s": 1 / 3, "refuses": {}}  # fmt: skip
    return {
        "version": "9", "source": "daemon", "readiness": {"ready": True, "reasons": []},
        "jobs": {"queued": 4}, "queue": {"by_kind": {"photo": 0, "video": 4}, "capacity": 9},
        "cache": {"hits": 3, "misses": 1, "hit_ratio": 0.75, "bytes": 5, "capacity_bytes": 10,
                  "items": 2, "evictions": 0, "bytes_downloaded": 7},
        "catalogue": {"rows": 6, "stale": 5, "deduplicated": 0, "possible_duplicates": 0},
        "latency": {"p50_ms": 12.34, "p95_ms": None}, "rates": {"per_minute": 6000},
        "lanes": [{**lane, "chat_id": -n, "state": "closed" if n == number - 1 else "open",
                   "reason": "chat not found" if n == number - 1 else None}
                  for n in range(number)],
        "bots": {"shop": {"stale_media": 17}}, "supervisor": PROCESS, "helpers": [],
        "children": [{**PROCESS, "index": 0, "state": "ready", "in_flight": number, "done": 8},
                     {**PROCESS, "pid": None, "index": 1, "state": "backoff", "in_flight": 0,
                      "done": 0, "cpu_percent": None, "pss_bytes": None}],
        "inflight": [{**task, "job": f"j{n:08x}", "key": f"k/{n}\x1b[1m" + "x" * 300}
                     for n in range(number)],
    }  # fmt: skip


def page(number: int, rows: int = 20, width: int = 130) -> str:
    """As text."""
    with (console := Console(width=width)).capture() as shown:
        console.print(screen(status(number), rows))
    return shown.get()


def test_everything_that_matters_is_on_it() -> None:
    """Processes, stage and bytes, depth by kind, cache, lanes, rates, and file_ids gone stale."""
    text = page(2)
    for part in ("ready", "child 0", "backoff", "body sent", "12.5 MB of 25.0 MB", "4 video",
                 "75.0 % hits", "P50 12.3 ms, P95 -", "6,000 a minute", "20/min", "chat not found",
                 "17 old file_ids", "6 file_ids, 5 stale"):  # fmt: skip
        assert part in text, part
    assert "\x1b" not in text
    assert "0 photo" not in text, "what is not queued"


def test_long_lists_are_cut_and_what_is_wrong_comes_first() -> None:
    """A page fits a terminal, and says what it leaves out."""
    text = page(50, rows=5)
    assert text.count("body sent") == 5
    assert "and 45 more in flight" in text
    assert "and 45 more lanes" in text
    assert "chat not found" in text
    assert all(len(line) <= 130 for line in text.splitlines())
