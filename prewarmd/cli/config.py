"""`prewarmd config`: the configuration as it counts, secrets masked."""

import os
from pathlib import Path
from typing import Annotated

import typer

from prewarmd.cli.interrupt import at_once


def config(
    file: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="As for `run`.")] = None,
    workers: Annotated[int | None, typer.Option(help="As for `run`.")] = None,
) -> None:
    """Print the effective configuration as TOML: file, environment, flags and defaults."""
    with at_once():
        from prewarmd.config import effective_toml, load

    overrides = {"state_dir": str(state_dir) if state_dir else None, "workers": workers}
    loaded = load(file, os.environ, overrides)
    for warning in loaded.warnings:
        typer.echo(f"prewarmd: warning: {warning}", err=True)
    if loaded.file is None:
        typer.echo("# from the environment, flags and defaults: there is no file")
    typer.echo(effective_toml(loaded), nl=False)
