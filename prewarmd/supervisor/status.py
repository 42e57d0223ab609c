"""One look at the whole daemon: engine, board, processes, committed counts. What `GET /v1/status`
answers and `prewarmd status` shows."""

import os
import time
from typing import Any

from prewarmd.core.jobs import JobState, Kind, public_id
from prewarmd.core.lanes import Lane
from prewarmd.core.ready_queue import FOREVER
from prewarmd.core.stage import Stage
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board
from prewarmd.store.base import JobStore
from prewarmd.supervisor.clock import monotonic
from prewarmd.supervisor.loop import Loop
from prewarmd.supervisor.processes import Processes
from prewarmd.telemetry.metrics import Metrics
from prewarmd.telemetry.observe import Observer
from prewarmd.telemetry.process import Sampler


class Status:
    """Puts the object together; costs a few ms, most of it psutil's."""

    def __init__(
        self,
        loop: Loop,
        store: JobStore,
        processes: Processes,
        arena: Arena,
        board: Board,
        observer: Observer,
        version: str,
        api_base: str,
    ) -> None:
        self._loop = loop
        self._store = store
        self._processes = processes
        self._arena = arena
        self._board = board
        self._observer = observer
        self._version = version
        self._api_base = api_base
        self._sampler = Sampler()

    def look(self) -> dict[str, Any]:
        """The object of GET /v1/status."""
        engine, now = self._loop.engine, monotonic()
        desk = engine.desk
        counts = self._store.counts()
        p50, p95 = self._observer.latency.milliseconds(0.5, 0.95)
        reasons = self.reasons()
        cache = desk.cache
        asked = cache.hits + cache.misses
        return {
            "version": self._version,
            "source": "daemon",
            "readiness": {"ready": not reasons, "reasons": reasons},
            "jobs": {str(state): counts.by_state.get(state, 0) for state in JobState},
            "queue": {
                "by_kind": {str(k): counts.unfinished_by_kind.get(k, 0) for k in Kind},
                "capacity": engine.policy.capacity,
            },
            "cache": {
                "hits": cache.hits,
                "misses": cache.misses,
                "hit_ratio": round(cache.hits / asked, 4) if asked else None,
                "bytes": cache.used_bytes,
                "capacity_bytes": cache.extents.size_bytes,
                "resident_bytes": self._arena.resident_bytes(),
                "items": cache.items,
                "evictions": cache.evictions,
                "bytes_downloaded": self._observer.bytes_downloaded,
            },
            "catalogue": {
                "rows": counts.catalogue_rows,
                "stale": counts.stale_rows,
                "deduplicated": counts.deduplicated,
                "possible_duplicates": counts.possible_duplicates,
            },
            "latency": {"p50_ms": p50, "p95_ms": p95},
            "rates": {"per_minute": desk.ready_rate.per_window(now)},
            "lanes": [self._lane(lane, now) for bot in desk.bots.values() for lane in bot.lanes],
            "telegram": {"api_base": self._api_base},
            "bots": {
                slug: {
                    "bot_id": self._store.bot_ids.get(slug),
                    "stale_media": counts.stale_bot_rows.get(slug, 0),
                }
                for slug in desk.bots
            },
            "supervisor": self._sampler.sample(os.getpid()),
            "helpers": [
                self._sampler.sample(pid)
                for pid in self._sampler.others(set(self._processes.pids().values()))
            ],
            "children": [self._child(child) for child in engine.children.all],
            "inflight": self.in_flight(),
        }

    def measure(self, metrics: Metrics) -> None:
        """Set the gauges that mirror the engine."""
        engine = self._loop.engine
        metrics.cache_bytes.set(engine.desk.cache.used_bytes)
        metrics.cache_items.set(engine.desk.cache.items)
        metrics.children.set(engine.children.ready)

    def reasons(self) -> list[dict[str, str]]:
        """Why the daemon is not ready."""
        found = self._loop.engine.readiness(monotonic())
        return [{"code": code, "message": message} for code, message in found]

    def _child(self, child: Any) -> dict[str, Any]:
        empty = {"cpu_percent": None, "rss_bytes": None, "pss_bytes": None, "fds": None,
                 "uptime_s": None}  # fmt: skip
        sample = self._sampler.sample(child.pid) if child.pid else empty
        return {
            **sample,
            "index": child.index,
            "pid": child.pid,
            "state": str(child.state),
            "in_flight": len(child.tasks),
            "done": child.done,
            "generation": child.generation,
            "last_exit": child.last_exit or None,
        }

    def _lane(self, lane: Lane, now: float) -> dict[str, Any]:
        at = lane.next_at(now)
        state = "open" if lane.gate.is_open else "closed"
        if lane.paused_until > now:
            state = "paused"
        interval_s = lane.pace.interval_s
        return {
            "bot": lane.bot,
            "chat_id": lane.chat_id,
            "kind": lane.chat_kind,
            "state": state,
            "in_flight": lane.in_flight,
            "next_send_in_s": None if at == FOREVER else round(max(0.0, at - now), 3),
            "per_s": round(1 / interval_s, 4) if interval_s else None,
            "reason": lane.gate.detail or None,
            "refuses": {str(kind): gate.detail for kind, gate in lane.refusals.items()},
        }

    def in_flight(self) -> list[dict[str, Any]]:
        """What the board says of every task that is with a child."""
        engine, now_ns = self._loop.engine, time.monotonic_ns()
        rows = []
        for child in engine.children.all:
            for task, row in child.tasks.items():
                record = self._board.read(row)
                if record is None or record.task != task:
                    continue
                job = engine.desk.jobs.get(record.job)  # type: ignore[call-overload]  # a board holds plain integers
                rows.append(
                    {
                        "job": public_id(record.job),  # type: ignore[arg-type]  # likewise
                        "child": child.index,
                        "bot": job.bot if job else None,
                        "key": job.key if job else None,
                        "kind": str(job.kind) if job else None,
                        "stage": Stage(record.stage).name.lower(),
                        "bytes_done": record.bytes_done,
                        "bytes_total": record.bytes_total,
                        "attempt": record.attempt,
                        "seconds": round((now_ns - record.started_ns) / 1e9, 3),
                    }
                )
        return rows
