"""Everything that ends a command or the daemon, and the exit code each ends with.

Expected outcomes of the world (a missing object, a 429) are values, not exceptions; they live in
`core.faults`. What is here means "cannot go on", and is shown to a person as a message and a hint.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """The one table of exit codes; 64 to 78 follow sysexits(3)."""

    OK = 0
    NOT_READY = 1
    """The command ran, and the answer is no: not ready, hung, not found, a job failed."""
    USAGE = 2
    """The command line is wrong."""
    NOT_RUNNING = 3
    """No daemon answers at the socket, and none holds the state directory."""
    DATA = 65
    """The store is damaged or belongs to something else: restore it, nothing was changed."""
    SOFTWARE = 70
    """A bug, or children that cannot be started."""
    IO = 74
    """The state directory cannot be written, or the socket or address not be listened at."""
    BUSY = 75
    """Another daemon owns this state directory, listens at this socket, or uses this bot."""
    CONFIG = 78
    """The configuration is wrong; every mistake is listed."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class PrewarmdError(Exception):
    """Something that cannot go on. `str()` is one line for a person, free of secrets."""

    exit_code: ClassVar[ExitCode] = ExitCode.SOFTWARE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the configuration: where, what, and how to put it right."""

    key: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(PrewarmdError):
    """The configuration has mistakes; all of them at once."""

    exit_code = ExitCode.CONFIG

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class AlreadyRunningError(PrewarmdError):
    """A daemon holds the lock of this state directory, listens at its socket, or uses its bot."""

    exit_code = ExitCode.BUSY


class NotRunningError(PrewarmdError):
    """Nobody answers at the socket."""

    exit_code = ExitCode.NOT_RUNNING


class UnreadyError(PrewarmdError):
    """The daemon, or what was asked of it, is not ready."""

    exit_code = ExitCode.NOT_READY


class StoreDamagedError(PrewarmdError):
    """The database is not ours, not whole, or newer than this version."""

    exit_code = ExitCode.DATA


class StoreUnwritableError(PrewarmdError):
    """The database cannot be written: full disk, read-only, I/O error; or a socket not be made."""

    exit_code = ExitCode.IO


class ArenaFullError(PrewarmdError):
    """Shared memory of the asked size cannot be had from the system."""

    exit_code = ExitCode.IO


class BootError(PrewarmdError):
    """The children cannot be brought up, or a server the sandbox needs does not start."""

    exit_code = ExitCode.SOFTWARE


class ProtocolError(PrewarmdError):
    """The other end of a pipe sent what is not a message of this version."""

    exit_code = ExitCode.SOFTWARE
