"""Every Prometheus metric, in one table, and the registry that serves them.

The supervisor owns the one registry; children report through their pipes (prometheus_client's
multiprocess mode corrupts its files when a process is killed). Labels have few fixed values: never
a key, a chat or a job. The two cache counters keep the names of the system that prewarmd
re-imagines, so that existing dashboards go on.
"""

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The registry and its members."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.cache_hit = Counter(
            "media_prewarm_download_cache_hit_total", "Jobs that needed no GET", registry=r
        )
        self.cache_miss = Counter(
            "media_prewarm_download_cache_miss_total", "GETs sent to the store", registry=r
        )
        self.downloaded = Counter(
            "prewarmd_downloaded_bytes_total", "Bytes fetched from the store", registry=r
        )
        self.jobs = Gauge("prewarmd_jobs", "Jobs by state", ["state"], registry=r)
        self.finished = Counter(
            "prewarmd_finished_total", "Jobs finished, by how", ["outcome"], registry=r
        )
        self.mismatches = Counter(
            "prewarmd_kind_mismatches_total", "Uploads that became another kind than was asked for",
            ["kind", "actual_kind"], registry=r,
        )  # fmt: skip
        self.faults = Counter(
            "prewarmd_faults_total", "Faults that children reported", ["code"], registry=r
        )
        self.time_to_ready = Histogram(
            "prewarmd_time_to_ready_seconds", "From enqueue to ready", registry=r, buckets=_SECONDS
        )
        self.cache_bytes = Gauge("prewarmd_cache_bytes", "Arena in use", registry=r)
        self.cache_items = Gauge("prewarmd_cache_items", "Contents in the arena", registry=r)
        self.children = Gauge("prewarmd_children_ready", "Children that are up", registry=r)
        self.restarts = Counter(
            "prewarmd_child_exits_total", "Children that ended unasked", registry=r
        )
        self.commit_seconds = Histogram(
            "prewarmd_commit_seconds", "From a turn's records to their commit", registry=r,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
        )  # fmt: skip

    def exposition(self) -> bytes:
        """The text format, as `/metrics` serves it."""
        return generate_latest(self.registry)


class Quantiles:
    """P50 and P95 over the last `size` observations; sorted only when somebody asks."""

    def __init__(self, size: int = 2048) -> None:
        self._last: deque[float] = deque(maxlen=size)

    def observe(self, seconds: float) -> None:
        """One more."""
        self._last.append(seconds)

    def milliseconds(self, *shares: float) -> list[float | None]:
        """The quantiles in ms, None where nothing was observed yet."""
        ranked = sorted(self._last)
        if not ranked:
            return [None for _ in shares]
        return [
            round(1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))], 1)
            for share in shares
        ]
