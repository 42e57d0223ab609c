"""`prewarmd sandbox`: an S3 server and a Bot API server to develop against, with media in it."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from prewarmd.cli.foreground import run_until_signal
from prewarmd.config.places import temporary_base
from prewarmd.errors import BootError, ExitCode

CONFIGURATION = "prewarmd.toml"
MARK = "# of a prewarmd sandbox: gone when it ends\n"


def run_state_dir() -> Path:
    """Where `make run` keeps its daemon; the socket is in it. One per user, gone at a reboot."""
    base = os.environ.get("XDG_RUNTIME_DIR") or temporary_base()
    return Path(base) / f"prewarmd-sandbox-{os.getuid()}"


def sandbox(
    write: Annotated[
        Path | None,
        typer.Option(help="Write the configuration here (mode 0600) instead of printing it."),
    ] = None,
    media: Annotated[int, typer.Option(min=0, max=5000, help="How many media to store.")] = 60,
    run: Annotated[bool, typer.Option("--run", help="Run a daemon on it, too.")] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Far servers: store 300 ms, Telegram 800 ms.")
    ] = False,
    floods: Annotated[
        bool, typer.Option("--floods", help="A Telegram that answers 429 to who is too fast.")
    ] = False,
) -> None:
    """Run an S3 server and a Bot API server on loopback, and a configuration for them."""
    if write is not None and write.exists() and not _is_ours(write):
        raise BootError(f"{write} is there already, and no sandbox wrote it", "choose another name")
    if run:
        directory = _own(run_state_dir())
    else:
        directory = Path(tempfile.mkdtemp(prefix="prewarmd-sandbox-", dir=temporary_base()))
    try:
        code = run_until_signal(_sandbox(directory, write, media, latency, run=run, floods=floods))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if write is not None and _is_ours(write):
            write.unlink()  # what it speaks of is gone
    raise typer.Exit(code)


def _is_ours(file: Path) -> bool:
    try:
        with file.open() as text:
            return text.readline() == MARK
    except OSError:
        return False


def _own(directory: Path) -> Path:
    """An empty directory that only we can enter."""
    from prewarmd.store.lock import holder

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise BootError(
            f"{directory} belongs to somebody else", "remove it, or set XDG_RUNTIME_DIR"
        )
    if (pid := holder(directory)) is not None:
        raise BootError(f"a sandbox daemon runs already (pid {pid})", "stop its `make run` first")
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    return directory


async def _sandbox(
    directory: Path, write: Path | None, media: int, latency: bool, *, run: bool, floods: bool
) -> ExitCode:
    from prewarmd.sandbox.media import demo_set
    from prewarmd.sandbox.town import FAR, SLUGS, Town

    async with Town(directory, floods={} if floods else None, **(FAR if latency else {})) as town:
        plan = demo_set(media, SLUGS)
        await town.store.put_all([(medium.key, medium.data()) for medium in plan])
        # Documented limits for developing; a sandbox that runs its own daemon is there to watch.
        profile = "none" if run and not floods else "documented"
        state = directory if run else directory / "state"
        places = f'{MARK}state_dir = "{state}"\nsocket = "{state / "prewarmd.sock"}"\n'
        target = directory / CONFIGURATION if run else write
        if target is not None:
            town.write_configuration(target, limits=profile, extra=places)
        else:
            _say(town.configuration(limits=profile, extra=places), to=sys.stdout)
        _say(f"\n# {len(plan)} media in bucket {town.store.bucket} at {town.endpoint}")
        _say(f"# Bot API at {town.telegram.base}; bots: {', '.join(SLUGS)}")
        if run:
            return await _run_daemon(directory, town)
        _say("# now, in other terminals (Ctrl-C here ends it all):")
        where = target if target is not None else "FILE"
        _say(f"#   export PREWARMD_CONFIG={where}")
        _say("#   prewarmd run")
        _say(f"#   prewarmd warm --bot {SLUGS[0]} --prefix {SLUGS[0]}/ --wait")
        await asyncio.Event().wait()
    return ExitCode.OK


def _say(text: str, to: Any = None) -> None:
    print(text, file=to or sys.stderr, flush=True)


async def _run_daemon(directory: Path, town: Any) -> ExitCode:
    """A daemon in the foreground, until it ends or we are told to stop."""
    from prewarmd.sandbox import children

    command: list[str | Path] = [
        sys.executable, "-m", "prewarmd", "run", "-c", directory / CONFIGURATION
    ]  # fmt: skip
    slug = town.telegram.bots[0].slug
    _say("# now, in other terminals (Ctrl-C here ends it all):")
    _say(f"#   export PREWARMD_CONFIG={directory / CONFIGURATION}")
    _say("#   prewarmd status --watch        (or: make status)")
    _say(f"#   prewarmd warm --bot {slug} --prefix {slug}/ --wait")
    daemon: subprocess.Popen[bytes] = children.start(command, loud=True)
    try:
        # Polled: a wait in a thread could not be given up.
        while daemon.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    finally:
        children.stop(daemon, 60.0)
    return (
        ExitCode(daemon.returncode) if daemon.returncode in tuple(ExitCode) else ExitCode.SOFTWARE
    )
