"""The Makefile, as somebody meets it who has just cloned the repository."""

import re
import subprocess
import tomllib

from tests.support.house import ROOT

TARGETS = ("demo", "test", "check", "run", "status", "bench", "kill-stack", "conformance")


def test_bare_make_prints_what_can_be_done() -> None:
    """Help, and nothing is installed or started; every target of the README is in it."""
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    offered = set(re.findall(r"^\W+1m([a-z-]+) +\S+ \S", done.stdout, re.MULTILINE))
    assert set(TARGETS) <= offered


def test_what_ci_runs_contains_the_tests_of_the_readme() -> None:
    """Format, lint, types, contracts and `make test`: CI can pass nothing that they refuse."""
    assert "exec make check" in (ROOT / ".ci" / "run").read_text()
    done = subprocess.run(
        ["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for tool in ("ruff format --check", "ruff check", "mypy", "lint-imports", "-m pytest"):
        assert tool in done.stdout


def test_two_machines_get_the_same_versions() -> None:
    """Every package that may be installed is locked to a version, with hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[^\w.-]", one)[0].lower().replace("_", "-")
        for some in (project["dependencies"], *project["optional-dependencies"].values())
        for one in some
    }
    text = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==\S+.*\\\n    --hash=", text, re.MULTILINE))
    assert wanted - locked - {project["name"]} == set()
    assert project["requires-python"] == ">=3.11"
    assert project["scripts"]["prewarmd"] == "prewarmd.__main__:main"
