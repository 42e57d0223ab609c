"""Where a daemon keeps its state and listens; found without a complete configuration.

Whoever only talks to the socket needs no bucket and no bot, so everything else in the file may be
wrong. Of several answers the nearest layer's wins: the flag --socket, the flag --state-dir (the
socket is then inside it, so two daemons on one file stay apart), PREWARMD_SOCKET, the file's key,
and last the default of this user.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prewarmd.config.layers import Table, env_layer, file_layer, find_file, flag_layer, merge
from prewarmd.errors import ConfigError, Mistake

SOCKET_NAME = "prewarmd.sock"
SOCKET_BYTES_MAX = 107
"""What `sockaddr_un` holds beside its closing NUL."""


def temporary_base() -> str:
    """Where temporary directories with sockets in them are made: TMPDIR, unless it is so long that
    their names would not fit `sockaddr_un`; ours need about 45 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= SOCKET_BYTES_MAX - 45 else "/tmp"  # noqa: S108  mkdtemp makes a private one in it


@dataclass(frozen=True, slots=True)
class Places:
    """The two paths by which a daemon is found."""

    state_dir: Path
    socket: Path


def default_state_dir(env: Mapping[str, str], euid: int) -> str | None:
    """The state directory of this user, None for a user without a home."""
    if euid == 0:
        return "/var/lib/prewarmd"
    if env.get("XDG_STATE_HOME"):
        return f"{env['XDG_STATE_HOME']}/prewarmd"
    return f"{env['HOME']}/.local/state/prewarmd" if env.get("HOME") else None


def default_socket(env: Mapping[str, str], euid: int, state_dir: str) -> str:
    """The socket of this user; inside the state directory where there is no run-time one."""
    if euid == 0:
        return f"/run/prewarmd/{SOCKET_NAME}"
    if env.get("XDG_RUNTIME_DIR"):
        return f"{env['XDG_RUNTIME_DIR']}/{SOCKET_NAME}"
    return f"{state_dir}/{SOCKET_NAME}"


def fill_places(table: Table, flags: Table, env: Mapping[str, str], euid: int) -> list[Mistake]:
    """Give `state_dir` and `socket` of a merged table their values, in place."""
    mistakes: list[Mistake] = []
    if not table.get("state_dir"):
        table["state_dir"] = default_state_dir(env, euid)
        if table["state_dir"] is None:
            table["state_dir"] = "/"
            hint = "set state_dir, or HOME or XDG_STATE_HOME"
            mistakes.append(Mistake("state_dir", "has no default for a user without a home", hint))
    state_dir = str(table["state_dir"])
    if flags.get("state_dir") and not flags.get("socket"):
        table["socket"] = f"{state_dir}/{SOCKET_NAME}"
    elif not table.get("socket"):
        table["socket"] = default_socket(env, euid, state_dir)
    socket = table["socket"]
    length = len(os.fsencode(socket)) if isinstance(socket, str) else 0
    if length > SOCKET_BYTES_MAX:
        problem = f"its path has {length} bytes, the system allows {SOCKET_BYTES_MAX}"
        mistakes.append(Mistake("socket", problem, "set socket to a shorter path"))
    return mistakes


def find_places(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    *,
    cwd: Path | None = None,
    euid: int | None = None,
) -> Places:
    """Where the daemon of this configuration is, whatever else is wrong with it.

    ConfigError only for a file that was asked for by name and cannot be read, and for a path that
    cannot be a socket's.
    """
    cwd = Path.cwd() if cwd is None else cwd
    file = find_file(path, env, cwd)
    table: Table = {}
    mistakes: list[Mistake] = []
    if file is not None:
        layer = file_layer(file, env)
        table, mistakes = layer.table, layer.mistakes
    flags = flag_layer(overrides or {}, cwd, env).table
    table = merge(merge(table, env_layer(env, cwd).table), flags)
    for key in ("state_dir", "socket"):
        if not isinstance(table.get(key), str):
            table.pop(key, None)
    mistakes += fill_places(table, flags, env, os.geteuid() if euid is None else euid)
    if mistakes:
        raise ConfigError(mistakes)
    return Places(Path(str(table["state_dir"])), Path(str(table["socket"])))


def socket_path(path: Path | None, env: Mapping[str, str]) -> Path:
    """The socket of the daemon that this configuration belongs to."""
    return find_places(path, env).socket
