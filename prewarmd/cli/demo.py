"""`prewarmd demo`: a run of `sandbox.demo`, shown on a terminal, as plain lines or as JSON."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from prewarmd.cli.foreground import run_until_signal, until_signal
from prewarmd.cli.words import size
from prewarmd.config.places import temporary_base
from prewarmd.errors import ExitCode


def demo(
    media: Annotated[int, typer.Option(min=1, max=5000, help="How many media.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything up until Ctrl-C, and keep the folder.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Far servers: store 300 ms, Telegram 800 ms.")
    ] = False,
) -> None:
    """Warm real media end to end on this machine; no network, no credentials."""
    directory = Path(tempfile.mkdtemp(prefix="prewarmd-demo-", dir=temporary_base()))
    try:
        code = run_until_signal(_demo(directory, media, latency, as_json=as_json, keep=keep))
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    raise typer.Exit(code)


async def _demo(
    directory: Path, media: int, latency: bool, *, as_json: bool, keep: bool
) -> ExitCode:
    from prewarmd.sandbox.demo import Demo  # the sandbox extra is not a must

    console = Console(stderr=as_json, highlight=False)
    with _progress(console, media) as tick:
        show = Demo(directory, media=media, latency=latency, say=console.print, tick=tick)

        async def present(socket: Path) -> None:
            _report(console, show, latency=latency)
            if keep:
                await _keep(console, directory, socket)

        figures = await show.run(present)
    if as_json:
        print(orjson.dumps(figures.to_json()).decode())  # noqa: T201  the answer itself
    whole = figures.ready == media == figures.survived_restart
    return ExitCode.OK if whole else ExitCode.NOT_READY


@contextlib.contextmanager
def _progress(console: Console, wanted: int) -> Iterator[Any]:
    """A bar on a terminal, a line at each quarter otherwise."""
    if not console.is_terminal:
        told = 0

        def line(done: int, of: int) -> None:
            nonlocal told
            if done * 4 // of > told:
                told = done * 4 // of
                console.print(f"  {done} of {of} ready")

        yield line
        return
    columns = (
        TextColumn("  warming"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("warming", total=wanted, visible=False)
        yield lambda done, _: progress.update(task, completed=done, visible=True)


async def _keep(console: Console, directory: Path, socket: Path) -> None:
    console.print(f"\neverything stays up until Ctrl-C, in {directory}; look around:")
    for what in ("status", "status --watch", "jobs list"):
        console.print(f"  prewarmd {what} --socket {socket}")
    await until_signal()


def _report(console: Console, show: Any, *, latency: bool) -> None:
    figures = show.figures
    table = Table.grid(padding=(0, 2))
    rows = [
        ("ready", f"{figures.ready} of {figures.media} media in {figures.seconds:.2f} s"),
        ("media per minute", f"{figures.per_minute:,.0f}"),
        ("enqueue to ready", f"P50 {_ms(figures.p50_ms)}, P95 {_ms(figures.p95_ms)}"),
        (
            "store",
            f"{figures.cache_misses} GETs, {figures.bytes_downloaded / 1e6:.1f} MB",
        ),
        ("saved", f"{figures.cache_hits} downloads, by the shared cache and deduplication"),
        ("deduplicated", f"{figures.deduplicated} ready without an upload of their own"),
        ("finished first", ", ".join(f"{f.kind} {size(f.size_bytes)}" for f in show.first[:4])),
        ("after a restart", f"{figures.survived_restart} file_ids the same, and accepted again"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console.print()
    console.print(table)
    console.print()
    console.print(_kinds(figures.kinds))
    if figures.cold_send_ms and figures.warm_send_ms:
        times = figures.cold_send_ms / figures.warm_send_ms
        where = "store 300 ms and Telegram 800 ms away" if latency else "no artificial delay"
        console.print(
            f"\n  a cold send: [bold]{_ms(figures.cold_send_ms)}[/bold]   "
            f"a warm one, by file_id: [bold]{_ms(figures.warm_send_ms)}[/bold]   "
            f"{times:.1f} times faster\n  ({where})"
        )


def _kinds(kinds: dict[str, dict[str, int]]) -> Table:
    """How many of each that was asked for, and what they are to Telegram."""
    table = Table("asked for", "media", "to Telegram", box=None, padding=(0, 2))
    for kind, actual in sorted(kinds.items(), key=lambda item: -sum(item[1].values())):
        told = ", ".join(
            f"{many} {other}" if len(actual) > 1 else other for other, many in actual.items()
        )
        table.add_row(kind, str(sum(actual.values())), told)
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"
