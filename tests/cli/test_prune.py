"""`prewarmd bots prune`: against a real daemon, and messages at the sandbox's Bot API server."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from prewarmd.errors import ExitCode
from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from tests.cli.conftest import Done, Site
from tests.support.house import House, Stored

ALL = ("--older-than", "0s")
FOREVER_S = 600.0


class Pruner:
    """The command, run on a daemon of the test's own."""

    def __init__(self, house: House, daemon: RunningDaemon) -> None:
        self.house = house
        self.daemon = daemon
        self.telegram = house.town.telegram
        self.bot = self.telegram.bots[0]

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Start it and wait for nothing."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PREWARMD_")}
        place = {
            "PREWARMD_CONFIG": str(self.house.configuration),
            "PREWARMD_SOCKET": str(self.daemon.socket),
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "prewarmd", "bots", "prune", "alpha", *words,
            env={**clean, **place}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    async def end(self, process: asyncio.subprocess.Process) -> Done:
        """What it came to; it never tells a token."""
        out, err = await process.communicate()
        assert process.returncode is not None
        for bot in self.telegram.bots:
            assert bot.token.partition(":")[2] not in (out + err).decode()
        assert b"Traceback" not in err
        return Done(process.returncode, out.decode(), err.decode())

    async def run(self, *words: str) -> Done:
        """Run it to its end."""
        return await self.end(await self.start(*words))

    async def warm(self, number: int) -> list[Stored]:
        """Media that are ready."""
        data = [self.house.media(Format.PDF, 2_000) for _ in range(number)]
        stored = [Stored(f"{self.house.prefix}{n}.pdf", one) for n, one in enumerate(data)]
        await self.house.town.store.put_all([(one.key, one.data) for one in stored])
        jobs = [{"bot": "alpha", "key": one.key} for one in stored]
        for admitted in await self.daemon.submit(jobs):
            await self.daemon.finished(admitted["id"])
        return stored

    async def kept(self) -> list[dict[str, Any]]:
        """The messages that the daemon remembers."""
        page = await self.daemon.ask(
            "GET", "/v1/bots/alpha/messages", before="2999-01-01T00:00:00Z", limit=1000
        )
        found: list[dict[str, Any]] = page["messages"]
        return found

    async def is_there(self, message: dict[str, Any]) -> bool:
        """Whether Telegram has it still: it can be forwarded."""
        url = f"{self.telegram.base}/bot{self.bot.token}/forwardMessage"
        form = {
            "chat_id": str(self.bot.chats[0][0]),
            "from_chat_id": str(message["chat_id"]),
            "message_id": str(message["message_id"]),
        }
        async with aiohttp.request("POST", url, data=form) as answer:
            return answer.status == 200

    async def order(self, what: str, stored: Stored) -> None:
        """Order something about the messages with these bytes."""
        named = [{"bot": "alpha_sandbox_bot", "sha256": stored.sha256}]
        assert await self.telegram.control("POST", what, named) == 1

    async def requests(self, method: str) -> int:
        """How many of a method there were."""
        counted: dict[str, int] = await self.telegram.control("GET", "requests")
        return counted.get(method, 0)

    async def hung(self, deleted: int, left: int) -> asyncio.subprocess.Process:
        """A pruning whose last batch is deleted, but not answered: the daemon was told of
        `deleted`, and remembers `left`."""
        before = await self.requests("deletemessages")
        process = await self.start(*ALL, "--yes", "--json")

        async def is_hung() -> bool:
            return (
                await self.requests("deletemessages") > before + (1 if deleted else 0)
                and len(await self.kept()) == left
            )

        await until(is_hung)
        return process


@pytest.fixture
async def pruner(house: House) -> AsyncIterator[Pruner]:
    """On a daemon whose bot alpha has one chat."""
    bot = house.town.telegram.bots[0]
    second = f', {{ id = {bot.chats[1][0]}, kind = "{bot.chats[1][1]}" }}'
    async with house.daemon(replace=(second, "")) as daemon:
        yield Pruner(house, daemon)


async def test_old_messages_are_deleted_and_file_ids_stay(pruner: Pruner) -> None:
    """The warm-up chat gets rid of what nobody needs, and no bot loses a file_id by it."""
    stored = await pruner.warm(3)
    before = await pruner.kept()
    young = await pruner.run("--older-than", "1h", "--yes")
    assert (young.code, young.out) == (0, "0 of 0 deleted, 0 could not be deleted\n")
    dry = await pruner.run(*ALL, "--dry-run")
    assert dry.code == ExitCode.OK
    assert dry.out.startswith("This would delete 3 messages of media that bot alpha made ready")
    assert f"chat {pruner.bot.chats[0][0]}: 3" in dry.out
    assert await pruner.kept() == before

    asked = await pruner.run(*ALL)  # nobody can be asked
    assert asked.code == ExitCode.USAGE
    for told in ("This deletes 3 messages", "renewed from", "--yes"):
        assert told in asked.err
    assert await pruner.kept() == before

    done = await pruner.run(*ALL, "--yes", "--json")
    assert (done.code, done.err) == (ExitCode.OK, "")
    counts = {name: done.json[name] for name in ("found", "deleted", "refused", "all_well")}
    assert counts == {"found": 3, "deleted": 3, "refused": 0, "all_well": True}
    assert await pruner.kept() == []
    assert not any([await pruner.is_there(message) for message in before])
    for one in stored:
        found = await pruner.daemon.ask("GET", f"/v1/media/alpha/{one.sha256}/document")
        assert (await pruner.house.sent_again("alpha", "document", found["file_id"]))["ok"]
    again = await pruner.run(*ALL, "--yes")
    assert (again.code, again.out) == (0, "0 of 0 deleted, 0 could not be deleted\n")


async def test_what_telegram_does_not_delete_is_named_and_stays_remembered(
    pruner: Pruner,
) -> None:
    """One such message must not keep the other 99 of its batch, nor look as if it were gone."""
    stored = await pruner.warm(4)
    by_content = {message["sha256"]: message for message in await pruner.kept()}
    await pruner.order("aged", stored[1])
    await pruner.order("forgotten", stored[2])
    done = await pruner.run(*ALL, "--yes")
    old = by_content[stored[1].sha256]
    assert done.code == ExitCode.NOT_READY
    assert done.out.splitlines() == [
        "1 message cannot be deleted: 400 Bad Request: message can't be deleted for everyone",
        f"  chat {old['chat_id']}, message {old['message_id']}",
        "3 of 4 deleted, 1 could not be deleted",
    ]
    assert await pruner.kept() == [old]
    assert await pruner.is_there(old)
    assert not await pruner.is_there(by_content[stored[0].sha256])
    again = await pruner.run(*ALL, "--yes", "--json")
    assert again.code == ExitCode.NOT_READY
    [refusal] = again.json["refusals"]
    assert refusal["reason"] == "400 Bad Request: message can't be deleted for everyone"
    assert (refusal["count"], refusal["messages"]) == (1, [old])


@pytest.mark.parametrize("how", ["killed", "interrupted", "daemon killed"])
async def test_a_break_in_the_middle_loses_nothing(pruner: Pruner, how: str) -> None:
    """Whatever was deleted and not yet told is found out by the next run, which goes on."""
    await pruner.warm(103)
    every = await pruner.kept()
    # The first batch is answered; the second is deleted, and its answer does not come.
    second = {"method": "deletemessages", "delay_s": FOREVER_S}
    async with pruner.house.faults({"method": "deletemessages"}, second):
        process = await pruner.hung(deleted=100, left=3)
        assert [await pruner.is_there(message) for message in every[-3:]] == [False] * 3
        if how == "killed":
            process.kill()
        elif how == "interrupted":
            process.send_signal(signal.SIGINT)
        else:
            await pruner.daemon.kill()
            await pruner.daemon.start()
            process.kill()
        done = await pruner.end(process)
    if how == "interrupted":
        assert done.code == ExitCode.INTERRUPTED
        assert (done.json["deleted"], done.json["stopped"]) == (100, "interrupted")
    assert len(await pruner.kept()) == 3
    again = await pruner.run(*ALL, "--yes")
    assert (again.code, again.out) == (0, "3 of 3 deleted, 0 could not be deleted\n")
    assert await pruner.kept() == []


async def test_a_daemon_that_goes_away_ends_it(pruner: Pruner) -> None:
    """What is deleted and cannot be told is told by the next run; the exit code says what is
    missing."""
    await pruner.warm(2)
    async with pruner.house.faults({"method": "deletemessages", "delay_s": 5.0}):
        process = await pruner.hung(deleted=0, left=2)
        await pruner.daemon.kill()
        done = await pruner.end(process)
    assert done.code == ExitCode.NOT_RUNNING
    assert "no daemon answers" in done.json["stopped"] or "went away" in done.json["stopped"]
    await pruner.daemon.start()
    assert (await pruner.run(*ALL, "--yes")).code == ExitCode.OK
    assert await pruner.kept() == []


async def test_a_short_pause_is_kept(pruner: Pruner) -> None:
    """A 429 is an order to wait, not the end; so is a server that stumbles."""
    await pruner.warm(2)
    flood = {"method": "deletemessages", "status": 429, "description": "Too Many Requests",
             "parameters": {"retry_after": 1}}  # fmt: skip
    bad = {"method": "deletemessages", "status": 502, "raw": "<html>Bad Gateway</html>"}
    cut = {"method": "deletemessages", "cut": "answer"}
    async with pruner.house.faults(flood, bad, cut):
        done = await pruner.run(*ALL, "--yes")
    assert (done.code, done.out) == (0, "2 of 2 deleted, 0 could not be deleted\n")
    assert "waiting for 1 s, because of TooManyRequests: 429" in done.err
    assert await pruner.kept() == []


@pytest.mark.parametrize(
    ("status", "description", "parameters"),
    [
        (429, "Too Many Requests: retry after 3600", {"retry_after": 3600}),
        (401, "Unauthorized", {}),
        (400, "Logged out", {}),
    ],
)
async def test_what_will_not_be_over_soon_ends_it(
    pruner: Pruner, status: int, description: str, parameters: dict[str, int]
) -> None:
    """It says how far it came, and the next run does the rest."""
    await pruner.warm(103)
    refusal = {
        "method": "deletemessages", "status": status, "description": description,
        "parameters": parameters,
    }  # fmt: skip
    async with pruner.house.faults({"method": "deletemessages"}, refusal):
        done = await pruner.run(*ALL, "--yes")
    assert done.code == ExitCode.NOT_READY
    assert done.out == "100 of 103 deleted, 0 could not be deleted\n"
    assert f"stopped: {'TooManyRequests' if parameters else 'Unauthorized'}: {status}" in done.err
    assert "3 messages not tried; run it again to go on" in done.err
    assert len(await pruner.kept()) == 3
    assert (await pruner.run(*ALL, "--yes")).code == ExitCode.OK
    assert await pruner.kept() == []


async def test_a_chat_that_is_gone_is_asked_once(pruner: Pruner) -> None:
    """All its messages are refused alike: one by one would take hours."""
    await pruner.warm(103)
    gone = {"method": "deletemessages", "status": 403,
            "description": "Forbidden: bot was kicked from the channel chat"}  # fmt: skip
    before = await pruner.requests("deletemessage"), await pruner.requests("deletemessages")
    async with pruner.house.faults(gone):
        done = await pruner.run(*ALL, "--yes")
    assert done.code == ExitCode.NOT_READY
    assert done.out.startswith("103 messages cannot be deleted: 403 Forbidden: bot was kicked")
    assert "and 83 more: --json names all" in done.out
    after = await pruner.requests("deletemessage"), await pruner.requests("deletemessages")
    assert after == before  # the one that was refused is not counted there
    assert len(await pruner.kept()) == 103


async def test_it_never_deletes_with_a_bot_or_at_a_server_that_is_not_the_daemons(
    pruner: Pruner,
) -> None:
    """The file was changed, the daemon was not: ids of messages mean others elsewhere."""
    await pruner.warm(1)
    file = pruner.house.configuration
    text = file.read_text()
    other = text.replace(pruner.bot.token, "4242:another-token-0123456789")
    moved = text.replace(f'api_base = "{pruner.telegram.base}"', 'api_base = "http://127.0.0.1:9"')
    for changed, told in ((other, "by the id 700000001, the"), (moved, "the daemon's server is")):
        assert changed != text
        file.write_text(changed)
        done = await pruner.run(*ALL, "--yes")
        assert done.code == ExitCode.NOT_READY
        assert told in done.err
        assert "restart it" in done.err
    file.write_text(text)
    assert len(await pruner.kept()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("shop",), "--older-than"),
        (("shop", "--older-than", "30"), "'30' is no length of time; write 30d, 12h or 90m"),
        (("shop", "--older-than", ""), "is no length of time"),
        (("shop", "--older-than", "-3d"), "is no length of time"),
        (("shop", "--older-than", "\x1b[2J"), "is no length of time"),
        (("nobody", "--older-than", "3d"), "'nobody' is no configured bot; known: shop"),
        (("--older-than", "3d"), "BOT"),
    ],
)
def test_rubbish_is_named(site: Site, words: tuple[str, ...], told: str) -> None:
    """With what would be right, daemon or not."""
    done = site.run("bots", "prune", *words, "--yes")
    assert done.code == ExitCode.USAGE, done
    assert told in done.err
    assert "\x1b" not in done.err


def test_without_a_daemon_nothing_is_deleted(site: Site) -> None:
    """It owns the store, and so knows what there is."""
    done = site.run("bots", "prune", "shop", "--older-than", "30d", "--yes")
    assert done.code == ExitCode.NOT_RUNNING
    assert str(site.socket) in done.err
