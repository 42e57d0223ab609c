"""What the catalogue does with file_ids that are good no more, and with the messages it keeps."""

from pathlib import Path

import apsw
import pytest

from prewarmd.core import records
from prewarmd.core.about import About
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.store.base import NewJob, Recollection
from prewarmd.store.migrate import migrations
from prewarmd.store.sqlite import DATABASE, SqliteStore
from tests.store.test_sqlite import NOW, SHA, SHA2, complete, opened, photo

CONTENT = ("alpha", SHA, Kind.PHOTO)


async def made_ready(store: SqliteStore, key: str = "a", sha256: str = SHA) -> JobId:
    job = (await store.submit([photo(key, sha256=sha256)])).admissions[0].job
    await store.apply([records.Start(job, 1), complete(job, sha256, f"F-{key}")])
    return job


def stale(file_id: str) -> records.FileIdStale:
    return records.FileIdStale(*CONTENT, file_id, "400 wrong file identifier")


async def recalled(store: SqliteStore) -> Recollection:
    [known] = await store.recall([CONTENT])
    return known


async def test_a_report_makes_it_not_ready_and_admits_a_job_for_its_object(tmp_path: Path) -> None:
    """Other users would be given the dead file_id until it is renewed."""
    async with opened(tmp_path) as store:
        about = About(thumbnail="t.jpg")
        film = NewJob("alpha", "media", "v", Kind.VIDEO, SHA, 123, about=about)
        job = (await store.submit([film])).admissions[0].job
        done = records.Complete(job, "alpha", SHA, "video", "video", 123, "F", "U", -100, 5)
        await store.apply([records.Start(job, 1), done])
        renewal = await store.stale("alpha", SHA, Kind.VIDEO, "F")
        assert renewal is not None
        assert renewal.submitted is not None
        [row] = renewal.submitted.rows
        assert (row.bucket, row.key, row.sha256, row.claimed) == ("media", "v", SHA, True)
        assert (row.size_bytes, row.about, row.state) == (123, about, JobState.QUEUED)
        assert await store.media("alpha", SHA, Kind.VIDEO) is None
        assert store.counts().stale_rows == 1
        [known] = await store.recall([("alpha", SHA, Kind.VIDEO)])
        assert known == Recollection(False, "F", "video", -100, 5)

        again = await store.stale("alpha", SHA, Kind.VIDEO, None)
        assert again is not None
        assert again.submitted is not None
        [admission] = again.submitted.admissions
        assert (admission.job, admission.created) == (row.id, False), "one renewal at a time"

        renewed = records.Complete(row.id, "alpha", SHA, "video", "video", 123, "G", "U", -1, 6)
        await store.apply([records.Start(row.id, 1), renewed])
        media = await store.media("alpha", SHA, Kind.VIDEO)
        assert media is not None
        assert media.file_id == "G"
        assert store.counts().stale_rows == 0
    async with opened(tmp_path) as store:
        assert (store.counts().stale_rows, store.counts().catalogue_rows) == (0, 1)


async def test_a_late_report_of_an_old_file_id_changes_nothing(tmp_path: Path) -> None:
    """An application with a cache of its own reports what was renewed an hour ago."""
    async with opened(tmp_path) as store:
        await made_ready(store)
        renewal = await store.stale(*CONTENT, "F-of-yesterday")
        assert renewal is not None
        assert renewal.submitted is None
        assert renewal.ready is not None
        assert renewal.ready.file_id == "F-a"
        await store.apply([stale("F-of-yesterday")])
        assert (await recalled(store)).ready
        assert store.counts().stale_rows == 0


async def test_what_was_never_ready_cannot_be_reported(tmp_path: Path) -> None:
    """None, so that the API can say so: also of another bot's file_ids, under the same slug."""
    async with opened(tmp_path) as store:
        assert await store.stale(*CONTENT, None) is None
        await made_ready(store)
    async with opened(tmp_path, bot_id=99) as store:
        assert await store.stale(*CONTENT, None) is None
        assert await recalled(store) == Recollection()


async def test_what_telegram_refuses_is_written_down(tmp_path: Path) -> None:
    """A restart would send the dead file_id, or forward the deleted message, once more."""
    async with opened(tmp_path) as store:
        await made_ready(store)
        await store.apply([stale("F-a"), records.MessageGone(*CONTENT, -100, 77)])
        assert await recalled(store) == Recollection(False, "F-a", "photo", -100, 5)
        await store.apply([records.MessageGone(*CONTENT, -100, 5)])
    async with opened(tmp_path) as store:
        assert await recalled(store) == Recollection(False, "F-a", "photo", 0, 0)
        assert store.counts().stale_rows == 1


async def test_a_probe_is_nobodys_submit(tmp_path: Path) -> None:
    """A client that submits the same object would be told that a ready media is queued, behind
    everything."""
    async with opened(tmp_path) as store:
        assert await store.probe(0.5) == []
        ready = await made_ready(store)
        [row] = await store.probe(0.5)
        assert (row.is_probe, row.priority, row.claimed, row.sha256) == (True, 0, True, SHA)
        assert row.size_bytes == 123
        again = (await store.submit([photo("a", sha256=SHA)])).admissions[0]
        assert (again.job, again.state) == (ready, JobState.READY)
        other = (await store.submit([photo("a")])).admissions[0]  # perhaps overwritten by now
        assert other.created
        assert other.job != row.id
        assert await store.media(*CONTENT) is not None
    async with opened(tmp_path) as store:
        rows = {one.id: one.is_probe for one in await store.claim(JobId(0), 10)}
        assert rows == {row.id: True, other.job: False}


@pytest.mark.parametrize(("chance", "key"), [(0.0, "a"), (0.49, "a"), (0.5, "b"), (0.999, "b")])
async def test_chance_decides_which_is_probed(tmp_path: Path, chance: float, key: str) -> None:
    """Always the same one would be looked at, and the others never."""
    async with opened(tmp_path) as store:
        await made_ready(store, "a", SHA)
        await made_ready(store, "b", SHA2)
        [row] = await store.probe(chance)
        assert row.key == key


async def test_only_what_is_ready_for_todays_bot_is_probed(tmp_path: Path) -> None:
    """The file_id of a bot that has left its slug is refused to the new one, of course."""
    async with opened(tmp_path) as store:
        await made_ready(store, "a", SHA)
        await made_ready(store, "b", SHA2)
        await store.apply([stale("F-a")])
        assert [row.key for row in await store.probe(0.0)] == ["b"]
    async with opened(tmp_path, bot_id=99) as store:
        assert await store.probe(0.0) == []


async def test_messages_come_in_pages_and_are_forgotten_one_by_one(tmp_path: Path) -> None:
    """An operator tidies up a chat of a million messages, and is interrupted."""
    async with opened(tmp_path) as store:
        for number in range(5):
            await made_ready(store, f"{number}", f"{number}" * 64)
            NOW[0] += 10
        page = await store.messages("alpha", NOW[0] - 15, 0, 3)
        assert [one.sha256[0] for one in page] == ["0", "1", "2"]
        rest = await store.messages("alpha", NOW[0] - 15, page[-1].media, 3)
        assert [one.sha256[0] for one in rest] == ["3"], "the last is too young"
        first = page[0]
        assert (first.kind, first.chat_id, first.message_id) == (Kind.PHOTO, -100, 5)
        gone = [(first.media, 5), (page[1].media, 77), (999, 5)]
        assert await store.forget_messages("beta", gone) == 0
        assert await store.forget_messages("alpha", gone) == 1
        left = await store.messages("alpha", NOW[0], 0, 10)
        assert first.media not in [one.media for one in left]
        media = await store.media("alpha", first.sha256, Kind.PHOTO)
        assert media is not None, "its file_id is as good as before"


async def test_media_of_before_this_schema_are_renewed(tmp_path: Path) -> None:
    """Which job made them ready was not written down then; it is looked for."""
    old = apsw.Connection(str(tmp_path / DATABASE))
    old.pragma("journal_mode", "wal")
    with old:
        for number, script in migrations("sqlite"):
            if number <= 4:
                old.execute(script)
        old.pragma("application_id", 0x70777264)
        old.pragma("user_version", 4)
        old.execute(
            """INSERT INTO jobs (bot, bucket, key, kind, state, size_bytes, sha256, created_at,
                                 updated_at) VALUES ('alpha', 'media', 'a', 'photo', 'ready', 9, ?,
                                 0, 0)""",
            (SHA,),
        )
        old.execute(
            """INSERT INTO media_cache (bot_slug, bot_id, sha256, kind, actual_kind, tg_file_id,
                      tg_file_unique_id, warmup_chat_id, warmup_message_id, warmup_at, status,
                      created_at, updated_at)
               VALUES ('alpha', 11, ?, 'photo', 'photo', 'F', 'U', -100, 5, 0, 'ready', 0, 0)""",
            (SHA,),
        )
    old.close()
    async with opened(tmp_path) as store:
        renewal = await store.stale(*CONTENT, None)
        assert renewal is not None
        assert renewal.submitted is not None
        assert [(row.key, row.size_bytes) for row in renewal.submitted.rows] == [("a", 9)]
        assert await recalled(store) == Recollection(False, "F", "photo", -100, 5)
