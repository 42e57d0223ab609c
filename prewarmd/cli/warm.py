"""`prewarmd warm`: hand objects to the daemon; with --wait, see them through."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from prewarmd.cli import words
from prewarmd.cli.client import Client, ConfigFlag, InvalidError, SocketFlag, find
from prewarmd.cli.progress import Progress
from prewarmd.core.content import check_key
from prewarmd.core.jobs import Kind
from prewarmd.errors import ExitCode

PATIENCE_S = 2.0
"""Without progress for so long, the reader deserves a reason."""


def warm(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY")] = None,
    bot: Annotated[str | None, typer.Option(help="The slug of the bot to warm for.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Else by each key's extension.")] = None,
    bucket: Annotated[str | None, typer.Option(help="Else the default one.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Everything in the bucket below it.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE", help="Jobs or keys, a JSON value a line; - is stdin."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until all are ready, or failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    socket: SocketFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Warm objects: KEYs, everything below a prefix, or what a file lists."""
    given = [bool(keys), prefix is not None, source is not None]
    if sum(given) != 1:
        raise typer.BadParameter("give KEYs, or --prefix, or --from: one of the three")
    if bot is None and source is None:
        raise typer.BadParameter("is needed", param_hint="--bot")
    for key in keys or ():
        if (rule := check_key(key)) is not None:
            raise InvalidError(f"key {words.safe(key)[:100]!r}: {rule}")
    wish = {"bot": bot, "kind": kind and str(kind), "bucket": bucket}
    defaults = {name: value for name, value in wish.items() if value is not None}
    with Client(find(socket, config).socket) as client, Progress() as progress:
        warming = Warming(client, progress, wait=wait)
        if prefix is not None:
            result = warming.prefix({**defaults, "prefix": prefix})
        elif source is not None:
            result = warming.file(source, defaults)
        else:
            result = warming.jobs((f"key {key}", {**defaults, "key": key}) for key in keys or ())
    _tell(result, as_json=as_json)
    raise typer.Exit(ExitCode.OK if result["all_well"] else ExitCode.NOT_READY)


class Warming:
    """One run of the command: what was handed over, and what became of it."""

    def __init__(self, client: Client, progress: Progress, *, wait: bool) -> None:
        self._client = client
        self._progress = progress
        self._wait = wait
        self._done = -1
        self._moved_at = 0.0
        self._told: set[str] = set()

    def prefix(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Have the daemon list and warm a prefix."""
        since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        batch = self._client.ask("POST", "/v1/jobs", wish)["batch"]
        if not self._wait:
            return {"batch": batch, "all_well": True}
        from prewarmd.cli.outcome import Outcome, await_batch, lost_of_batch

        outcome = Outcome()
        self._progress.phase("warming")
        told = await_batch(self._client, batch, outcome, self._tick)
        outcome.lost = lost_of_batch(self._client, told, wish.get("bucket"), since)
        result = {"batch": batch, "listed": told["listed"], **_counted(outcome)}
        # The batch's own numbers count, should one of its jobs not be found in the list.
        unready = told["failed"] + told["cancelled"]
        return {**result, "lost": unready, "all_well": outcome.is_whole and not unready}

    def file(self, source: str, defaults: dict[str, Any]) -> dict[str, Any]:
        """Warm what a file lists. A real file is judged to its end before anything is sent; what
        comes through a pipe is judged page by page."""
        from prewarmd.cli.ndjson import items, judged

        bots = list(self._client.ask("GET", "/v1/status")["bots"])
        with _lines(source) as lines:
            if lines.seekable():
                self._progress.phase("reading")
                for number, _ in enumerate(judged(items(lines, defaults), bots), 1):
                    if number % 1000 == 0:
                        self._progress.tick(number)
                lines.seek(0)
                return self.jobs(items(lines, defaults))
            return self.jobs(judged(items(lines, defaults), bots))

    def jobs(self, found: Any) -> dict[str, Any]:
        """Enqueue (name, job) pairs, and see them through when that is asked for."""
        from prewarmd.cli.enqueue import enqueue
        from prewarmd.cli.outcome import Outcome, await_jobs

        created, states = 0, {}
        self._progress.phase("enqueueing")
        for page in enqueue(self._client, found, self._progress.say):
            for _, told in page:
                created += told["created"]
                states[told["id"]] = told["state"]
            self._progress.tick(len(states))
        ready = sum(state == "ready" for state in states.values())
        result = {"jobs": len(states), "created": created}
        if not self._wait:
            return {**result, "ready": ready, "all_well": True}
        outcome = Outcome(ready)
        self._progress.phase("warming", len(states))
        unfinished = {job for job, state in states.items() if state != "ready"}
        await_jobs(self._client, unfinished, outcome, self._tick)
        return {**result, **_counted(outcome), "all_well": outcome.is_whole}

    def _tick(self, done: int, total: int) -> None:
        """Show how far it is; when nothing moves, ask the daemon what is in the way, and say so."""
        self._progress.tick(done, total)
        now = time.monotonic()
        if done != self._done:
            self._done, self._moved_at = done, now
        elif now - self._moved_at > PATIENCE_S:
            self._moved_at = now
            for reason in self._client.ask("GET", "/v1/status")["readiness"]["reasons"]:
                text = words.safe(f"waiting, because of {reason['code']}: {reason['message']}")
                if text not in self._told:
                    self._told.add(text)
                    self._progress.say(text)


def _counted(outcome: Any) -> dict[str, Any]:
    fields = ("id", "bot", "bucket", "key", "kind", "state", "error")
    return {
        "ready": outcome.ready,
        "lost": len(outcome.lost),
        "failures": [{name: job[name] for name in fields} for job in outcome.lost],
        "error": outcome.error,
    }


@contextmanager
def _lines(source: str) -> Iterator[Any]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115  closed below; only opening may fail here
    except OSError as error:
        raise InvalidError(f"{source} cannot be read: {error.strerror}") from None
    with file:
        yield file


def _tell(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(result))
        return
    for job in result.get("failures", ()):
        why = words.fault(job["error"]) or job["state"]
        typer.echo(f"{job['state']}  {words.safe(job['key'])}  {why}")
    if missing := result.get("lost", 0) - len(result.get("failures", ())):
        typer.echo(f"{missing} more: see `prewarmd jobs list --state failed`")
    if result.get("error"):
        typer.echo(f"the listing stopped: {words.fault(result['error'])}")
    if "lost" in result:
        total = result["ready"] + result["lost"]
        typer.echo(f"{result['ready']} of {total} ready, {result['lost']} failed or cancelled")
    elif "batch" in result:
        typer.echo(f"batch {result['batch']} is being listed")
    else:
        ready = f", {result['ready']} ready already" if result["ready"] else ""
        typer.echo(f"{result['jobs']} enqueued, {result['created']} of them new{ready}")
