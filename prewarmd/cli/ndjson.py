"""Jobs from a file of lines, each a JSON object (a job) or a JSON string (a key).

A line that is wrong is named by its number. Shapes, keys and names are judged by the very rules of
the daemon's API, here and before anything is sent, so that a file with a mistake on its last line
leaves nothing half done. Only which buckets are configured is known to the daemon alone.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from prewarmd.cli.client import InvalidError
from prewarmd.supervisor.forms import ITEMS_MAX, Judge, ProblemError

LINE_BYTES_MAX = 64 << 10
Item = tuple[str, dict[str, Any]]
"""How to name it in an error, and the job."""


def items(lines: Iterable[bytes], defaults: dict[str, Any]) -> Iterator[Item]:
    """The jobs of `lines`; `defaults` are for what a line leaves out. Empty lines are passed."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        where = f"line {number}"
        if len(text) > LINE_BYTES_MAX:
            raise InvalidError(f"{where}: is longer than {LINE_BYTES_MAX} bytes")
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            hint = 'each line is {"key": "...", "kind": "..."} or just "..."'
            raise InvalidError(f"{where}: is not JSON in UTF-8: {error}", hint) from None
        if isinstance(value, str):
            value = {"key": value}
        if not isinstance(value, dict):
            raise InvalidError(f"{where}: must be an object with a key, or a string")
        job = {**defaults, **value}
        if "bot" not in job:
            raise InvalidError(f"{where}: names no bot", "name one for all with --bot")
        yield where, job


def judged(found: Iterable[Item], bots: Collection[str]) -> Iterator[Item]:
    """The same, each found good; InvalidError names the first that is not."""
    source = iter(found)
    while page := list(islice(source, ITEMS_MAX)):
        buckets = {job.get("bucket") for _, job in page}
        judge = Judge(bots, ("", *(each for each in buckets if isinstance(each, str))))
        try:
            judge.read(orjson.dumps({"jobs": [job for _, job in page]}))
        except ProblemError as error:
            raise InvalidError(name_item(error.detail, error.more, page)) from None
        yield from page


def name_item(detail: str, more: Any, page: list[Item]) -> str:
    """A problem's text, with the item's own name instead of its index on the page."""
    index = more.get("index")
    if not isinstance(index, int) or not 0 <= index < len(page):
        return detail
    return f"{page[index][0]}: {detail.removeprefix(f'jobs[{index}].')}"
