"""Ctrl-C at once: whoever sees that a command was mistyped must not get a traceback for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from prewarmd.cli.interrupt import INTERRUPTED
from prewarmd.errors import ExitCode
from tests.cli.conftest import WAIT_S, Site

SCRIPT = Path(sys.executable).parent / "prewarmd"
MODULE = "runpy.run_module('prewarmd', run_name='__main__', alter_sys=True)"
CONSOLE = f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
INTERRUPTS_ITSELF = """
import os, runpy, signal, sys
at = sys.argv.pop(1)

class Finder:
    def find_spec(name, *_):
        if name == at:
            meet()

def meet():
    os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
"""


def interrupted(
    site: Site, words: tuple[str, ...], at: str, how: str = MODULE
) -> "subprocess.CompletedProcess[str]":
    """A command that gets SIGINT when it imports `at`."""
    temporary = site.root / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTS_ITSELF + how, at, *words],
        cwd=site.root,
        env={**site.env, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert list(temporary.iterdir()) == []
    return done


@pytest.mark.parametrize("how", [MODULE, CONSOLE])
@pytest.mark.parametrize(
    ("command", "places"),
    [
        ("run", ["prewarmd.cli.main", "typer", "prewarmd.cli.run"]),
        ("run", ["prewarmd.config", "prewarmd.supervisor.daemon", "aiohttp", "apsw"]),
        ("demo", ["prewarmd.cli.interrupt", "prewarmd.errors", "prewarmd.cli.demo", "rich.table"]),
        ("demo", ["prewarmd.sandbox.demo", "aiobotocore.config"]),
        ("sandbox", ["prewarmd.cli.sandbox", "prewarmd.sandbox.media", "prewarmd.sandbox.town"]),
        ("status", ["prewarmd.cli.status", "orjson", "prewarmd.config", "pydantic"]),
        ("doctor", ["prewarmd.cli.doctor", "prewarmd.cli.checks"]),
        ("config", ["prewarmd.cli.config", "pydantic"]),
        ("lookup", ["typer.core", "prewarmd.cli.lookup"]),
    ],
)
def test_ctrl_c_while_a_command_is_loaded(
    site: Site, how: str, command: str, places: list[str]
) -> None:
    """130 and no complaint, whatever is being imported; a folder that was made is gone again."""
    words = (command, *(("shop", "a.jpg") if command == "lookup" else ()))
    for at in places:
        done = interrupted(site, words, at, how)
        assert done.returncode == ExitCode.INTERRUPTED == INTERRUPTED, (at, done)
        assert done.stderr == "", (at, done)
        assert "Traceback" not in done.stdout, (at, done)
    assert not site.state.exists()


def test_ctrl_c_where_an_exception_would_be_swallowed(site: Site) -> None:
    """While a class is made, Python turns what is raised into a RuntimeError; a callback's is
    printed with its traceback, and the command goes on."""
    (site.root / "unlucky.py").write_text("""
import os, signal

class Named:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)

class Owner:
    named = Named()
""")
    site.extra_env["PYTHONPATH"] = str(site.root)
    unlucky = "def meet():\n    import unlucky\n"
    done = interrupted(site, ("status",), "orjson", unlucky + MODULE)
    assert (done.returncode, done.stdout + done.stderr) == (130, "")


def test_ctrl_c_is_left_alone_where_it_is_ignored(site: Site) -> None:
    """`nohup`, or `&` in a script: the signal of a terminal is not for us."""
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    done = interrupted(site, ("--version",), "typer", ignore + MODULE)
    assert done.returncode == ExitCode.OK
    assert done.stdout.startswith("prewarmd ")
