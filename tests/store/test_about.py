"""What clients say of their media, as it is kept between submit and upload."""

from pathlib import Path

import apsw

from prewarmd.core import records
from prewarmd.core.about import About
from prewarmd.core.jobs import JobId, Kind
from prewarmd.store.base import NewJob
from prewarmd.store.migrate import APPLICATION_ID, migrations
from prewarmd.store.sqlite import SqliteStore

FILM = About(640, 360, 12.5, "thumbs/film.jpg")


async def opened(folder: Path) -> SqliteStore:
    """A store with one bot."""
    return await SqliteStore.open(
        folder, bot_ids={"alpha": 11}, ttl_s=300, wall=lambda: 1000.0, clock=lambda: 0.0
    )


def film(about: About | None) -> NewJob:
    """The same one each time."""
    return NewJob("alpha", "media", "film.mp4", Kind.VIDEO, about=about)


async def test_it_outlives_a_restart_and_a_retry(tmp_path: Path) -> None:
    """The media of a job that waited over a restart would be without it for good."""
    store = await opened(tmp_path)
    [row] = (await store.submit([film(FILM)])).rows
    await store.submit([NewJob("alpha", "media", "x.ogg", Kind.VOICE, about=About(duration_s=3))])
    await store.submit([NewJob("alpha", "media", "x.jpg", Kind.PHOTO)])
    assert row.about == FILM
    await store.close()
    again = await opened(tmp_path)
    abouts = [row.about for row in await again.claim(JobId(0), 10)]
    assert abouts == [FILM, About(duration_s=3.0), None]
    await again.apply([records.Fail(row.id, "NoThumbnail", "", 0)])
    retried = await again.retry(row.id)
    assert not isinstance(retried, str | None)
    assert retried.about == FILM
    await again.close()


async def test_a_submit_that_is_a_job_already_changes_nothing_of_it(tmp_path: Path) -> None:
    """Its upload may be under way: what it takes along is what the first submit said."""
    store = await opened(tmp_path)
    first = (await store.submit([film(FILM)])).admissions[0]
    second = (await store.submit([film(About(1, 1))])).admissions[0]
    assert (second.job, second.created) == (first.job, False)
    row = await store.job(first.job)
    assert row is not None
    assert row.about == FILM
    await store.close()


async def test_jobs_of_before_say_nothing(tmp_path: Path) -> None:
    """A database of the version before opens, and its queue is read."""
    db = apsw.Connection(str(tmp_path / "prewarmd.db"))
    for number, sql in migrations("sqlite")[:3]:
        db.execute(sql)
        db.pragma("user_version", number)
    db.pragma("application_id", APPLICATION_ID)
    db.execute(
        "INSERT INTO jobs (bot, bucket, key, kind, state, created_at, updated_at) "
        "VALUES ('alpha', 'media', 'old.mp4', 'video', 'queued', 1, 1)"
    )
    db.close()
    store = await opened(tmp_path)
    [row] = await store.claim(JobId(0), 10)
    assert (row.key, row.about) == ("old.mp4", None)
    await store.close()
