"""`prewarmd status`: one look at the daemon, or a look each second.

The daemon tells about itself. When it does not within two seconds, the system tells what it can of
its processes, and `source` says so.
"""

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import orjson
import typer

from prewarmd.cli.client import Client, ConfigFlag, Place, SocketFlag, UnansweredError, find
from prewarmd.cli.interrupt import at_once
from prewarmd.errors import ExitCode, NotRunningError

ANSWER_WAIT_S = 2.0
WATCH_EVERY_S = 1.0
PLAIN_WIDTH = 160
"""Columns where no terminal says how many there are."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again each second, until Ctrl-C.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="The daemon of `make run` or `sandbox --run`.")
    ] = False,
    socket: SocketFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Show how the daemon is. Exit code 0: healthy; 1: not ready, or it hangs; 3: not running."""
    if sandbox:
        from prewarmd.cli.sandbox import run_state_dir

        directory = run_state_dir()
        place = Place(directory / "prewarmd.sock", directory)
    else:
        place = find(socket, config)
    if watch:
        raise typer.Exit(_watch(place, as_json=as_json))
    found = look(place)
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        with at_once():
            from prewarmd.cli.screen import screen

        _console().print(screen(found))
    raise typer.Exit(exit_code(found))


def look(place: Place) -> dict[str, Any]:
    """The object of GET /v1/status, or what can be seen from outside; NotRunningError."""
    try:
        with Client(place.socket, ANSWER_WAIT_S) as client:
            answer: dict[str, Any] = client.ask("GET", "/v1/status")
            return answer
    except (UnansweredError, NotRunningError) as error:
        from prewarmd.cli.processes import look_from_outside, pid_of

        pid = pid_of(place)
        if pid is None:
            raise
        hangs = isinstance(error, UnansweredError)
        code = "Hung" if hangs else "NotListening"
        return look_from_outside(pid, code, f"{error.message}; seen by psutil from pid {pid}")


def exit_code(found: dict[str, Any]) -> ExitCode:
    """0 only for what `/readyz` calls ready."""
    return ExitCode.OK if found["readiness"]["ready"] else ExitCode.NOT_READY


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def _watch(place: Place, *, as_json: bool) -> ExitCode:
    """Look each second; the code of the last look. A daemon that comes and goes is waited for."""
    last = ExitCode.NOT_RUNNING

    def again(show: Callable[[dict[str, Any] | None, str], None]) -> None:
        nonlocal last
        while True:
            try:
                found = look(place)
            except NotRunningError as error:
                last = error.exit_code
                show(None, error.message)
            else:
                last = exit_code(found)
                show(found, "")
            time.sleep(WATCH_EVERY_S)

    # Ctrl-C is how a watch ends, so it is no interruption.
    try:
        if as_json:
            again(lambda found, absent: print(_line(found, absent), flush=True))  # noqa: T201
        else:
            _live(again)
    except KeyboardInterrupt:
        pass
    return last


def _line(found: dict[str, Any] | None, absent: str) -> str:
    return orjson.dumps(found or {"source": None, "error": absent}).decode()


def _live(again: Callable[[Callable[[dict[str, Any] | None, str], None]], None]) -> None:
    with at_once():
        from rich.live import Live
        from rich.text import Text

        from prewarmd.cli.screen import screen

    console = _console()
    if not console.is_terminal:
        again(lambda found, absent: console.print(screen(found) if found else absent))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def show(found: dict[str, Any] | None, absent: str) -> None:
            rows = max(5, console.height // 3)
            live.update(screen(found, rows) if found else Text(absent), refresh=True)

        again(show)
