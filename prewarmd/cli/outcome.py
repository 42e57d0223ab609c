"""What became of jobs and batches that a command waits for: asked again and again until the last
one is finished."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prewarmd.cli.client import Client
from prewarmd.cli.jobs import PAGE_MAX, pages
from prewarmd.core.jobs import FINISHED, JobId, parse_public_id, public_id

POLL_S = 0.2
PAUSE_SHARE = 3.0
"""Pauses are so many times as long as a look: waiting must not cost the daemon much."""


@dataclass(slots=True)
class Outcome:
    """How many are ready, and all others with their reason."""

    ready: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Jobs, as the API tells them, that failed or were cancelled."""
    error: dict[str, Any] | None = None
    """Why a batch could not be listed to its end."""

    @property
    def is_whole(self) -> bool:
        """Whether everything is ready."""
        return not self.lost and self.error is None

    def add(self, job: dict[str, Any]) -> None:
        """Count a finished job."""
        if job["state"] == "ready":
            self.ready += 1
        else:
            self.lost.append(job)


def await_jobs(
    client: Client, ids: set[str], outcome: Outcome, tick: Callable[[int, int], None]
) -> None:
    """Wait until every job of `ids` is finished, and count it into `outcome`."""
    done = outcome.ready
    total = done + len(ids)
    pending = {number for each in ids if (number := parse_public_id(each)) is not None}
    for _ in _looks():
        for job in _finished(client, pending):
            outcome.add(job)
        tick(total - len(pending), total)
        if not pending:
            return


def _looks() -> Iterator[None]:
    """Again and again, with pauses that fit how long a look takes."""
    while True:
        begun = time.monotonic()
        yield
        time.sleep(max(POLL_S, PAUSE_SHARE * (time.monotonic() - begun)))


def _finished(client: Client, pending: set[JobId]) -> list[dict[str, Any]]:
    """Those of `pending` that are finished by now; they are taken out of it.

    A page of the list costs the daemon about as much as ten single questions, so what is close
    together is read in pages and what is scattered is asked one by one.
    """
    found: list[dict[str, Any]] = []
    if not pending:
        return found
    newest, oldest = max(pending), min(pending)
    span_pages = (newest - oldest) // PAGE_MAX + 1
    if len(pending) <= 10 * span_pages:
        found += [client.ask("GET", f"/v1/jobs/{public_id(one)}") for one in sorted(pending)]
    else:
        cursor: str | None = public_id(JobId(newest + 1))
        while cursor is not None:
            answer = client.ask("GET", "/v1/jobs", limit=PAGE_MAX, cursor=cursor)
            found += answer["jobs"]
            cursor = answer["next"]
            last = parse_public_id(cursor) if cursor else None
            if last is None or last <= oldest:
                break
    finished = []
    for job in found:
        job_id = parse_public_id(job["id"])
        if job_id in pending and job["state"] in FINISHED:
            pending.discard(job_id)
            finished.append(job)
    return finished


def await_batch(
    client: Client, batch: str, outcome: Outcome, tick: Callable[[int, int], None]
) -> dict[str, Any]:
    """Wait until the listing and all its jobs are finished; the batch's last word."""
    for _ in _looks():
        told: dict[str, Any] = client.ask("GET", f"/v1/batches/{batch}")
        done = told["ready"] + told["failed"] + told["cancelled"]
        tick(done, told["submitted"])
        if told["finished"]:
            break
    outcome.ready += told["ready"]
    outcome.error = told["error"]
    return told


def lost_of_batch(
    client: Client, told: dict[str, Any], bucket: str | None, since: str
) -> list[dict[str, Any]]:
    """The jobs of a finished batch that failed or were cancelled, since it was opened.

    The API lists jobs by state and bot only; the prefix is sought here, until as many are found as
    the batch counts.
    """
    lost = []
    for state in ("failed", "cancelled"):
        left = told[state]
        for page, _ in pages(client, 1_000_000, state=state, bot=told["bot"]) if left else ():
            for job in page:
                mine = bucket is None or job["bucket"] == bucket
                recent = job["updated_at"] >= since
                if left and mine and recent and job["key"].startswith(told["prefix"]):
                    lost.append(job)
                    left -= 1
            if not left:
                break
    return lost
