"""Ctrl-C while a command is being loaded: the end at once, with nothing said.

A KeyboardInterrupt that is raised in the midst of an import may come out as another exception, be
printed with its traceback and ignored (in a callback of the import system), or be swallowed. There
is nothing to clean up yet, so the process simply ends. Imports next to nothing: until this is in
force, only `__main__` stands between a user and a traceback.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130
"""`errors.ExitCode.INTERRUPTED`, which is not loaded yet."""


def _end(*_: object) -> NoReturn:
    os._exit(INTERRUPTED)


def end_at_once() -> None:
    """From now on Ctrl-C ends the process; where it is ignored (`nohup`), it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def at_once() -> Iterator[None]:
    """For the imports of a command that has done nothing yet."""
    before = signal.getsignal(signal.SIGINT)
    end_at_once()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
