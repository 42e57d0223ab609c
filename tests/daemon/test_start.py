"""A start with much to read in: the API accepts already, and nothing is taken in twice."""

from typing import Any

from prewarmd.core.jobs import Kind
from prewarmd.core.records import Snooze
from prewarmd.sandbox.daemon import until
from prewarmd.store.base import NewJob
from prewarmd.store.sqlite import SqliteStore
from prewarmd.supervisor.clock import monotonic, wall
from tests.support.house import House

LEFT = 10_000


async def test_a_prefix_that_comes_while_the_queue_is_read_is_listed_once(house: House) -> None:
    """It was committed before the store's open batches were read, and opened from there, too: the
    second page that was committed ended the daemon."""
    stored = [await house.store() for _ in range(3)]
    house.configure()
    daemon = house.new_daemon()
    bots = {bot.slug: int(bot.token.partition(":")[0]) for bot in house.town.telegram.bots}
    store = await SqliteStore.open(
        daemon.directory, bot_ids=bots, ttl_s=0, wall=wall, clock=monotonic
    )
    bucket = house.town.store.bucket
    left = [NewJob("alpha", bucket, f"left/{n}.jpg", Kind.PHOTO) for n in range(LEFT)]
    admitted = (await store.submit(left)).admissions
    later = monotonic() + 3600
    await store.apply([Snooze(one.job, later, "Later", "put off", 1, False) for one in admitted])
    await store.close()
    await daemon.start(ready=False)
    try:
        batch = await daemon.ask("POST", "/v1/jobs", {"bot": "alpha", "prefix": house.prefix})

        async def finished() -> Any:
            found = await daemon.ask("GET", f"/v1/batches/{batch['batch']}")
            return found if found["finished"] else None

        found = await until(finished)
        assert (found["listed"], found["submitted"]) == (len(stored), len(stored))
        await daemon.until_ready()
    finally:
        assert await daemon.stop() == 0
