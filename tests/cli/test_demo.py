"""The demo as a newcomer types it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

FIELDS = (
    "media", "ready", "failed", "seconds", "per_minute", "p50_ms", "p95_ms", "cache_hits",
    "cache_misses", "bytes_downloaded", "deduplicated", "cold_send_ms", "warm_send_ms",
    "survived_restart", "kinds",
)  # fmt: skip
FIGURES = [
    "ready", "media per minute", "enqueue to ready", "store", "saved", "deduplicated",
    "finished first", "after a restart",
]  # fmt: skip


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary directory whose name leaves room for those of sockets, as pytest's do not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def test_the_demo_ends_well_and_leaves_nothing(short: Path) -> None:
    """All media ready and still known after a restart, one JSON object last, words in 80 columns,
    no file of its own left behind."""
    done = subprocess.run(
        [sys.executable, "-m", "prewarmd", "demo", "--media", "20", "--json"],
        env={**os.environ, "TMPDIR": str(short), "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout.splitlines()[-1])
    assert tuple(found) == FIELDS
    assert (found["media"], found["ready"], found["failed"]) == (20, 20, 0)
    assert found["survived_restart"] == 20
    assert 0 < found["cache_misses"] <= 20
    assert found["warm_send_ms"] > 0
    assert found["cold_send_ms"] > 0
    names = [line.split("  ")[0] for line in done.stderr.splitlines() if line[:1].isalpha()]
    assert names[-8:] == FIGURES, "each is on one line"
    assert "no artificial delay" in done.stderr
    assert sum(sum(actual.values()) for actual in found["kinds"].values()) == 20
    assert found["kinds"]["animation"] == {"animation": 1}, "a gif"
    assert found["kinds"]["video"]["animation"] == 1, "a film without sound"
    assert list(short.iterdir()) == []
