"""`prewarmd jobs list|show|retry|cancel`: jobs as the daemon's store holds them."""

import sys
from typing import Annotated, Any

import orjson
import typer

from prewarmd.cli import words
from prewarmd.cli.client import Client, ConfigFlag, SocketFlag, find
from prewarmd.cli.interrupt import at_once
from prewarmd.core.jobs import JobState

PAGE_MAX = 1000
COLUMNS = ("id", "state", "bot", "kind", "bytes", "attempt", "key", "error")

jobs = typer.Typer(
    help="List jobs; show, retry or cancel one.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)

JobId = Annotated[str, typer.Argument(metavar="ID", help="As `jobs list` shows it.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pages(client: Client, limit: int, **query: Any) -> Any:
    """Pages of (jobs, cursor of the next one), newest first, up to `limit` jobs in all."""
    cursor: str | None = None
    while limit > 0:
        answer = client.ask(
            "GET", "/v1/jobs", limit=min(limit, PAGE_MAX), cursor=cursor, **query
        )  # fmt: skip
        limit -= len(answer["jobs"])
        cursor = answer["next"]
        yield answer["jobs"], cursor
        if cursor is None:
            return


@jobs.command("list")
def list_jobs(
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
    bot: Annotated[str | None, typer.Option(help="Only those of this bot.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    as_json: JsonFlag = False,
    socket: SocketFlag = None,
    config: ConfigFlag = None,
) -> None:
    """List jobs, the newest first."""
    found: list[dict[str, Any]] = []
    more: str | None = None
    with Client(find(socket, config).socket) as client:
        for page, cursor in pages(client, limit, state=state and str(state), bot=bot):
            found += page
            more = cursor
    if as_json:
        typer.echo(orjson.dumps({"jobs": found, "next": more}))
        return
    rows = [_row(job) for job in found]
    if sys.stdout.isatty():
        _table(rows)
    else:
        for row in rows:
            typer.echo("\t".join(row))
    if more is not None:
        typer.echo(
            f"prewarmd: that is the limit of {limit}; there may be more, see --limit", err=True
        )
    if not found:
        typer.echo("prewarmd: no such jobs", err=True)


def _row(job: dict[str, Any]) -> list[str]:
    values = {**job, "error": words.fault(job["error"])}
    if job["actual_kind"] not in (None, job["kind"]):
        values["kind"] = f"{job['kind']} as {job['actual_kind']}"
    return [words.safe("" if values[name] is None else values[name]) for name in COLUMNS]


def _table(rows: list[list[str]]) -> None:
    with at_once():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, overflow="fold" if name in ("key", "error") else "ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


@jobs.command()
def show(
    job: JobId, as_json: JsonFlag = False, socket: SocketFlag = None, config: ConfigFlag = None
) -> None:
    """Show everything about one job."""
    with Client(find(socket, config).socket) as client:
        found = client.ask("GET", _path(job))
    if as_json:
        typer.echo(orjson.dumps(found))
        return
    for name, value in found.items():
        text = words.fault(value) if name == "error" else "" if value is None else value
        typer.echo(f"{name:15} {words.safe(text)}".rstrip())


@jobs.command()
def retry(
    job: JobId, as_json: JsonFlag = False, socket: SocketFlag = None, config: ConfigFlag = None
) -> None:
    """Try a failed or cancelled job again; one that waits, now."""
    with Client(find(socket, config).socket) as client:
        _told(client.ask("POST", f"{_path(job)}/retry"), as_json=as_json)


@jobs.command()
def cancel(
    job: JobId, as_json: JsonFlag = False, socket: SocketFlag = None, config: ConfigFlag = None
) -> None:
    """Take back a job whose upload has not begun."""
    with Client(find(socket, config).socket) as client:
        _told(client.ask("DELETE", _path(job)), as_json=as_json)


def _told(job: dict[str, Any], *, as_json: bool) -> None:
    typer.echo(orjson.dumps(job) if as_json else f"{job['id']} {job['state']}")


def _path(job: str) -> str:
    from urllib.parse import quote

    return f"/v1/jobs/{quote(job, safe='')}"
