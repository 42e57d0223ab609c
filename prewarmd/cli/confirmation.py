"""A yes to what cannot be taken back: the name of the thing, typed by somebody."""

import sys

import typer

from prewarmd.cli.client import InvalidError
from prewarmd.errors import UnreadyError


def confirm(name: str, consequences: str) -> None:
    """Say what will happen, and return only when `name` is typed: UnreadyError otherwise, and
    InvalidError when nobody can be asked."""
    typer.echo(consequences, err=True)
    if not sys.stdin.isatty():
        raise InvalidError(
            "this must be confirmed, and stdin is no terminal: nothing was done",
            "give --yes if it is what you want",
        )
    typer.echo(f"Type {name} to go on: ", err=True, nl=False)
    if sys.stdin.readline().strip() != name:
        raise UnreadyError("not confirmed: nothing was done")
