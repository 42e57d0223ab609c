"""`prewarmd bots logout|prune`: what an operator does with a bot at Telegram, and the daemon never
by itself."""

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from prewarmd.cli import words
from prewarmd.cli.client import Client, ConfigFlag, InvalidError, SocketFlag
from prewarmd.cli.confirmation import confirm
from prewarmd.cli.durations import EXAMPLES, parse_duration
from prewarmd.cli.interrupt import at_once
from prewarmd.cli.main import LOOK
from prewarmd.cli.progress import Progress
from prewarmd.errors import ExitCode, UnreadyError

if TYPE_CHECKING:
    from prewarmd.cli.pruning import Outcome, Stock
    from prewarmd.config.tree import Bot, Config

bots = typer.Typer(
    help="Log a bot out of a Bot API server; delete its old warm-up messages.", **LOOK
)

BotSlug = Annotated[str, typer.Argument(metavar="BOT", help="Its slug.")]
YesFlag = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@bots.command()
def logout(
    bot: BotSlug,
    server: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            help="The Bot API server. Else Telegram's own while telegram.server is local, "
            "telegram.api_base otherwise.",
        ),
    ] = None,
    yes: YesFlag = False,
    socket: SocketFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Log BOT out of a Bot API server, so that another server may have it."""
    loaded, meant = _configured(bot, config, socket)
    with at_once():
        from prewarmd.cli import farewell
        from prewarmd.cli.servers import is_same

    base = farewell.server_of(loaded, server)
    farewell.refuse_if_served(loaded, meant, base)
    if not yes:
        confirm(bot, farewell.consequences(meant, base))
        farewell.refuse_if_served(loaded, meant, base)  # it may have been started meanwhile
    asyncio.run(farewell.log_out(loaded, bot, base))
    back = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + farewell.LOCKOUT_S))
    typer.echo(f"bot {bot} is logged out of {base}, which takes it back at {back} at the earliest")
    if is_same(base, loaded.telegram.api_base):
        hint = "change it, and telegram.server, before you start the daemon"
        typer.echo(f"prewarmd: telegram.api_base still names that server: {hint}", err=True)


def _age_s(text: str) -> float:
    age_s = parse_duration(text)
    if age_s is None:
        raise typer.BadParameter(f"{words.safe(text)[:64]!r} is no length of time; {EXAMPLES}")
    return age_s


@bots.command()
def prune(
    bot: BotSlug,
    age_s: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="AGE",
            parser=_age_s,
            help="Those of media that were made ready longer ago: 30d, 12h, 90m.",
        ),
    ],
    yes: YesFlag = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and delete nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    socket: SocketFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Delete the old warm-up messages of BOT, and say which of them cannot be deleted."""
    loaded, meant = _configured(bot, config, socket)
    with at_once():
        from prewarmd.cli import pruned
        from prewarmd.cli.pruning import Outcome, counted
        from prewarmd.supervisor.clock import iso

    now = time.time()
    before_unix = max(0.0, now - age_s)
    outcome = Outcome()
    with Client(loaded.socket) as client:
        _check_daemon(client, loaded, meant)
        with Progress() as progress:
            progress.phase("counting")
            stock = counted(client, bot, before_unix, now, progress.tick)
        what = f"{pruned.messages(stock.found)} of media that bot {bot} made ready before"
        what = f"{what} {iso(before_unix)}"
        if dry_run:
            typer.echo(pruned.loss(stock, f"This would delete {what}"), err=as_json)
        elif stock.found:
            if not yes:
                confirm(bot, pruned.loss(stock, f"This deletes {what}"))
            outcome = _prune(client, loaded, bot, before_unix, stock)
    if as_json:
        head = {"bot": bot, "before": iso(before_unix), "dry_run": dry_run}
        typer.echo(orjson.dumps(head | pruned.as_object(stock, outcome)))
    elif not dry_run:
        pruned.tell(stock, outcome)
    raise typer.Exit(outcome.exit_code)


def _configured(slug: str, config: Path | None, socket: Path | None) -> "tuple[Config, Bot]":
    with at_once():
        from prewarmd.config import load

    named = socket and str(socket.expanduser().absolute())
    loaded = load(config, os.environ, {"socket": named})
    for bot in loaded.bots:
        if bot.slug == slug:
            return loaded, bot
    known = ", ".join(sorted(bot.slug for bot in loaded.bots)[:10])
    raise InvalidError(f"{words.safe(slug)[:64]!r} is no configured bot; known: {known}")


def _check_daemon(client: Client, config: "Config", bot: "Bot") -> None:
    """UnreadyError when the daemon runs on another bot or server than the configuration says: we
    would delete with the wrong bot, or draw it to a second server."""
    from prewarmd.cli.servers import is_same

    status = client.ask("GET", "/v1/status")
    known = status["bots"].get(bot.slug, {}).get("bot_id")
    there = status.get("telegram", {}).get("api_base", "")
    if known != bot.bot_id:
        what = f"the daemon knows bot {bot.slug} by the id {known}, the configuration {bot.bot_id}"
    elif not is_same(there, config.telegram.api_base):
        what = f"the daemon's server is {there}, the configuration's {config.telegram.api_base}"
    else:
        return
    raise UnreadyError(what, "restart it on this configuration first")


def _prune(
    client: Client, config: "Config", bot: str, before_unix: float, stock: "Stock"
) -> "Outcome":
    from prewarmd.cli.pruning import Outcome, Pruning
    from prewarmd.cli.servers import telegram_at

    outcome = Outcome()

    async def run(progress: Progress) -> None:
        async with telegram_at(config, config.telegram.api_base) as telegram:
            pruning = Pruning(
                client, telegram, bot, outcome,
                tick=lambda done: progress.tick(done, stock.found),
                say=lambda text: progress.say(words.safe(text)),
            )  # fmt: skip
            await pruning.run(before_unix)

    with Progress() as progress:
        progress.phase("deleting", stock.found)
        try:
            asyncio.run(run(progress))
        except KeyboardInterrupt:
            outcome.stop("interrupted", ExitCode.INTERRUPTED)
    return outcome
