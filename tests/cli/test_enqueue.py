"""Handing many jobs over: pages, back-pressure, and refusals that name the item."""

from pathlib import Path
from typing import Any

import pytest

from prewarmd.cli.client import Client, InvalidError, MalformedError, RefusedError
from prewarmd.cli.enqueue import enqueue


class Daemon(Client):
    """Takes as many jobs as it has room for, and makes room only when it is waited for."""

    def __init__(self, room: int = 10**9, page_max: int = 1000, bad: str = "") -> None:
        super().__init__(Path("unused"))
        self.room = room
        self.page_max = page_max
        self.bad = bad
        self.taken: list[str] = []
        self.asked: list[int] = []

    def ask(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        keys = [job["key"] for job in body["jobs"]]
        self.asked.append(len(keys))
        if len(keys) > self.page_max:
            raise MalformedError(413, {"detail": "too large"}, None)
        if self.bad in keys:
            index = keys.index(self.bad)
            problem = {"detail": f"jobs[{index}].bucket: is not configured", "index": index}
            raise MalformedError(422, problem, None)
        if len(keys) > self.room:
            raise RefusedError(429, {"detail": "full"}, "5")
        self.room -= len(keys)
        self.taken += keys
        return {"jobs": [{"id": key, "state": "queued", "created": True} for key in keys]}


def hand_over(daemon: Daemon, number: int, room_per_wait: int = 0) -> list[str]:
    """The notes that were made while `number` jobs were enqueued."""
    said: list[str] = []

    def sleep(seconds: float) -> None:
        assert seconds == 5.0
        daemon.room += room_per_wait

    items = ((f"line {n + 1}", {"key": str(n)}) for n in range(number))
    for page in enqueue(daemon, items, said.append, sleep):
        assert all(job["key"] == told["id"] for job, told in page)
    return said


def test_pages_of_a_thousand_in_order() -> None:
    """The API's own limit."""
    daemon = Daemon()
    assert hand_over(daemon, 2500) == []
    assert daemon.asked == [1000, 1000, 500]
    assert daemon.taken == [str(n) for n in range(2500)]


@pytest.mark.parametrize("room", [1, 3, 700])
def test_a_full_queue_is_waited_for(room: int) -> None:
    """Retry-After counts, and a queue smaller than a page is no dead end: nothing is lost, nothing
    sent twice, nothing out of order."""
    daemon = Daemon(room=room)
    said = hand_over(daemon, 1200, room_per_wait=room)
    assert daemon.taken == [str(n) for n in range(1200)]
    assert said
    assert set(said) == {"the queue is full; waiting 5 s"}


def test_a_body_that_is_too_large_is_halved() -> None:
    """http.max_body may be small."""
    daemon = Daemon(page_max=150)
    hand_over(daemon, 1000)
    assert daemon.taken == [str(n) for n in range(1000)]
    assert daemon.asked.count(1000) == 1


def test_what_the_daemon_refuses_is_named_with_what_was_taken_before() -> None:
    """Only which buckets there are is judged as late as this."""
    daemon = Daemon(bad="1234")
    with pytest.raises(InvalidError, match=r"^line 1235: bucket: is not configured$") as raised:
        hand_over(daemon, 2000)
    assert raised.value.hint.startswith("1000 jobs before it are taken")
    assert len(daemon.taken) == 1000
