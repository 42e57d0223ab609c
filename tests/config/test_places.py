"""Where a daemon is found: state directory and socket, by user, layer and flag."""

from pathlib import Path

import pytest

from prewarmd.config import find_places, load, socket_path
from prewarmd.config.places import Places
from prewarmd.errors import ConfigError

HOME = {"HOME": "/home/ada"}
XDG = HOME | {"XDG_STATE_HOME": "/x/state", "XDG_RUNTIME_DIR": "/x/run"}
FILE = "state_dir = '/srv/p'\nsocket = '/srv/p.sock'\n"


@pytest.mark.parametrize(
    ("euid", "env", "state_dir", "socket"),
    [
        (0, XDG, "/var/lib/prewarmd", "/run/prewarmd/prewarmd.sock"),
        (1000, XDG, "/x/state/prewarmd", "/x/run/prewarmd.sock"),
        (1000, HOME, "/home/ada/.local/state/prewarmd",
         "/home/ada/.local/state/prewarmd/prewarmd.sock"),
    ],
)  # fmt: skip
def test_defaults_by_user(
    tmp_path: Path, euid: int, env: dict[str, str], state_dir: str, socket: str
) -> None:
    """Root uses the system's places, everybody else the XDG ones."""
    assert find_places(None, env, cwd=tmp_path, euid=euid) == Places(Path(state_dir), Path(socket))


@pytest.mark.parametrize(
    ("file", "env", "flags", "state_dir", "socket"),
    [
        (FILE, {}, {}, "/srv/p", "/srv/p.sock"),
        ("state_dir = '/srv/p'", {}, {}, "/srv/p", "/x/run/prewarmd.sock"),
        (FILE, {"PREWARMD_SOCKET": "/e.sock"}, {}, "/srv/p", "/e.sock"),
        (FILE, {}, {"state_dir": "/flag"}, "/flag", "/flag/prewarmd.sock"),
        (FILE, {"PREWARMD_SOCKET": "/e.sock"}, {"state_dir": "/flag"}, "/flag",
         "/flag/prewarmd.sock"),
        (FILE, {}, {"state_dir": "/flag", "socket": "/s.sock"}, "/flag", "/s.sock"),
        ("state_dir = 'here'", {}, {}, "{cwd}/here", "/x/run/prewarmd.sock"),
        ("state_dir = '~/here'", {}, {}, "/home/ada/here", "/x/run/prewarmd.sock"),
        ("workers = 'many'\nstate_dir = 3\n[r2]\nx = 1", {}, {}, "/x/state/prewarmd",
         "/x/run/prewarmd.sock"),
    ],
)  # fmt: skip
def test_the_nearest_layer_decides(
    tmp_path: Path,
    file: str,
    env: dict[str, str],
    flags: dict[str, object],
    state_dir: str,
    socket: str,
) -> None:
    """A flag's state directory brings its own socket; other mistakes do not matter here."""
    (tmp_path / "prewarmd.toml").write_text(file)
    found = find_places(None, XDG | env, flags, cwd=tmp_path, euid=1000)
    state_dir = state_dir.replace("{cwd}", str(tmp_path))
    assert found == Places(Path(state_dir), Path(socket))


def test_client_and_daemon_agree(tmp_path: Path) -> None:
    """What `find_places` finds is what the whole configuration says."""
    file = tmp_path / "a.toml"
    file.write_text(
        "state_dir = 's'\n[r2]\nendpoint = 'http://127.0.0.1:1'\nbucket = 'media'\n"
        "[[bots]]\nslug = 'a'\ntoken = '1:a'\nwarmup_chats = [{ id = -7 }]\n"
    )
    for flags in ({}, {"state_dir": "/flag"}, {"socket": "/s.sock"}):
        config = load(file, XDG, flags, cwd=tmp_path)
        assert find_places(file, XDG, flags, cwd=tmp_path) == Places(
            config.state_dir, config.socket
        )


def test_a_path_too_long_for_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    """The kernel's own message would be about an address family."""
    file = tmp_path / "a.toml"
    file.write_text(f"socket = '/{'s' * 107}'")
    with pytest.raises(ConfigError) as raised:
        socket_path(file, XDG)
    [mistake] = raised.value.mistakes
    assert mistake.key == "socket"
    assert "108 bytes, the system allows 107" in mistake.problem
    assert "shorter" in mistake.hint
    file.write_text(f"socket = '/{'s' * 106}'")
    assert socket_path(file, XDG) == Path(f"/{'s' * 106}")


def test_a_user_without_a_home_is_told_what_to_set(tmp_path: Path) -> None:
    """There is no place to guess."""
    with pytest.raises(ConfigError) as raised:
        find_places(None, {}, cwd=tmp_path, euid=1000)
    [mistake] = raised.value.mistakes
    assert (mistake.key, "XDG_STATE_HOME" in mistake.hint) == ("state_dir", True)


def test_a_named_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A client with a wrong -c must not talk to some other daemon."""
    with pytest.raises(ConfigError, match="cannot be read"):
        socket_path(tmp_path / "gone.toml", XDG)
