"""The daemon's HTTP API over its unix socket, as commands use it: one connection, one question at
a time, standard library only.

Every refusal becomes an error with an exit code of the one table: the daemon is not there (3), it
does not answer or says no (1), what was asked is malformed (2).
"""

import http.client
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
import typer

from prewarmd.cli.interrupt import at_once
from prewarmd.errors import ExitCode, NotRunningError, PrewarmdError, UnreadyError

ANSWER_WAIT_S = 30.0

SocketFlag = Annotated[
    Path | None,
    typer.Option("--socket", help="The daemon's socket. Else PREWARMD_SOCKET, or as configured."),
]
ConfigFlag = Annotated[
    Path | None, typer.Option("-c", "--config", help="The configuration that names the socket.")
]


class UnansweredError(UnreadyError):
    """Somebody listens at the socket, and says nothing."""


class InvalidError(PrewarmdError):
    """What a command was given is malformed."""

    exit_code = ExitCode.USAGE


class RefusedError(UnreadyError):
    """The daemon understood, and says no; `problem` is its problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: str | None) -> None:
        super().__init__(str(problem.get("detail") or f"the daemon answered {status}"))
        self.status = status
        self.problem = problem
        wait = (retry_after or "").strip()
        self.retry_after_s = float(wait) if wait.isdecimal() else 1.0


class MalformedError(RefusedError, InvalidError):
    """The daemon says that the request itself is wrong."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a daemon is looked for."""

    socket: Path
    state_dir: Path | None
    """None when only its socket is known."""


def find(
    socket_flag: Path | None,
    config: Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> Place:
    """The daemon meant by flags, environment and configuration, in this order. A socket that is
    named needs no configuration, so a broken one does not matter."""
    named = socket_flag or (Path(env["PREWARMD_SOCKET"]) if env.get("PREWARMD_SOCKET") else None)
    if named is not None:
        path = named.expanduser().absolute()
        # `run --state-dir` puts the socket beside the lock; elsewhere nothing tells whose it is.
        return Place(path, path.parent if (path.parent / "lock").exists() else None)
    with at_once():
        from prewarmd.config import find_places

    places = find_places(config, env)
    return Place(places.socket, places.state_dir)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a path instead of a host."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("prewarmd", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """Asks one daemon."""

    def __init__(self, path: Path, timeout_s: float = ANSWER_WAIT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._connection = _UnixConnection(path, timeout_s)
        self._used = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        """The decoded answer; RefusedError, UnansweredError or NotRunningError otherwise."""
        given = {name: value for name, value in query.items() if value is not None}
        where = f"{path}?{urlencode(given)}" if given else path
        data = orjson.dumps(body) if body is not None else None
        try:
            status, text, retry_after = self._exchange(verb, where, data)
        except TimeoutError:
            self._connection.close()
            raise UnansweredError(
                f"the daemon at {self._path} did not answer within {self._timeout_s:g} s",
                "see `prewarmd status`, and its log",
            ) from None
        except BlockingIOError:
            # A unix socket whose backlog is full refuses at once instead of waiting.
            raise UnansweredError(
                f"the daemon at {self._path} accepts nobody", "see `prewarmd status`, and its log"
            ) from None
        except PermissionError:
            raise UnreadyError(
                f"this user may not use {self._path}", "join its group, or ask as its user"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise self._absent(error) from None
        return self._judge(status, text, retry_after)

    def _exchange(self, verb: str, where: str, data: bytes | None) -> tuple[int, bytes, str | None]:
        try:
            return self._once(verb, where, data)
        except (ConnectionError, http.client.RemoteDisconnected):
            # An idle connection may have been closed under us; a fresh one tells the truth.
            if not self._used:
                raise
        self._connection.close()
        self._used = False
        return self._once(verb, where, data)

    def _once(self, verb: str, where: str, data: bytes | None) -> tuple[int, bytes, str | None]:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        self._connection.request(verb, where, body=data, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read()
        self._used = True
        return answer.status, text, answer.headers.get("Retry-After")

    def _absent(self, error: Exception) -> PrewarmdError:
        if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            return NotRunningError(
                f"no daemon answers at {self._path}",
                "start one with `prewarmd run`, or name its socket with --socket",
            )
        if isinstance(error, ConnectionError | http.client.HTTPException):
            return NotRunningError(
                f"the daemon at {self._path} went away",
                "what it acknowledged is kept; start it again, and repeat the command",
            )
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        return NotRunningError(f"cannot reach {self._path}: {what}")

    @staticmethod
    def _judge(status: int, text: bytes, retry_after: str | None) -> Any:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = {"detail": f"the daemon answered {status} and nothing that can be read"}
            status = max(status, 500)
        if status < 400:
            return value
        problem = value if isinstance(value, dict) else {}
        kind = MalformedError if status in (400, 413, 422) else RefusedError
        raise kind(status, problem, retry_after)
