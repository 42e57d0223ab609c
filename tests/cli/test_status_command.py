"""`prewarmd status`: from the daemon, and from outside when the daemon hangs."""

import signal
import subprocess

import orjson
from rich.console import Console

from prewarmd.cli.client import Place
from prewarmd.cli.processes import pid_of
from prewarmd.cli.screen import screen
from prewarmd.errors import ExitCode
from tests.cli.conftest import WAIT_S, Site, until

SAMPLE = {"pid", "cpu_percent", "rss_bytes", "pss_bytes", "fds", "uptime_s"}


def test_the_daemon_tells_about_itself(site: Site) -> None:
    """The object of GET /v1/status, with what psutil sees of every process."""
    daemon = site.daemon()
    done = site.run("status", "--json")
    assert done.code == ExitCode.OK
    status = done.json
    assert status["source"] == "daemon"
    assert status["readiness"] == {"ready": True, "reasons": []}
    assert status["supervisor"]["pid"] == daemon.pid
    assert status["supervisor"]["rss_bytes"] > 1_000_000
    assert set(status["supervisor"]) >= SAMPLE
    [child] = status["children"]
    assert set(child) >= SAMPLE | {"index", "state", "in_flight", "done"}
    assert (child["index"], child["state"]) == (0, "ready")
    assert set(status["jobs"]) == {"queued", "running", "waiting", "ready", "failed", "cancelled"}
    assert set(status["cache"]) >= {"hits", "misses", "bytes", "items"}
    assert set(status["latency"]) >= {"p50_ms", "p95_ms"}
    page = site.run("status")
    assert page.code == ExitCode.OK
    for word in ("ready", "supervisor", "child 0", "forkserver", "queue", "cache", "P95", "lane"):
        assert word in page.out

    # Not ready: the first job finds that the store is out of reach.
    assert site.run("warm", "--bot", "shop", "a.jpg").code == 0
    until(lambda: site.run("status").code == ExitCode.NOT_READY, "to see that the store is away")
    page = site.run("status")
    assert "not ready" in page.out
    assert "StoreUnreachable" in page.out


def test_a_daemon_that_hangs_is_seen_from_outside(site: Site) -> None:
    """By the pid in its lock, or by its socket; exit code 1, and the source is named."""
    daemon = site.daemon()
    daemon.send_signal(signal.SIGSTOP)
    try:
        done = site.run("status", "--json")
        assert done.code == ExitCode.NOT_READY
        status = done.json
        assert status["source"] == "psutil"
        [reason] = status["readiness"]["reasons"]
        assert reason["code"] == "Hung"
        assert set(status["supervisor"]) >= SAMPLE
        assert status["supervisor"]["pid"] == daemon.pid
        assert status["supervisor"]["os_state"] == "stopped by a signal"
        [child] = status["children"]
        assert set(child) >= SAMPLE | {"index", "state", "in_flight", "done"}
        assert child["index"] == 0
        assert child["rss_bytes"] > 1_000_000
        # The very page of `status` without --json, without its two seconds.
        with (console := Console(width=160)).capture() as page:
            console.print(screen(status))
        assert "source: psutil" in page.get()
        assert f"pid {daemon.pid}" in page.get()

        # Where the lock is not known, the socket itself tells whose it is.
        assert pid_of(Place(site.socket, None)) == daemon.pid
        # And where there is no socket, the lock does.
        moved = site.root / "moved.sock"
        site.socket.rename(moved)
        found = site.run("status", "--json").json
        assert found["supervisor"]["pid"] == daemon.pid
        assert found["readiness"]["reasons"][0]["code"] == "NotListening"
        moved.rename(site.socket)
    finally:
        daemon.send_signal(signal.SIGCONT)
    until(lambda: site.run("status").code == ExitCode.OK, "the daemon to answer again")


def test_watch_looks_again_until_ctrl_c(site: Site) -> None:
    """Each second, through a stop and a start; it ends with the code of its last look."""
    watching = site.start("status", "--watch", "--json", stdout=subprocess.PIPE)
    assert watching.stdout is not None
    with watching.stdout as lines:
        assert orjson.loads(lines.readline())["source"] is None
        site.daemon()
        assert any(orjson.loads(line)["source"] == "daemon" for line in lines)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(WAIT_S) in (ExitCode.OK, ExitCode.NOT_READY)


def test_the_socket_is_found_by_flag_then_environment_then_configuration(site: Site) -> None:
    """A socket that is named needs no configuration at all."""
    site.daemon()
    broken = {"PREWARMD_CONFIG": str(site.root / "no-such-file")}
    assert site.run("status", env=broken).code == ExitCode.CONFIG
    assert site.run("status", "--socket", site.socket, env=broken).code == ExitCode.OK
    named = {**broken, "PREWARMD_SOCKET": str(site.socket)}
    assert site.run("status", env=named).code == ExitCode.OK
    elsewhere = site.run("status", "--socket", site.root / "other.sock", env=named)
    assert elsewhere.code == ExitCode.NOT_RUNNING
    sandbox = site.run("status", "--sandbox", env={"XDG_RUNTIME_DIR": str(site.root)})
    assert sandbox.code == ExitCode.NOT_RUNNING
