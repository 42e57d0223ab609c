"""`prewarmd bots logout` against a Bot API server of the test's own."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from prewarmd.errors import ExitCode
from prewarmd.sandbox.town import BotApi, Resident
from tests.cli.conftest import TOKEN, WAIT_S, Site


@pytest.fixture
def server() -> Iterator[BotApi]:
    """It knows the site's bot."""
    server = BotApi([Resident("shop", TOKEN, ((-1001234567890, "channel"),))])
    asyncio.run(server.start())
    yield server
    server.stop()


@pytest.fixture
def shop(site: Site, server: BotApi, closed_port: int) -> Site:
    """A site whose bot is at that server."""
    change(site, f'api_base = "http://127.0.0.1:{closed_port}"', f'api_base = "{server.base}"')
    return site


def change(site: Site, old: str, new: str) -> None:
    """Change the configuration."""
    text = site.file.read_text()
    assert old in text
    site.write(text.replace(old, new, 1))


def logouts(server: BotApi) -> int:
    """How many bots were logged out of it."""
    asked: dict[str, int] = asyncio.run(server.control("GET", "requests"))
    return asked.get("logout", 0)


def typed(site: Site, text: str, *words: str) -> tuple[int, str]:
    """Run a command on a terminal, where somebody types; its exit code and stderr."""
    ours, theirs = os.openpty()
    try:
        process = site.start(*words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.write(ours, f"{text}\n".encode())
        _, said = process.communicate(timeout=WAIT_S)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, said.decode()


def test_a_bot_is_logged_out_once(shop: Site, server: BotApi) -> None:
    """What a move to a local server begins with; the second time Telegram says that it is done."""
    done = shop.run("bots", "logout", "shop", "--yes")
    assert done.code == ExitCode.OK, done
    assert done.out.startswith(f"bot shop is logged out of {server.base}, which takes it back at ")
    assert "change it" in done.err  # the daemon would go on there
    again = shop.run("bots", "logout", "shop", "--yes")
    assert again.code == ExitCode.NOT_READY
    assert again.err.startswith(f"prewarmd: {server.base} refuses: 400 Bad Request: Logged out\n")
    assert "another server takes it" in again.err
    assert logouts(server) == 1


def test_nothing_is_done_unless_somebody_says_so(shop: Site, server: BotApi) -> None:
    """A script with a slip in it would put the bot out of service for ten minutes."""
    done = shop.run("bots", "logout", "shop")
    assert done.code == ExitCode.USAGE
    for told in (server.base, "bot shop (id 4242)", "10 minutes", "file_ids stay good", "--yes"):
        assert told in done.err
    code, said = typed(shop, "yes", "bots", "logout", "shop")
    assert (code, "nothing was done" in said) == (ExitCode.NOT_READY, True)
    assert logouts(server) == 0
    code, said = typed(shop, "shop", "bots", "logout", "shop")
    assert (code, "Type shop to go on" in said) == (ExitCode.OK, True), said
    assert logouts(server) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody",), "'nobody' is no configured bot; known: shop"),
        (("no\x1bbody",), "known: shop"),
        ((), "BOT"),
        (("shop", "--from", "api.telegram.org"), "--from: is not a http:// or https:// URL"),
        (("shop", "--from", "ftp://host"), "an example: https://host:8081"),
        (("shop", "--from", "http://u:p@host/"), "--from: must have no user"),
        (("shop", "--from", ""), "--from: "),
    ],
)
def test_rubbish_is_named(shop: Site, server: BotApi, words: tuple[str, ...], told: str) -> None:
    """With what would be right, and before anything is asked of anybody."""
    done = shop.run("bots", "logout", *words, "--yes")
    assert done.code == ExitCode.USAGE, done
    assert told in done.err
    assert "\x1b" not in done.err
    assert logouts(server) == 0


def test_a_daemon_does_not_lose_its_bot(shop: Site, server: BotApi) -> None:
    """Every upload would fail until it is stopped; elsewhere the bot may be logged out under it."""
    daemon = shop.daemon()
    for base in (server.base, f"{server.base}/"):
        done = shop.run("bots", "logout", "shop", "--yes", "--from", base)
        assert done.code == ExitCode.BUSY
        assert f"the daemon (pid {daemon.pid}) uses bot shop at {server.base}" in done.err
        assert f"kill -TERM {daemon.pid}" in done.err
    # What counts is where the daemon is, whatever the file says by now.
    change(shop, f'api_base = "{server.base}"', 'api_base = "http://127.0.0.1:9"\nserver = "local"')
    done = shop.run("bots", "logout", "shop", "--yes", "--from", server.base)
    assert done.code == ExitCode.BUSY
    assert logouts(server) == 0
    other = BotApi(server.bots)
    asyncio.run(other.start())
    try:
        done = shop.run("bots", "logout", "shop", "--yes", "--from", other.base)
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert logouts(other) == 1
    finally:
        other.stop()


def test_a_daemon_that_cannot_be_asked_counts_as_one_that_uses_the_bot(
    shop: Site, server: BotApi
) -> None:
    """Its socket was removed: it sends on all the same."""
    daemon = shop.daemon()
    shop.socket.unlink()
    done = shop.run("bots", "logout", "shop", "--yes")
    assert done.code == ExitCode.BUSY
    assert f"a daemon (pid {daemon.pid}) owns {shop.state}" in done.err
    assert logouts(server) == 0


def test_with_a_local_server_it_is_telegrams_own_that_is_left(shop: Site) -> None:
    """The configuration says already where the bot goes to."""
    change(shop, "[telegram]", '[telegram]\nserver = "local"')
    done = shop.run("bots", "logout", "shop")
    assert done.code == ExitCode.USAGE
    assert "out of the Bot API server https://api.telegram.org.\n" in done.err


@pytest.mark.parametrize(
    ("old", "new", "told", "hint"),
    [
        (TOKEN, "4243:wrong", "refuses: 401 Unauthorized", "@BotFather"),
        (
            "[telegram]", '[telegram]\nproxy = "http://127.0.0.1:{closed}"',
            "cannot be reached", "proxy",
        ),
        ("/127.0.0.1:{port}", "/127.0.0.1:{closed}", "cannot be reached", "nothing was done"),
    ],
)  # fmt: skip
def test_why_a_bot_is_not_logged_out_is_said(
    shop: Site, server: BotApi, closed_port: int, old: str, new: str, told: str, hint: str
) -> None:
    """In Telegram's words; it is spoken to as the daemon would, by the same proxy."""
    change(shop, old.format(port=server.port), new.format(closed=closed_port))
    done = shop.run("bots", "logout", "shop", "--yes")
    assert done.code == ExitCode.NOT_READY, done
    assert told in done.err
    assert hint in done.err
    assert logouts(server) == 0


def fault(server: BotApi, **rule: Any) -> None:
    """What the next logout meets."""
    asyncio.run(server.control("POST", "faults", [{"method": "logout", **rule}]))


def test_an_answer_that_did_not_come_leaves_a_doubt(shop: Site, server: BotApi) -> None:
    """It may be done: who believes otherwise would wonder why the bot is refused."""
    fault(server, cut="answer")
    done = shop.run("bots", "logout", "shop", "--yes")
    assert done.code == ExitCode.NOT_READY
    assert "whether the bot is logged out is not known" in done.err
    assert "Logged out" in shop.run("bots", "logout", "shop", "--yes").err
