"""Waiting for many jobs without asking the daemon more than it takes."""

from pathlib import Path
from typing import Any

import pytest

from prewarmd.cli import outcome as waiting
from prewarmd.cli.client import Client
from prewarmd.cli.outcome import Outcome, await_batch, await_jobs, lost_of_batch
from prewarmd.core.jobs import JobId, parse_public_id, public_id


class Daemon(Client):
    """Holds jobs 1 to `number`; with each look at it, `pace` more are finished."""

    def __init__(self, number: int, pace: int, failed: frozenset[int] = frozenset()) -> None:
        super().__init__(Path("unused"))
        self.number = number
        self.pace = pace
        self.failed = failed
        self.done = 0
        self.questions = 0

    def job(self, number: int) -> dict[str, Any]:
        state = "queued"
        if number <= self.done:
            state = "failed" if number in self.failed else "ready"
        stamp = "2026-01-01T00:00:00.000Z" if number < 3 else "2026-02-01T00:00:00.000Z"
        key = f"{'a' if number % 2 else 'b'}/{number}"
        return {"id": public_id(JobId(number)), "state": state, "bot": "shop", "bucket": "media",
                "key": key, "updated_at": stamp}  # fmt: skip

    def ask(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        self.questions += 1
        if path.startswith("/v1/batches/"):
            self.done += self.pace
            ready = min(self.done, self.number)
            return {"submitted": self.number, "ready": ready, "failed": 0, "cancelled": 0,
                    "finished": ready == self.number, "error": None}  # fmt: skip
        if path != "/v1/jobs":
            self.done += self.pace
            number = parse_public_id(path.rpartition("/")[2])
            assert number is not None
            return self.job(number)
        before = parse_public_id(query["cursor"]) if query.get("cursor") else None
        numbers = range(min(self.number, (before or 1 << 60) - 1), 0, -1)
        found = [self.job(n) for n in numbers]
        if query.get("state"):
            found = [job for job in found if job["state"] == query["state"]]
        self.done += self.pace
        page = found[: query["limit"]]
        more = page[-1]["id"] if len(page) == query["limit"] else None
        return {"jobs": page, "next": more}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between looks."""
    monkeypatch.setattr(waiting, "POLL_S", 0.0)
    monkeypatch.setattr(waiting, "PAUSE_SHARE", 0.0)


def test_many_jobs_are_read_in_pages() -> None:
    """5000 jobs: a handful of questions for each look, and each job is counted once."""
    daemon = Daemon(6000, pace=200, failed=frozenset({1500, 4000}))
    ids = {public_id(JobId(n)) for n in range(1001, 6001)}
    ticks: list[tuple[int, int]] = []
    outcome = Outcome(ready=7)
    await_jobs(daemon, ids, outcome, lambda done, total: ticks.append((done, total)))
    assert outcome.ready == 7 + 4998
    assert sorted(job["key"] for job in outcome.lost) == ["b/1500", "b/4000"]
    assert not outcome.is_whole
    assert ticks == sorted(ticks)
    assert ticks[-1] == (5007, 5007)
    assert daemon.questions < 100


def test_scattered_jobs_are_asked_one_by_one() -> None:
    """Three jobs of a million need no thousand pages."""
    daemon = Daemon(1_000_000, pace=400_000)
    ids = {public_id(JobId(n)) for n in (1, 500_000, 1_000_000)}
    outcome = Outcome()
    await_jobs(daemon, ids, outcome, lambda *_: None)
    assert outcome == Outcome(ready=3)
    assert daemon.questions <= 6


def test_a_batch_is_waited_for_and_its_failures_are_sought() -> None:
    """By prefix and time, since the list knows neither; older failures are somebody else's."""
    daemon = Daemon(40, pace=15, failed=frozenset({1, 5, 6, 7}))
    outcome = Outcome()
    await_batch(daemon, "b1", outcome, lambda *_: None)
    assert outcome.ready == 40
    told = {"failed": 2, "cancelled": 0, "bot": "shop", "prefix": "a/"}
    lost = lost_of_batch(daemon, told, None, since="2026-01-15T00:00:00.000Z")
    assert [job["key"] for job in lost] == ["a/7", "a/5"]
    assert lost_of_batch(daemon, told, "other", since="") == []
