"""A flight: one GET under way, and the jobs that wait for it.

What a GET tells is true of the moment at which it began, and ages from then on, in the cache as in
flight: a job that came later joins it, as it would believe the cache, for `ttl_s`. After that there
is a second GET of the same key, with which later ones begin anew. Content that was promised does
not age.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prewarmd.core.children import Child
from prewarmd.core.extents import Extent
from prewarmd.core.jobs import Job

if TYPE_CHECKING:
    from prewarmd.core.sending import Sending


@dataclass(slots=True, eq=False)
class Flight:
    """One GET, however many jobs wait for it."""

    key: tuple[str, ...]
    owner: Job
    task: int
    child: Child
    extent: Extent | None
    waiters: list[Job]
    began: float
    etag: str = ""
    """Of If-None-Match: by the answer the owner may have had another one, and forgotten it."""
    dropped: bool = False
    """Its child was told to give it up, and has not answered yet."""
    size_bytes: int = 0
    """Known once its first bytes are here."""
    trailing: "list[Sending]" = field(default_factory=list)
    """Uploads that follow it, to their ends."""
    is_landed: bool = False
    """All its bytes are here; an extent that it still has is a second copy, for those uploads."""

    def is_recent(self, job: Job, now: float, ttl_s: float) -> bool:
        """Whether the job may have what it brings: it asked for that content, or came before the
        GET, or would believe the cache that told as much."""
        return job.claimed or job.created <= self.began or now < self.began + ttl_s

    def is_of(self, job: Job) -> bool:
        """Whether it gets the job's own object; else only the content that both were promised."""
        return (job.bucket, job.key) == (self.owner.bucket, self.owner.key)
