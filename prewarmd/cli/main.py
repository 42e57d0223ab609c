"""The command line: one app, one file per command, one place that turns errors into words.

A command's module is imported when it is called for (or listed), so that `prewarmd --version` and
`prewarmd jobs` pay for nothing they do not use.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from prewarmd import __version__
from prewarmd.cli.interrupt import at_once, end_at_once
from prewarmd.errors import ConfigError, ExitCode, PrewarmdError

COMMANDS = (
    "run", "warm", "status", "jobs", "lookup", "bots", "config", "doctor", "sandbox", "demo",
)  # fmt: skip
"""Each is `prewarmd.cli.<name>.<name>`: a function, or a Typer of further ones."""

LOOK: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "no_args_is_help": True,
}


class _Commands(TyperGroup):
    """All commands by name, each loaded on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            with at_once():
                verb = getattr(import_module(f"prewarmd.cli.{cmd_name}"), cmd_name)
            if not isinstance(verb, typer.Typer):
                app = typer.Typer(**LOOK | {"no_args_is_help": False})
                app.command(cmd_name)(verb)
                verb = app
            self.commands[cmd_name] = get_command(verb)
        return self.commands[cmd_name]


app = typer.Typer(
    name="prewarmd",
    cls=_Commands,
    help="Warms Telegram file_ids: media go up once, every later send is instant.",
    **LOOK,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prewarmd {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exits with a code of `errors.ExitCode`."""
    try:
        app(prog_name="prewarmd")
    except ConfigError as error:
        for mistake in error.mistakes:
            print(f"prewarmd: {mistake}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except PrewarmdError as error:
        print(f"prewarmd: {error.message}", file=sys.stderr)  # noqa: T201
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    finally:
        end_at_once()  # all is done, but for Python's own end, which would be loud
