"""Exit codes, and what is said with them."""

import signal
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from prewarmd import __version__
from prewarmd.cli.main import COMMANDS, app
from prewarmd.errors import ExitCode
from tests.cli.conftest import WAIT_S, Site


def test_version_is_told_without_loading_what_it_does_not_need() -> None:
    """Quick, because scripts ask for it: no library of any command is imported."""
    script = """
import sys
from prewarmd.cli.main import main
sys.argv = ["prewarmd", "--version"]
try:
    main()
finally:
    heavy = {"rich.console", "pydantic", "aiohttp", "psutil", "orjson", "asyncio", "apsw"}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"prewarmd {__version__}\n", "[]\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(command: str) -> None:
    """Each is listed, loads, and says what it does."""
    assert f"\n  {command} " in CliRunner().invoke(app, ["--help"]).output
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == ExitCode.OK
    assert f"Usage: prewarmd {command}" in shown.output


def test_an_unknown_command_is_a_usage_error(site: Site) -> None:
    """sysexits has no say here: 2, as everywhere."""
    done = site.run("wram")
    assert done.code == ExitCode.USAGE
    assert "wram" in done.err


def test_check_says_ok_and_where_the_configuration_came_from(site: Site) -> None:
    """`run --check` starts nothing."""
    done = site.run("run", "--check", "-c", site.file)
    assert done.code == ExitCode.OK
    assert done.out.startswith(f"configuration ok ({site.file})")
    assert not site.state.exists()


@pytest.mark.parametrize("command", [("run",), ("config",), ("doctor",)])
def test_every_mistake_is_told_at_once(site: Site, command: tuple[str, ...]) -> None:
    """78, a line each, with its key."""
    site.write('workers = 0\nwrokers = 2\n[r2]\nendpoint = "http://127.0.0.1:1"\n')
    done = site.run(*command)
    assert done.code == ExitCode.CONFIG
    lines = done.err.splitlines()
    assert all(line.startswith("prewarmd: ") for line in lines)
    for key in ("workers:", "wrokers:", "r2.bucket:", "bots:"):
        assert any(line.startswith(f"prewarmd: {key}") for line in lines), lines


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("jobs", "list"),
        ("lookup", "shop", "a.jpg"),
        ("warm", "--bot", "shop", "a.jpg"),
    ],
)
def test_not_running(site: Site, command: tuple[str, ...]) -> None:
    """3, naming the socket."""
    done = site.run(*command)
    assert done.code == ExitCode.NOT_RUNNING
    assert done.out == ""
    assert str(site.socket) in done.err


def test_a_stale_socket_file_is_not_running(site: Site) -> None:
    """What a daemon leaves behind that was killed."""
    daemon = site.daemon()
    daemon.kill()
    daemon.wait()
    assert site.socket.exists()
    assert site.run("status").code == ExitCode.NOT_RUNNING


def test_one_daemon_per_state_directory_and_socket(site: Site) -> None:
    """The second says who was first, and exits 75; a stop by SIGTERM exits 0."""
    daemon = site.daemon()
    second = site.run("run", "-c", site.file, "--state-dir", site.state)
    assert second.code == ExitCode.BUSY
    assert str(daemon.pid) in second.err
    # The first would work on without its socket, and nobody could ask it.
    env = {"PREWARMD_SOCKET": str(site.socket), "PREWARMD_STATE_DIR": str(site.root / "other")}
    third = site.run("run", "-c", site.file, env=env)
    assert third.code == ExitCode.BUSY
    assert str(site.socket) in third.err
    assert site.ask("GET", "/v1/status")["supervisor"]["pid"] == daemon.pid
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(WAIT_S) == ExitCode.OK
    assert not site.socket.exists()


@pytest.mark.parametrize("name", ["TMPDIR", "PREWARMD_STATE_DIR"])
def test_a_long_path_keeps_no_child_from_starting(site: Site, name: str) -> None:
    """A CI's deep directory: the name of a socket in it would be too long for the system."""
    deep = site.root / ("d" * 90)
    deep.mkdir()
    site.extra_env = {name: str(deep), "PREWARMD_SOCKET": str(site.socket)}
    site.daemon("--workers", "1")
    assert site.run("status").code == ExitCode.OK


def test_an_address_in_use_is_a_clear_error(site: Site) -> None:
    """One line with the address, 74, and nothing left behind; not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        env = {"PREWARMD_HTTP__LISTEN": address, "PREWARMD_HTTP__TOKEN": "planted-http-token"}
        done = site.run("run", "-c", site.file, "--state-dir", site.state, env=env)
    assert done.code == ExitCode.IO
    assert done.err.startswith(f"prewarmd: cannot listen at {address}: ")
    assert "Traceback" not in done.err
    assert not site.socket.exists()
