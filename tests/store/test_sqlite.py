"""The durable half: what is acknowledged is there, what is ready was committed."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import psutil
import pytest

from prewarmd.core import records
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.errors import AlreadyRunningError, StoreDamagedError, StoreUnwritableError
from prewarmd.store.base import JobQuery, NewJob
from prewarmd.store.lock import holder
from prewarmd.store.migrate import migrations
from prewarmd.store.sqlite import SqliteStore

SHA = "ab" * 32
SHA2 = "cd" * 32
NOW = [1_000_000.0]


@asynccontextmanager
async def opened(folder: Path, bot_id: int = 11, ttl_s: float = 300) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(
        folder, bot_ids={"alpha": bot_id, "beta": 22}, ttl_s=ttl_s,
        wall=lambda: NOW[0], clock=lambda: NOW[0] - 900_000,
    )  # fmt: skip
    try:
        yield store
    finally:
        await store.close()


def opened_below(folder: Path) -> list[str]:
    """The files there that this process has open."""
    paths = [file.path for file in psutil.Process().open_files()]
    return [path for path in paths if path.startswith(str(folder))]


def photo(key: str, bot: str = "alpha", sha256: str | None = None) -> NewJob:
    return NewJob(bot, "media", key, Kind.PHOTO, sha256=sha256)


def seen(key: str, etag: str, sha256: str, ago_s: float = 0.0) -> records.See:
    asked = NOW[0] - 900_000 - ago_s
    return records.See("media", key, etag, sha256, 123, asked)


def complete(job: JobId, sha256: str = SHA, file_id: str = "F1") -> records.Complete:
    return records.Complete(
        job, "alpha", sha256, "photo", "photo", 123, file_id, "U" + file_id, -100, 5
    )


async def test_a_submit_is_one_job_while_it_is_unfinished(tmp_path: Path) -> None:
    """Idempotent by (bot, bucket, key, kind) and by (bot, promised content, kind)."""
    async with opened(tmp_path) as store:
        first = await store.submit([photo("a"), photo("a"), photo("a", bot="beta")])
        assert [a.created for a in first.admissions] == [True, False, True]
        assert first.admissions[0].job == first.admissions[1].job
        assert len(first.rows) == 2
        second = await store.submit([photo("x", sha256=SHA), photo("y", sha256=SHA)])
        assert second.admissions[0].job == second.admissions[1].job
        assert store.counts().by_state[JobState.QUEUED] == 3


async def test_ready_is_answered_at_once_only_for_known_content(tmp_path: Path) -> None:
    """A promised hash that is ready answers; a key alone does, for as long as the TTL."""
    async with opened(tmp_path) as store:
        job = (await store.submit([photo("a")])).admissions[0].job
        see = seen("a", "etag1", SHA, ago_s=100.0)
        await store.apply([records.Start(job, 1), see, complete(job)])
        again = (await store.submit([photo("a")])).admissions[0]
        assert (again.job, again.state, again.created) == (job, JobState.READY, False)
        other = (await store.submit([photo("b", sha256=SHA)])).admissions[0]
        assert (other.state, other.created) == (JobState.READY, True)
        row = await store.job(other.job)
        assert row is not None
        assert row.file_id == "F1"
        NOW[0] += 199
        again = (await store.submit([photo("a")])).admissions[0]
        assert again.job == job
        NOW[0] += 2  # from when the store was asked, not from when the GET was over
        later = (await store.submit([photo("a")])).admissions[0]
        assert (later.state, later.created) == (JobState.QUEUED, True)
        queued = await store.job(later.job)
        assert queued is not None
        assert (queued.etag, queued.etag_sha256, queued.sha256) == ("etag1", SHA, None)


async def test_an_overwritten_key_answers_the_old_media_until_the_new_is_ready(
    tmp_path: Path,
) -> None:
    """Seeing new content does not unanswer the old; its being ready does."""
    async with opened(tmp_path, ttl_s=0) as store:
        one = (await store.submit([photo("a")])).admissions[0].job
        await store.apply([seen("a", "e1", SHA), complete(one)])
        two = (await store.submit([photo("a")])).admissions[0].job
        await store.apply([records.Start(two, 1), seen("a", "e2", SHA2)])
        media = await store.media_by_key("alpha", "media", "a", None)
        assert media is not None
        assert media.file_id == "F1"
        NOW[0] += 1
        await store.apply([complete(two, SHA2, "F2")])
        media = await store.media_by_key("alpha", "media", "a", Kind.PHOTO)
        assert media is not None
        assert media.file_id == "F2"


async def test_a_slug_with_another_bot_keeps_its_jobs_but_not_its_file_ids(tmp_path: Path) -> None:
    """file_ids belong to bot_id; the catalogue says how many became stale."""
    async with opened(tmp_path) as store:
        job = (await store.submit([photo("a", sha256=SHA)])).admissions[0].job
        await store.apply([complete(job)])
        [known] = await store.recall([("alpha", SHA, Kind.PHOTO)])
        assert known.ready
    async with opened(tmp_path, bot_id=99) as store:
        assert store.counts().stale_bot_rows == {"alpha": 1}
        assert await store.media("alpha", SHA, Kind.PHOTO) is None
        row = await store.job(job)
        assert row is not None
        assert (row.state, row.file_id) == (JobState.READY, None)
        new = (await store.submit([photo("a", sha256=SHA)])).admissions[0]
        assert (new.state, new.created) == (JobState.QUEUED, True)
        await store.apply([complete(new.job, file_id="F9")])
        assert store.counts().stale_bot_rows == {}
        assert store.counts().catalogue_rows == 1


async def test_a_late_record_changes_nothing(tmp_path: Path) -> None:
    """Each write carries its precondition: a cancelled job is neither started nor failed."""
    async with opened(tmp_path) as store:
        job = (await store.submit([photo("a")])).admissions[0].job
        assert await store.cancel(job) is JobState.CANCELLED
        await store.apply([records.Start(job, 1), records.Fail(job, "NoSuchKey", "", 1)])
        row = await store.job(job)
        assert row is not None
        assert row.state is JobState.CANCELLED
        assert store.counts().by_state[JobState.CANCELLED] == 1
        retried = await store.retry(job)
        assert not isinstance(retried, JobState)
        assert retried is not None
        assert retried.state is JobState.QUEUED


async def test_a_failed_job_says_whether_it_may_have_been_sent(tmp_path: Path) -> None:
    """Its last attempt may be in the chat; whoever tries it again is to know."""
    async with opened(tmp_path) as store:
        jobs = [a.job for a in (await store.submit([photo("a"), photo("b")])).admissions]
        doubtful = [True, False]
        await store.apply([
            records.Fail(job, "NoAnswer", "", 8, maybe_sent)
            for job, maybe_sent in zip(jobs, doubtful, strict=True)
        ])  # fmt: skip
        rows = [await store.job(job) for job in jobs]
        assert [row and (row.state, row.maybe_sent) for row in rows] == [
            (JobState.FAILED, each) for each in doubtful
        ]
        again = await store.retry(jobs[0])
        assert again is not None
        assert not isinstance(again, JobState)
        assert again.maybe_sent


async def test_orphans_come_back_marked(tmp_path: Path) -> None:
    """What was running when the supervisor died may have been sent; it is queued, uncharged."""
    async with opened(tmp_path) as store:
        jobs = [a.job for a in (await store.submit([photo("a"), photo("b")])).admissions]
        await store.apply([records.Start(jobs[0], 1)])
    async with opened(tmp_path) as store:
        assert await store.adopt_orphans() == 1
        rows = await store.claim(JobId(0), 10)
        assert [(r.id, r.state, r.maybe_sent, r.attempt) for r in rows] == [
            (jobs[0], JobState.QUEUED, True, 0),
            (jobs[1], JobState.QUEUED, False, 0),
        ]


async def test_a_page_and_its_checkpoint_are_one_commit(tmp_path: Path) -> None:
    """A batch knows what it listed, submitted and finished, duplicates counted once."""
    async with opened(tmp_path) as store:
        batch = await store.add_batch("alpha", "media", "p/", None)
        page = [photo("p/a"), photo("p/b"), photo("p/a")]
        done = await store.submit_page(batch.id, page, 3, "p/b", True)
        await store.apply([complete(done.admissions[0].job)])
        row = await store.batch(batch.id)
        assert row is not None
        assert (row.listed, row.submitted, row.ready, row.after) == (3, 2, 1, "p/b")
        assert not row.finished
        assert await store.open_batches() == []


async def test_pages_of_jobs_newest_first(tmp_path: Path) -> None:
    """`before` continues a listing."""
    async with opened(tmp_path) as store:
        await store.submit([photo(str(n)) for n in range(5)])
        page = await store.jobs(JobQuery(limit=3))
        rest = await store.jobs(JobQuery(before=page[-1].id))
        assert [row.key for row in page + rest] == ["4", "3", "2", "1", "0"]


async def test_one_daemon_per_state_directory(tmp_path: Path) -> None:
    """The second is told who is first; a crash leaves nothing that has to be cleaned up."""
    async with opened(tmp_path):
        assert holder(tmp_path) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
            await SqliteStore.open(
                tmp_path, bot_ids={}, ttl_s=1, wall=lambda: 0.0, clock=lambda: 0.0
            )
    assert holder(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
async def test_a_damaged_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    """Empty or foreign where one was written before: refuse, change nothing."""
    async with opened(tmp_path):
        pass
    database = tmp_path / "prewarmd.db"
    database.write_bytes(content)
    with pytest.raises(StoreDamagedError):
        async with opened(tmp_path):
            pass
    assert database.read_bytes() == content
    assert holder(tmp_path) is None
    assert opened_below(tmp_path) == []


async def test_an_opening_that_is_given_up_says_nothing(tmp_path: Path) -> None:
    """Ctrl-C while a large database is being checked: the thread comes to its end unheard, and the
    directory is free."""
    opening, go = threading.Event(), threading.Event()

    class Slow(SqliteStore):
        def _open_writer(self) -> apsw.Connection:
            opening.set()
            assert go.wait(5)
            return super()._open_writer()

    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    task = asyncio.create_task(
        Slow.open(tmp_path, bot_ids={}, ttl_s=1, wall=lambda: 0.0, clock=lambda: 0.0)
    )
    assert await asyncio.to_thread(opening.wait, 5)
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert raised == []
    assert holder(tmp_path) is None
    assert opened_below(tmp_path) == []


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A downgrade does not touch what it does not know."""
    async with opened(tmp_path):
        pass
    db = apsw.Connection(str(tmp_path / "prewarmd.db"))
    db.pragma("user_version", 999)
    db.close()
    with pytest.raises(StoreDamagedError, match="999"):
        async with opened(tmp_path):
            pass
    assert opened_below(tmp_path) == []


async def test_an_operation_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    """Those of its group are committed without it, and nothing of it stays behind."""

    def fails(db: apsw.Connection) -> None:
        db.execute("UPDATE jobs SET key = 'half'")
        raise KeyError("a bug")

    async with opened(tmp_path) as store:
        first, bug, second = await asyncio.gather(
            store.submit([photo("a")]),
            store._write.ask(fails),
            store.submit([photo("b")]),
            return_exceptions=True,
        )
        assert not isinstance(first, BaseException)
        assert not isinstance(second, BaseException)
        assert isinstance(bug, KeyError)
        assert [row.key for row in await store.jobs(JobQuery())] == ["b", "a"]
        assert store.counts().by_state[JobState.QUEUED] == 2


async def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the directory."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StoreUnwritableError, match="file"):
        async with opened(file / "state"):
            pass


def test_the_schema_names_exactly_our_states() -> None:
    """The CHECK of the jobs table is the enum."""
    sql = migrations("sqlite")[0][1]
    check = re.search(r"CHECK \((state = .*?)\)", sql, re.DOTALL)
    assert check is not None
    assert re.findall(r"'(\w+)'", check[1]) == [str(state) for state in JobState]


@pytest.mark.parametrize(
    "sql",
    [
        (
            "INSERT INTO jobs (bot, bucket, key, kind, state, created_at, updated_at)"
            " VALUES ('a', 'm', 'k', 'photo', 'queued', 0, 0)"
        ),
        "UPDATE jobs SET state = 'running' WHERE id = 1",
        (
            "INSERT INTO media_cache (bot_slug, bot_id, sha256, kind, created_at, updated_at)"
            " VALUES ('a', 1, 's', 'photo', 0, 0)"
        ),
    ],
)
def test_writing_a_row_fills_no_temporary_table(sql: str) -> None:
    """SQLite would, for an IN in a CHECK or in an index's condition: a submit, a start and an end
    cost twice as much then."""
    db = apsw.Connection(":memory:")
    for _, script in migrations("sqlite"):
        db.execute(script)
    steps = [row[1] for row in db.execute(f"EXPLAIN {sql}")]
    assert "OpenWrite" in steps
    assert "OpenEphemeral" not in steps


ACKER = """
import asyncio, itertools, sys
from pathlib import Path
from prewarmd.core.jobs import Kind
from prewarmd.store.base import NewJob
from prewarmd.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), bot_ids={"alpha": 1}, ttl_s=1,
                                   wall=lambda: 0.0, clock=lambda: 0.0)
    async def client(name):
        for n in itertools.count():
            key = f"{sys.argv[2]}-{name}-{n}"
            await store.submit([NewJob("alpha", "m", key, Kind.PHOTO)])
            print(key, flush=True)
    await asyncio.gather(*map(client, range(8)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """A process that submits and prints acknowledgements is killed; each printed job is there."""
    acknowledged: set[str] = set()
    for run in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", ACKER, str(tmp_path), str(run)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(100 + 37 * run):
            acknowledged.add(process.stdout.readline().decode().strip())
        process.send_signal(signal.SIGKILL)
        acknowledged.update(process.stdout.read().decode().split("\n")[:-1])
        process.wait()
        process.stdout.close()
    async with opened(tmp_path) as store:
        stored = {row.key for row in await store.claim(JobId(0), 1_000_000)}
    assert len(acknowledged) > 400
    assert acknowledged <= stored


async def test_a_full_disk_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    """A commit that cannot be written raises for its waiters; the next one works again."""
    async with opened(tmp_path) as store:
        await store.submit([photo("before")])
        limit = await store._write.ask(lambda db: db.pragma("page_count"))
        await store._write.ask(lambda db: db.pragma("max_page_count", limit + 2))
        with pytest.raises(StoreUnwritableError):
            await store.submit([photo("k" * 1000 + str(n)) for n in range(100)])
        assert store.counts().by_state[JobState.QUEUED] == 1
        await store._write.ask(lambda db: db.pragma("max_page_count", 1_000_000))
        await store.submit([photo("after")])
        assert store.counts().by_state[JobState.QUEUED] == 2
