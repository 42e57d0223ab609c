"""Handing any number of jobs to the daemon: page by page, as fast as it has room."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from prewarmd.cli.client import Client, InvalidError, MalformedError, RefusedError
from prewarmd.cli.ndjson import Item, name_item

PAGE_JOBS = 1000
Admitted = tuple[dict[str, Any], dict[str, Any]]
"""A job as it was sent, and what became of it: id, state, created."""


def enqueue(
    client: Client,
    items: Iterable[Item],
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Admitted]]:
    """Submit everything; each page as it is acknowledged.

    A full queue (429) is waited for, and then asked for less at once: it may never have room for a
    whole page. A body that is too large (413) is halved for good. InvalidError names the item that
    the daemon refuses; the pages before are taken by then.
    """
    source = iter(items)
    waiting: list[Item] = []
    limit = size = PAGE_JOBS
    taken = 0
    while True:
        waiting += islice(source, max(0, size - len(waiting)))
        page = waiting[:size]
        if not page:
            return
        body = {"jobs": [job for _, job in page]}
        try:
            answer = client.ask("POST", "/v1/jobs", body)
        except RefusedError as error:
            if error.status == 429:
                say(f"the queue is full; waiting {error.retry_after_s:g} s")
                sleep(error.retry_after_s)
                size = max(1, len(page) // 2)
            elif error.status == 413 and len(page) > 1:
                limit = size = len(page) // 2
            elif isinstance(error, MalformedError):
                kept = f"{taken} jobs before it are taken; sending them again does no harm"
                text = name_item(error.message, error.problem, page)
                raise InvalidError(text, kept if taken else "nothing was taken") from None
            else:
                raise
            continue
        taken += len(page)
        yield [(job, told) for (_, job), told in zip(page, answer["jobs"], strict=True)]
        del waiting[:size]
        size = min(limit, size * 2)
