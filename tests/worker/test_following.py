"""Uploads that follow fetches, and relays, as a child does them when it is told by its pipe: each
task answers once, whenever it is dropped or sealed, and none before its memory is free."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from prewarmd.core import reports, verbs
from prewarmd.core.jobs import Kind
from prewarmd.worker.landing import HASHED_AT_ONCE
from prewarmd.worker.relay import AT_ONCE
from prewarmd.worker.spec import TelegramSpec
from tests.support.loops import OnLoop, until_true
from tests.worker.children import Child, child
from tests.worker.http.servers import Scripted, serving, silence
from tests.worker.recipients import Recipient, reading
from tests.worker.stores import Ask, RangedStore, refusal_of

BODY = os.urandom(1_500_000)
FETCH, UPLOAD = 1, 2

pytestmark = pytest.mark.parametrize("on_loop", [uvloop.new_event_loop], indirect=True)
"""A child's own; a session with a store takes a while to begin."""


class SlowStore(RangedStore):
    """It sends the second half when it may."""

    def __init__(self, body: bytes = BODY) -> None:
        super().__init__(body)
        self.goes_on = asyncio.Event()

    async def send(self, ask: Ask, writer: asyncio.StreamWriter, size_bytes: int) -> None:
        """See RangedStore."""
        half = len(self.body) // 2
        if ask.start < half:
            await super().send(ask, writer, half - ask.start)
            await self.goes_on.wait()
        rest = Ask(ask.head, ask.number, max(half, ask.start), ask.end, ask.is_plain)
        await super().send(rest, writer, rest.end - rest.start)


def fetch(sha256: str = "", size_bytes: int = len(BODY)) -> verbs.Fetch:
    """Of the one object there is."""
    return verbs.Fetch(FETCH, 0, 1, 1, "media", "x", 0, size_bytes, "", sha256)


def upload(task: int = UPLOAD, behind: int = FETCH) -> verbs.Upload:
    """Of what is fetched."""
    return verbs.Upload(
        task, task, 1, 1, "alpha", 1, Kind.DOCUMENT, 0, len(BODY), "x.bin", behind
    )  # fmt: skip


def relay(task: int) -> verbs.Relay:
    """Of the same object."""
    return verbs.Relay(
        task, task, 1, 1, "alpha", 1, Kind.DOCUMENT, "media", "x", len(BODY), "", "x.bin"
    )


@asynccontextmanager
async def between(
    store: RangedStore, recipient: Recipient
) -> AsyncIterator[tuple[Child, Scripted]]:
    """A child between both servers, and the store's."""
    async with (
        serving(store) as near,
        serving(recipient) as far,
        child(near.url, TelegramSpec(far.url)) as worker,
    ):
        yield worker, near


async def following(worker: Child, recipient: Recipient, sha256: str = "") -> None:
    """A fetch is under way, and an upload behind it."""
    worker.say(fetch(sha256))
    await worker.hears(reports.Landing, FETCH)
    worker.say(upload())
    await until_true(lambda: recipient.heard_bytes > HASHED_AT_ONCE)


def test_a_seal_comes_with_what_it_seals(on_loop: OnLoop) -> None:
    """A supervisor says both in one breath when the fetch was over before it knew: an upload that
    misses its seal holds lane, slot and memory for ever."""

    async def run() -> None:
        recipient = reading()
        async with between(RangedStore(BODY), recipient) as (worker, _):
            worker.say(fetch())
            fetched = await worker.hears(reports.Fetched, FETCH)
            assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
            worker.say(upload(), verbs.Seal(UPLOAD))
            assert (await worker.hears(reports.UploadFailed, UPLOAD)).code == "BadAnswer"
            assert BODY in recipient.heard

    on_loop(run())


@pytest.mark.parametrize("verb", ["upload", "relay", "behind what is over"])
def test_a_drop_comes_with_what_it_drops(on_loop: OnLoop, verb: str) -> None:
    """A task that ends before it has begun would never answer, and its slot be lost."""

    async def run() -> None:
        recipient, slow = reading(), SlowStore()
        async with between(slow, recipient) as (worker, _):
            if verb == "upload":
                worker.say(fetch())
                await worker.hears(reports.Landing, FETCH)
            message = relay(UPLOAD) if verb == "relay" else upload()
            worker.say(message, verbs.Drop(UPLOAD))
            assert (await worker.hears(reports.UploadFailed, UPLOAD)).code == "Stopped"

    on_loop(run())


def test_the_end_comes_with_the_seal_and_not_before(on_loop: OnLoop) -> None:
    """It begins while its bytes still come, and the first 64 KiB tell what it is."""

    async def run() -> None:
        recipient, slow = reading(), SlowStore()
        async with between(slow, recipient) as (worker, _):
            await following(worker, recipient)
            assert recipient.heard_bytes < len(BODY)
            slow.goes_on.set()
            await worker.hears(reports.Fetched, FETCH)
            await until_true(lambda: BODY in recipient.heard)
            assert not recipient.heard.endswith(b"--\r\n")
            worker.say(verbs.Seal(UPLOAD))
            await worker.hears(reports.UploadFailed, UPLOAD)
            assert recipient.heard.endswith(b"--\r\n")

    on_loop(run())


@pytest.mark.parametrize("how", ["dropped", "other bytes", "broken"])
def test_a_fetch_that_fails_takes_its_uploads_with_it(on_loop: OnLoop, how: str) -> None:
    """They answer before it: then its memory is another's."""

    async def run() -> None:
        recipient, slow = reading(), SlowStore()
        async with between(slow, recipient) as (worker, near):
            await following(worker, recipient, "0" * 64 if how == "other bytes" else "")
            if how == "dropped":
                worker.say(verbs.Drop(FETCH))
            elif how == "broken":
                slow.misdeed = refusing
                for writer in near.accepted:
                    writer.transport.abort()
            slow.goes_on.set()
            failed = await worker.hears(reports.FetchFailed, FETCH)
            codes = {"dropped": "Stopped", "other bytes": "Sha256Mismatch"}
            assert failed.code == codes.get(how, "StoreError")
            assert worker.answered == [UPLOAD, FETCH]
            stopped = await worker.hears(reports.UploadFailed, UPLOAD)
            assert stopped.code == "Stopped"
            await recipient.was_reset.wait()
            assert not recipient.heard.endswith(b"--\r\n")

    on_loop(run())


async def refusing(_: Ask, writer: asyncio.StreamWriter) -> bool:
    """A store that is busy from now on."""
    writer.write(refusal_of("503 Slow"))
    return True


def test_who_is_dropped_twice_answers(on_loop: OnLoop) -> None:
    """A fetch that has failed waits for the uploads behind it, here for one that is connecting to
    a server which says nothing; dropped once more it would go without a word."""

    async def run() -> None:
        slow = SlowStore()

        async def mute(*_: object) -> None:
            await silence()

        async with serving(slow) as store, serving(mute) as far:

            async def connected(times: int) -> None:
                await until_true(lambda: len(far.accepted) == times)

            spec = TelegramSpec(far.url.replace("http:", "https:"))
            async with child(store.url, spec) as worker:
                worker.say(fetch())
                await worker.hears(reports.Landing, FETCH)
                worker.say(upload())
                await connected(1)
                for number in (1, 2):
                    worker.say(verbs.Drop(FETCH), verbs.AskChat(6 + number, "alpha", 1))
                    await connected(1 + number)
                assert worker.answered == []
                worker.say(verbs.Drop(UPLOAD))
                failed = await worker.hears(reports.FetchFailed, FETCH)
                assert failed.code == "Stopped"
                assert worker.answered == [UPLOAD, FETCH]

    on_loop(run())


def test_a_relay_that_is_dropped_in_line_answers(on_loop: OnLoop) -> None:
    """It has no window yet; its lane and slot would be lost, and the line go on without it."""

    async def run() -> None:
        recipient, slow = reading(), SlowStore()
        async with between(slow, recipient) as (worker, _):
            worker.say(*map(relay, range(1, AT_ONCE + 3)))
            await until_true(lambda: len(slow.asked) == AT_ONCE)
            worker.say(verbs.Drop(AT_ONCE + 1))
            stopped = await worker.hears(reports.UploadFailed, AT_ONCE + 1)
            assert stopped.code == "Stopped"
            slow.goes_on.set()
            for task in range(1, AT_ONCE + 1):
                await worker.hears(reports.Passed, task)
            worker.say(verbs.Drop(1))
            passed = await worker.hears(reports.Passed, AT_ONCE + 2)
            assert passed.sha256 == hashlib.sha256(BODY).hexdigest()
            worker.say(verbs.Seal(AT_ONCE + 2))
            await worker.hears(reports.UploadFailed, AT_ONCE + 2)
            assert slow.asked[-1].number == AT_ONCE

    on_loop(run())


def test_an_object_that_was_told_of_does_not_become_another(on_loop: OnLoop) -> None:
    """Between the word that it lands and the upload that follows it may come anew, in other memory:
    that upload would send what lies in the old."""

    async def run() -> None:
        body = os.urandom(16 << 20)
        other = RangedStore(os.urandom(3_000_000), headers=('ETag: "two"',))
        first = RangedStore(body)
        told = asyncio.Event()

        async def misdeed(ask: Ask, writer: asyncio.StreamWriter) -> bool:
            if ask.number == 0:
                return False
            await told.wait()
            first.body = other.body
            first.headers = other.headers
            writer.write(first.head(Ask(ask.head, 0, 0, len(first.body), is_plain=True)))
            await first.send(Ask(ask.head, 0, 0, len(first.body), is_plain=True), writer, 3_000_000)
            return True

        first.misdeed = misdeed
        async with serving(first) as store, child(store.url, TelegramSpec(store.url)) as worker:
            worker.say(fetch(size_bytes=len(body)))
            await worker.hears(reports.Landing, FETCH)
            told.set()
            failed = await worker.hears(reports.FetchFailed, FETCH)
            assert failed.code == "ObjectChanged"

    on_loop(run())
