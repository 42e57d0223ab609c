"""`prewarmd doctor`: is everything there that the daemon needs, and if not, what helps."""

import asyncio
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from prewarmd.cli import words
from prewarmd.cli.client import SocketFlag
from prewarmd.cli.findings import Finding, Verdict
from prewarmd.cli.interrupt import at_once
from prewarmd.errors import ExitCode

COLOURS = {Verdict.OK: "green", Verdict.FAILED: "red"}


def doctor(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="As for `run`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    socket: SocketFlag = None,
) -> None:
    """Check directories, store, buckets, bots and chats, and say how to put them right."""
    with at_once():
        from prewarmd.cli.checks import examine
        from prewarmd.config import load

    overrides = {"state_dir": state_dir and str(state_dir), "socket": socket and str(socket)}
    loaded = load(config, os.environ, overrides)
    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            _print(finding)

    asyncio.run(examine(loaded, tell))
    failed = sum(finding.verdict is Verdict.FAILED for finding in findings)
    if as_json:
        shown = [asdict(finding) for finding in findings]
        typer.echo(orjson.dumps({"ok": not failed, "findings": shown}))
    else:
        typer.echo(f"\n{failed} of {len(findings)} checks failed" if failed else "\nall is well")
    raise typer.Exit(ExitCode.NOT_READY if failed else ExitCode.OK)


def _print(finding: Finding) -> None:
    verdict = f"{finding.verdict:8}"
    if sys.stdout.isatty():
        verdict = typer.style(verdict, fg=COLOURS.get(finding.verdict, "yellow"))
    typer.echo(f"{verdict} {words.safe(finding.subject)}: {words.safe(finding.detail)}")
    if finding.hint:
        typer.echo(f"{'':8} -> {words.safe(finding.hint)}")
