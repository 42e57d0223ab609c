"""What happened and what was decided, turned into logs and metrics: the only bridge from the core
to either. One look at a whole turn; nothing here decides.

Successes are counted, not logged, except at DEBUG: a line per job would cost more than the job's
scheduling.
"""

from collections.abc import Iterable
from typing import Any

from prewarmd.core import records, reports
from prewarmd.core.commands import Command, Finish, Kill
from prewarmd.core.engine import Engine
from prewarmd.core.events import ChildExited, ChildGreeted, ChildReported, Event, StoreStalled
from prewarmd.telemetry.metrics import Metrics, Quantiles


class Observer:
    """Sees every turn."""

    def __init__(self, metrics: Metrics, log: Any) -> None:
        self.metrics = metrics
        self.log = log
        self.latency = Quantiles()
        self._uploaded = metrics.finished.labels("uploaded")
        self.bytes_downloaded = 0
        self._hits = 0
        self._misses = 0

    def turn(self, engine: Engine, events: Iterable[Event], commands: Iterable[Command]) -> None:
        """Count and log one turn."""
        for event in events:
            self._event(event)
        for command in commands:
            self._command(command)
        cache = engine.desk.cache
        if cache.hits > self._hits:
            self.metrics.cache_hit.inc(cache.hits - self._hits)
            self._hits = cache.hits
        if cache.misses > self._misses:
            self.metrics.cache_miss.inc(cache.misses - self._misses)
            self._misses = cache.misses

    def _event(self, event: Event) -> None:
        match event:
            case ChildReported(index, _, report):
                self._report(index, report)
            case ChildGreeted(index, generation, pid):
                self.log.info("child.ready", child=index, generation=generation, pid=pid)
            case ChildExited(index, generation, reason, sent):
                orderly = reason == "exited with 0"
                self.metrics.restarts.inc(not orderly)
                (self.log.info if orderly else self.log.warning)(
                    "child.exited", child=index, generation=generation, reason=reason,
                    maybe_sent=len(sent),
                )  # fmt: skip
            case StoreStalled(detail):
                self.log.error("store.stalled", detail=detail)
            case _:
                pass

    def _report(self, index: int, report: reports.Report) -> None:
        match report:
            case reports.Fetched(size_bytes=size_bytes) | reports.Passed(size_bytes=size_bytes):
                self.metrics.downloaded.inc(size_bytes)
                self.bytes_downloaded += size_bytes
            case (
                reports.FetchFailed(task, code, detail)
                | reports.ListFailed(task, code, detail)
                | reports.ChatUnknown(task, code, detail)
            ):
                self.metrics.faults.labels(code).inc()
                self.log.info("task.failed", child=index, task=task, code=code, detail=detail)
            case reports.Uploaded(task=task, detail=detail) if detail:
                self.log.info("upload.fell_back", child=index, task=task, detail=detail)
            case reports.UploadFailed():
                self.metrics.faults.labels(report.code).inc()
                self.log.info(
                    "upload.failed", child=index, task=report.task, code=report.code,
                    detail=report.detail, retry_after_s=report.retry_after_s,
                )  # fmt: skip
            case _:
                pass

    def _command(self, command: Command) -> None:
        match command:
            case records.Complete():
                self._uploaded.inc()
                self.metrics.time_to_ready.observe(command.waited_s)
                self.latency.observe(command.waited_s)
                self.log.debug("job.ready", job=command.job, waited_s=round(command.waited_s, 3))
                if command.kind != command.actual_kind:
                    self._mismatch(command)
            case records.Join():
                self.metrics.finished.labels("deduplicated").inc()
                self.metrics.time_to_ready.observe(command.waited_s)
                self.latency.observe(command.waited_s)
            case records.Fail(job, code, detail, attempt, maybe_sent):
                self.metrics.finished.labels("failed").inc()
                self.log.warning(
                    "job.failed", job=job, code=code, detail=detail, attempt=attempt,
                    maybe_sent=maybe_sent,
                )  # fmt: skip
            case Kill(index, generation, reason):
                self.log.error("child.killed", child=index, generation=generation, reason=reason)
            case Finish(failure) if failure:
                self.log.critical("daemon.gave_up", reason=failure)
            case _:
                pass

    def _mismatch(self, done: records.Complete) -> None:
        """Its file_id is good for another method than the one that was asked for."""
        self.metrics.mismatches.labels(done.kind, done.actual_kind).inc()
        self.log.info("job.other_kind", job=done.job, kind=done.kind, actual_kind=done.actual_kind)
