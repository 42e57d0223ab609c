"""Telegram fetches objects by URL, where an operator wants that; whatever fails, bytes do it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from prewarmd.sandbox.daemon import RunningDaemon
from prewarmd.sandbox.media import Format
from tests.support.house import House, Stored

ALPHA = 'slug = "alpha"\n'


def by_url(value: str) -> tuple[str, str]:
    return ALPHA, f'{ALPHA}by_url = "{value}"\n'


async def promised(house: House, form: Format = Format.JPEG, size_bytes: int = 30_000) -> Stored:
    """An object whose key carries its content, as `r2.key_pattern` has it."""
    draft = Stored("", house.media(form, size_bytes))
    key = f"alpha/photo/{draft.sha256}.{form.extension}"
    return await house.store(draft.data, key=key)


@asynccontextmanager
async def public(*stored: Stored) -> AsyncIterator[tuple[str, list[str]]]:
    """A public domain in front of a bucket with these objects, or without any a firewall that
    answers with a page; what was asked of it."""
    objects = {f"/media/{one.key}": one.data for one in stored}
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path not in objects:
            return web.Response(text="<html>are you a robot?</html>", content_type="text/html")
        return web.Response(body=objects[request.path], content_type="image/jpeg")

    application = web.Application()
    application.router.add_get("/media/{key:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/media", asked
    finally:
        await runner.cleanup()


async def downloaded(daemon: RunningDaemon) -> int:
    status = await daemon.ask("GET", "/v1/status")
    bytes_: int = status["cache"]["bytes_downloaded"]
    return bytes_


async def test_telegram_fetches_from_a_public_domain(house: House) -> None:
    """Each media would cross the operator's own line twice."""
    stored = await promised(house)
    async with public(stored) as (base, asked):
        async with house.daemon(replace=by_url(base)) as daemon:
            job = await house.warmed(daemon, stored, bytes=len(stored.data))
            assert (job["state"], job["attempt"]) == ("ready", 0)
            assert await downloaded(daemon) == 0
        assert asked == [f"/media/{stored.key}"]
        [one] = await house.deliveries(stored)
        assert one["method"] == "sendphoto"


async def test_a_presigned_url_is_told_to_telegram_alone(house: House) -> None:
    """It bears a signature: in a log it would be a key to the object for an hour."""
    stored = await promised(house)
    options = ("--log-level", "debug")
    async with house.daemon(replace=by_url("presigned"), options=options) as daemon:
        job = await house.warmed(daemon, stored, bytes=len(stored.data))
        assert job["state"] == "ready"
        assert await downloaded(daemon) == 0
        seen = [str(job), str(await daemon.ask("GET", "/v1/status"))]
    seen.append(daemon.log.read_text())
    assert not [text for text in seen if "X-Amz-" in text]
    assert len(await house.deliveries(stored)) == 1


@pytest.mark.parametrize("trouble", ["a page", "nobody"])
async def test_a_url_that_fails_falls_back_to_bytes(house: House, trouble: str) -> None:
    """A firewall before the bucket would stop the bot; and another kind of the same object would
    try it again, though Telegram remembers the failure for days."""
    stored = await promised(house)
    async with public() as (page, asked):
        base = page if trouble == "a page" else "http://127.0.0.1:9/media"
        async with house.daemon(replace=by_url(base)) as daemon:
            job = await house.warmed(daemon, stored, bytes=len(stored.data))
            assert (job["state"], job["attempt"], job["maybe_sent"]) == ("ready", 0, False)
            assert await downloaded(daemon) == len(stored.data)
            more: dict[str, Any] = {"kind": "document", "bytes": len(stored.data)}
            assert (await house.warmed(daemon, stored, **more))["state"] == "ready"
            log = daemon.log.read_text()
        assert log.count("UrlRefused") == 1
        assert len(asked) == (trouble == "a page")


async def test_what_is_too_large_for_a_url_goes_by_its_bytes(house: House) -> None:
    """Telegram takes photos up to 5 MB so: each larger one would cost a send to be told."""
    stored = await promised(house, size_bytes=5_100_000)
    async with public(stored) as (base, asked), house.daemon(replace=by_url(base)) as daemon:
        job = await house.warmed(daemon, stored, bytes=len(stored.data))
        assert job["state"] == "ready"
    assert asked == []
