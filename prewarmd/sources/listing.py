"""Prefixes as a source of jobs: what one listed object becomes."""

from collections.abc import Iterable

from prewarmd.core.content import KeyPattern, check_key, kind_of
from prewarmd.core.jobs import Kind
from prewarmd.store.base import NewJob


def jobs_of_page(
    objects: Iterable[tuple[str, int, str]],
    bot: str,
    bucket: str,
    kind: Kind | None,
    pattern: KeyPattern | None,
) -> list[NewJob]:
    """One job for each listed object; folders and keys that no job may have are passed over."""
    jobs = []
    for key, size_bytes, etag in objects:
        if key.endswith("/") or check_key(key) is not None:
            continue
        carried = pattern.match(key) if pattern else None
        jobs.append(
            NewJob(
                bot,
                bucket,
                key,
                kind or kind_of(key),
                sha256=carried.sha256 if carried else None,
                size_bytes=size_bytes,
                etag=etag or None,
            )
        )
    return jobs
