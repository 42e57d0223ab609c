"""What the store tells of its objects: what a key holds, or why it could not be had.

Told by whoever asked: a GET or a relay.
"""

from prewarmd.core import records
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.jobs import Job

_ABOUT_THE_OBJECT = ("NoSuchKey", "Sha256Mismatch", "EmptyObject")
"""Faults that show a bucket which answers."""


class Objects:
    """As the cache and the buckets' gates hear of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def saw(self, job: Job, etag: str, sha256: str, size_bytes: int, asked: float) -> None:
        """What the job's key holds; an answer that came too late changes nothing."""
        desk = self._desk
        desk.buckets.open(job.bucket)
        if desk.cache.see(job.bucket, job.key, etag, sha256, asked):
            see = records.See(job.bucket, job.key, etag, sha256, size_bytes, asked)
            desk.out.append(see)

    def failed(self, job: Job, code: str, detail: str, now: float, asked: float) -> None:
        """Its object could not be had."""
        desk, fault = self._desk, FAULTS[code]
        if fault.remedy is Remedy.CLOSE_BUCKET or fault.strains:
            desk.buckets.close(job.bucket, code, detail, now, asked)
        elif code in _ABOUT_THE_OBJECT:
            desk.buckets.open(job.bucket)
            desk.cache.forget_key(job.bucket, job.key)
        else:
            desk.buckets.leave(job.bucket, asked)
