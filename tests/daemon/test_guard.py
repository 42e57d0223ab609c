"""Uploads of exactly one size, which a hosted Bot API server does not like (telegram.md fact 5)."""

import asyncio

from prewarmd.sandbox.media import Format
from prewarmd.sandbox.town import BotApi
from tests.marathon import FLOODS, RATES
from tests.support.house import House

SAME, SIZE_BYTES = 20, 150_000
STRICT = FLOODS | {"same_size_ahead_s": 0.5}
"""A tenth of what the real guard lets queue, so that few uploads and little time show it."""


async def test_uploads_of_one_size_never_hit_the_guard(house: House) -> None:
    """Who hits it waits for a minute, with all that the bot has: a catalogue of equal thumbnails,
    or one object that is tried again and again, would stop everything else."""
    files = [
        (f"{house.prefix}{number}.jpg", house.media(Format.JPEG, SIZE_BYTES))
        for number in range(SAME)
    ]
    assert len(dict.fromkeys(data for _, data in files)) == SAME
    await house.town.store.put_all(files)
    telegram = BotApi(house.town.telegram.bots, server="hosted", floods=STRICT)
    await telegram.start()
    try:
        text = 'api_base = "{}"\n\n[limits]\nprofile = "{}"\n'
        theirs = text.format(house.town.telegram.base, "none")
        ours = text.format(telegram.base, "documented") + RATES
        async with house.daemon(replace=(theirs, ours)) as daemon:
            admitted = await daemon.submit([{"bot": "alpha", "key": key} for key, _ in files])
            jobs = [await daemon.finished(one["id"]) for one in admitted]
            assert {job["state"] for job in jobs} == {"ready"}
            assert {job["bytes"] for job in jobs} == {SIZE_BYTES}
        floods = await telegram.control("GET", "floods")
        assert floods["refused"] == {}
        assert (floods["delivered"], floods["violations"]) == (SAME, 0)
    finally:
        await asyncio.to_thread(telegram.stop)
