"""The command line: one app, one function per command, one place that turns errors into words.

Heavy imports happen inside the commands: `prewarmd status` must not pay for a daemon.
"""

import sys
from typing import Annotated

import typer

from prewarmd import __version__
from prewarmd.cli.demo import demo
from prewarmd.cli.run import run
from prewarmd.cli.sandbox import sandbox
from prewarmd.errors import ConfigError, ExitCode, PrewarmdError

app = typer.Typer(
    name="prewarmd",
    help="Warms Telegram file_ids: media go up once, every later send is instant.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(sandbox)
app.command()(demo)


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
        app()
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
