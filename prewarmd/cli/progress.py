"""How far a long command is: a bar on a terminal, a plain line every now and then otherwise.

Both go to stderr; stdout is for results.
"""

import sys
import time
from typing import Any

import typer

from prewarmd.cli.interrupt import at_once

LINE_EVERY_S = 2.0


class Progress:
    """One phase of work after the other, each counted up to its total."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._phase = ""
        self._told_at = 0.0
        self._told = ""

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            with at_once():
                from rich import progress
                from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                console=Console(stderr=True, highlight=False),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def phase(self, name: str, total: int | None = None) -> None:
        """From now on it is `name` that is counted; `total` None is not known yet."""
        self._phase = name
        # The first line may wait: a phase that is over at once needs none.
        self._told_at = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=total)

    def tick(self, done: int, total: int | None = None) -> None:
        """So many are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        line = f"{self._phase}: {done}" + (f" of {total}" if total is not None else "")
        if now - self._told_at >= LINE_EVERY_S and line != self._told:
            self._told_at, self._told = now, line
            typer.echo(line, err=True)

    def say(self, text: str) -> None:
        """A line beside the count."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False)
        else:
            typer.echo(f"prewarmd: {text}", err=True)
