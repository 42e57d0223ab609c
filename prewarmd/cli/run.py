"""`prewarmd run`: the daemon in the foreground."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prewarmd.cli.interrupt import at_once
from prewarmd.errors import ExitCode


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration.")] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Where the database is; the socket goes there, too.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="How many children.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration.")] = False,
    log_level: Annotated[Level, typer.Option(help="The least that is logged.")] = Level.INFO,
) -> None:
    """Run the daemon until it is told to stop."""
    with at_once():
        from prewarmd.config import load

    overrides = {"state_dir": str(state_dir) if state_dir else None, "workers": workers}
    loaded = load(config, os.environ, overrides)
    for warning in loaded.warnings:
        typer.echo(f"prewarmd: warning: {warning}", err=True)
    if check:
        source = loaded.file or "environment and flags alone"
        bots = ", ".join(bot.slug for bot in loaded.bots)
        typer.echo(f"configuration ok ({source}); bots: {bots}; socket: {loaded.socket}")
        raise typer.Exit(ExitCode.OK)
    with at_once():
        from prewarmd.supervisor.daemon import run_daemon

    raise typer.Exit(run_daemon(loaded, log_level=log_level))
