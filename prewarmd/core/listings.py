"""Prefixes being listed: one page at a time, so that a listing never runs ahead of the queue.

A batch is durable with its checkpoint; here is only what is under way. A page is asked for when a
child has a slot and the queue has room for a page, and the next one after the last is committed.
"""

from collections import deque
from dataclasses import dataclass

from prewarmd.core.verbs import List

PAGE_KEYS = 1000
"""What one ListObjectsV2 call returns at most."""


@dataclass(slots=True, eq=False)
class Listing:
    """A prefix, and how far it was submitted."""

    batch: int
    bucket: str
    prefix: str
    after: str
    failures: int = 0
    not_before: float = 0.0
    began: float = 0.0
    """When its last page was asked for."""


class Listings:
    """Those that wait for a page, and those with a page under way."""

    def __init__(self) -> None:
        self._due: deque[Listing] = deque()
        self._listing: dict[int, Listing] = {}
        self._submitting: dict[int, Listing] = {}

    def open(self, listing: Listing) -> None:
        """A batch to be listed."""
        self._due.append(listing)

    def due(self, now: float) -> Listing | None:
        """The next batch that wants a page."""
        for _ in range(len(self._due)):
            if self._due[0].not_before <= now:
                return self._due[0]
            self._due.rotate(-1)
        return None

    def ask(self, task: int, now: float) -> List:
        """The first due batch's next page, under way as `task`."""
        listing = self._due.popleft()
        self._listing[task] = listing
        listing.began = now
        return List(task, listing.bucket, listing.prefix, listing.after)

    def listed(self, task: int) -> Listing:
        """A page came; the batch now waits for its commit."""
        listing = self._listing.pop(task)
        listing.failures = 0
        self._submitting[listing.batch] = listing
        return listing

    def committed(self, batch: int, after: str, *, done: bool) -> None:
        """The page is submitted; on with the next unless it was the last."""
        listing = self._submitting.pop(batch)
        listing.after = after
        if not done:
            self._due.append(listing)

    def failed(self, task: int) -> Listing:
        """A page could not be had; the caller decides whether to `open` it again."""
        listing = self._listing.pop(task)
        listing.failures += 1
        return listing

    def next_deadline(self, now: float) -> float:
        """When a batch that was put off is due again; one that is due waits for an event."""
        later = (listing.not_before for listing in self._due if listing.not_before > now)
        return min(later, default=float("inf"))

    @property
    def under_way(self) -> int:
        """Pages asked for and not yet in the queue."""
        return len(self._listing) + len(self._submitting)

    def __len__(self) -> int:
        return len(self._due) + len(self._listing) + len(self._submitting)
