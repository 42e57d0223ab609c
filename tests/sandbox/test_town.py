"""The town as a place to develop against: its keys are checked, it goes when its owner goes."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from botocore import exceptions as boto

from prewarmd.config import load
from prewarmd.errors import BootError
from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.town import Town


async def test_the_store_checks_signatures(town: Town) -> None:
    """A wrong secret is refused, as R2 would; the right one stores and reads."""
    await town.store.put("town/hello.txt", b"hello")
    async with town.store.client() as s3:
        got = await s3.get_object(Bucket=town.store.bucket, Key="town/hello.txt")
        assert await got["Body"].read() == b"hello"
    town.store.secret_access_key, right = "0" * 32, town.store.secret_access_key
    try:
        with pytest.raises(boto.ClientError, match="SignatureDoesNotMatch"):
            await town.store.put("town/never.txt", b"")
    finally:
        town.store.secret_access_key = right


def test_its_configuration_is_whole_and_private(town: Town, tmp_path: Path) -> None:
    """`prewarmd run -c` takes it as it is; nobody else may read the secrets in it."""
    file = tmp_path / "deep" / "prewarmd.toml"
    town.write_configuration(file, limits="documented", extra=f'state_dir = "{tmp_path}"\n')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = load(file, {"HOME": str(tmp_path)})
    assert [bot.slug for bot in config.bots] == ["alpha", "beta", "gamma"]
    assert config.limits.profile == "documented"
    assert config.warnings == ()
    for secret in config.secrets:
        assert secret not in "/tmp/prewarmd-sandbox-1/prewarmd.sock", "the log would star it out"
    assert list(file.parent.iterdir()) == [file], "no draft is left"


async def test_a_town_that_cannot_start_leaves_no_server(tmp_path: Path) -> None:
    """One of the two does not come up: the other, which has, or is about to, is stopped."""
    town = Town(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        town.telegram.port = taken.getsockname()[1]
        with pytest.raises(BootError, match="Bot API"):
            await town.__aenter__()
    assert (town.store.pid, town.telegram.pid) == (0, 0)
    commands = [" ".join(process.cmdline()) for process in psutil.Process().children()]
    assert not [command for command in commands if str(tmp_path) in command]


async def test_a_daemon_whose_start_is_given_up_is_stopped(tmp_path: Path, town: Town) -> None:
    """Whoever waited for it is cancelled, at whatever moment: it does not run on by itself."""
    file = tmp_path / "prewarmd.toml"
    town.write_configuration(file)
    daemon = RunningDaemon(file, tmp_path / "state")
    starting = asyncio.create_task(daemon.start())

    async def launched() -> int:
        return daemon.pid

    process = psutil.Process(await until(launched))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert daemon.pid == 0
    assert not process.is_running()


async def test_servers_die_with_a_sandbox_that_is_killed(tmp_path: Path) -> None:
    """Even SIGKILL leaves no S3 server and no Bot API server behind."""
    command = [sys.executable, "-m", "prewarmd", "sandbox", "--media", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ,
        "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        while b"Bot API at" not in await asyncio.to_thread(process.stderr.readline):
            assert process.poll() is None
        servers = psutil.Process(process.pid).children(recursive=True)
        assert len(servers) == 2
        process.send_signal(signal.SIGKILL)
        gone, alive = await asyncio.to_thread(psutil.wait_procs, servers, 10)
        zombies = [one for one in alive if one.status() == psutil.STATUS_ZOMBIE]
        assert len(gone) + len(zombies) == 2
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Exit code 130, the folder and the written configuration are gone, so are the servers."""
    file = tmp_path / "sandbox.toml"
    command = [sys.executable, "-m", "prewarmd", "sandbox", "--media", "3", "--write", str(file)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ,
        "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        while b"prewarmd warm" not in process.stderr.readline():
            assert process.poll() is None
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        servers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        deadline = time.monotonic() + 5
        while any(server.is_running() for server in servers):
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert list(tmp_path.iterdir()) == []
