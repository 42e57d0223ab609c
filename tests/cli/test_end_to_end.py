"""The commands against a real store and a Bot API server: what they say when all goes well."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from prewarmd.errors import ExitCode
from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import Town
from tests.cli.conftest import Done, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

OBJECTS = {f"pictures/{n}.jpg": make(Format.JPEG, 20_000 + n, n) for n in range(3)}


class Place:
    """A site in a town."""

    def __init__(self, site: Site, town: Town) -> None:
        self.site = site
        self.town = town

    async def run(self, *words: str | Path) -> Done:
        """Run a command while the town goes on."""
        return await asyncio.to_thread(self.site.run, *words)

    def configure(self, old: str = "", new: str = "") -> None:
        """Write the town's configuration, with something changed."""
        state = f'workers = 1\nstate_dir = "{self.site.state}"\nsocket = "{self.site.socket}"\n'
        text = self.town.configuration(extra=state)
        assert old in text
        self.site.write(text.replace(old, new, 1) if old else text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town with three pictures."""
    async with Town(tmp_path_factory.mktemp("town")) as town:
        await town.store.put_all(list(OBJECTS.items()))
        yield town


@pytest.fixture
def place(site: Site, town: Town) -> Place:
    """A site in the town, without a daemon."""
    here = Place(site, town)
    here.configure()
    return here


async def test_warm_wait_lookup_status_doctor(place: Place) -> None:
    """From keys to file_ids, with nothing but the command line."""
    before = await place.run("doctor")
    assert before.code == ExitCode.OK, before
    assert "skipped  daemon: not running" in before.out

    await asyncio.to_thread(place.site.daemon)
    done = await place.run("warm", "--bot", "alpha", "--prefix", "pictures/", "--wait")
    assert (done.code, done.out) == (0, "3 of 3 ready, 0 failed or cancelled\n")
    key, data = next(iter(OBJECTS.items()))
    sha256 = hashlib.sha256(data).hexdigest()
    found = await place.run("lookup", "alpha", key, "--json")
    assert (found.json["sha256"], found.json["kind"]) == (sha256, "photo")
    for what in ((key,), (key, "photo"), (sha256,), (sha256, "photo")):
        done = await place.run("lookup", "alpha", *what)
        assert (done.code, done.out) == (0, f"{found.json['file_id']}\n")
    other = await place.run("lookup", "alpha", sha256, "video")
    assert other.code == ExitCode.NOT_READY

    mixed = await place.run("warm", "--bot", "alpha", "no/such.jpg", *OBJECTS, "--wait")
    assert mixed.code == ExitCode.NOT_READY
    [failure, summary] = mixed.out.splitlines()
    assert failure.startswith("failed  no/such.jpg  NoSuchKey: ")
    assert summary == "3 of 4 ready, 1 failed or cancelled"
    failed = (await place.run("jobs", "list", "--json", "--state", "failed")).json["jobs"]
    assert [job["key"] for job in failed] == ["no/such.jpg"]

    status = (await place.run("status", "--json")).json
    assert (status["jobs"]["ready"], status["jobs"]["failed"]) == (3, 1)
    after = await place.run("doctor")
    assert after.code == ExitCode.OK, after
    assert "ok       file_ids: all belong to the bots of today" in after.out


async def test_a_photo_that_became_a_document_is_told(place: Place) -> None:
    """Who sends the file_id back as a photo would be refused, and nobody would know why."""
    await place.town.store.put_all([("gone/404.jpg", b"<!DOCTYPE html>" + b" " * 3000)])
    await asyncio.to_thread(place.site.daemon)
    assert (await place.run("warm", "--bot", "gamma", "gone/404.jpg", "--wait")).code == 0
    listed = await place.run("jobs", "list", "--bot", "gamma")
    assert "\tphoto as document\t" in listed.out
    found = await place.run("lookup", "gamma", "gone/404.jpg")
    assert found.out.startswith("BQAC")
    assert "no photo but: document" in found.err


async def test_a_prefix_names_its_failures(place: Place) -> None:
    """An object that Telegram refuses fails its batch: by key, code and message."""
    await place.town.store.put_all([("mixed/empty.jpg", b""), ("mixed/good.jpg", b"x" * 3000)])
    await asyncio.to_thread(place.site.daemon)
    done = await place.run(
        "warm", "--bot", "beta", "--kind", "document", "--prefix", "mixed/", "--wait", "--json"
    )
    assert done.code == ExitCode.NOT_READY
    assert (done.json["listed"], done.json["ready"], done.json["lost"]) == (2, 1, 1)
    [failure] = done.json["failures"]
    assert (failure["key"], failure["error"]["code"]) == ("mixed/empty.jpg", "EmptyObject")
    nothing = await place.run("warm", "--bot", "beta", "--prefix", "nothing/", "--wait")
    assert (nothing.code, nothing.out) == (0, "0 of 0 ready, 0 failed or cancelled\n")


async def test_the_doctor_names_each_ill_and_its_remedy(place: Place) -> None:
    """Bucket, credentials, token and chat: each failed line comes with what helps."""
    ills = [
        ('bucket = "media"', 'bucket = "other"', "bucket other: NoSuchBucket", "bucket's name"),
        ('secret_access_key = "', 'secret_access_key = "x', "BadCredentials", "access_key_id"),
        ('token = "700000001:', 'token = "700000009:', "bot alpha: Unauthorized", "@BotFather"),
        ("id = 900001", "id = 123", "bot alpha, chat 123: ChatNotFound", "add the bot"),
        ('id = 900001, kind = "private"', "id = 900001", "", ""),
    ]
    for old, new, said, remedy in ills:
        place.configure(old, new)
        done = await place.run("doctor")
        failed = [line for line in done.out.splitlines() if line.startswith("failed")]
        assert len(failed) == bool(said), done
        assert done.code == (ExitCode.NOT_READY if said else ExitCode.OK)
        assert said in done.out
        assert remedy in done.out
