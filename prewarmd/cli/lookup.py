"""`prewarmd lookup BOT (KEY|SHA256) [KIND]`: the file_id of a media, or how far it is."""

import re
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer

from prewarmd.cli import words
from prewarmd.cli.client import Client, ConfigFlag, RefusedError, SocketFlag, find
from prewarmd.core.jobs import Kind
from prewarmd.errors import ExitCode

_SHA256 = re.compile(r"[0-9a-f]{64}")


def lookup(
    bot: Annotated[str, typer.Argument(metavar="BOT", help="Its slug.")],
    what: Annotated[
        str,
        typer.Argument(metavar="KEY|SHA256", help="64 hex digits are a content, all else a key."),
    ],
    kind: Annotated[
        Kind | None, typer.Argument(metavar="[KIND]", help=f"{', '.join(Kind)}.")
    ] = None,
    bucket: Annotated[str | None, typer.Option(help="The key's, if not the default one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    socket: SocketFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Print the file_id that BOT has for a media (exit code 0), or its state (1)."""
    with Client(find(socket, config).socket) as client:
        try:
            media = _ask(client, bot, what, kind, bucket)
        except RefusedError as error:
            if error.problem.get("code") != "NotReady":
                raise
            _not_ready(error.problem, as_json=as_json)
            raise typer.Exit(ExitCode.NOT_READY) from None
    typer.echo(orjson.dumps(media) if as_json else words.safe(media["file_id"]))
    if media["actual_kind"] != media["kind"]:
        other = words.safe(media["actual_kind"])
        typer.echo(f"prewarmd: to Telegram it is no {media['kind']} but: {other}", err=True)


def _ask(client: Client, bot: str, what: str, kind: Kind | None, bucket: str | None) -> Any:
    """The media; a content without a kind is looked for under each."""
    if not _SHA256.fullmatch(what):
        return client.ask(
            "GET", "/v1/media", bot=bot, key=what, kind=kind and str(kind), bucket=bucket
        )
    *others, last = [kind] if kind else list(Kind)
    for each in others:
        try:
            return client.ask("GET", f"/v1/media/{quote(bot, safe='')}/{what}/{each}")
        except RefusedError as error:
            if error.problem.get("code") != "NotReady":
                raise
    return client.ask("GET", f"/v1/media/{quote(bot, safe='')}/{what}/{last}")


def _not_ready(problem: Any, *, as_json: bool) -> None:
    """The state of its job on stdout, what is to be said about it on stderr."""
    if as_json:
        found = {name: problem.get(name) for name in ("state", "job", "error")}
        typer.echo(orjson.dumps({"file_id": None, **found}))
        return
    typer.echo(problem.get("state") or "unknown")
    said = words.fault(problem.get("error")) or words.safe(problem.get("detail", ""))
    typer.echo(f"prewarmd: {said}", err=True)
