"""Both sides over TLS, with a certificate authority of one's own: as behind a company's proxy, or
with a Bot API server and a store that are self-hosted."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from prewarmd.sandbox.relay import Relay
from tests.daemon.test_refusals import QUICK, reason
from tests.support.house import House


@dataclass(frozen=True)
class Doors:
    """Ports where the town is to be had over TLS; the certificates of who vouches for them."""

    store: int
    telegram: int
    good: Path
    foreign: Path


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    """TLS before both servers."""
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    good, foreign = house.directory / "good.pem", house.directory / "foreign.pem"
    authority.cert_pem.write_to_path(str(good))
    trustme.CA().cert_pem.write_to_path(str(foreign))
    relays = [Relay(port, tls=tls) for port in (house.town.store.port, house.town.telegram.port)]
    store, telegram = [await relay.start() for relay in relays]
    yield Doors(store, telegram, good, foreign)
    for relay in relays:
        await relay.stop()


@asynccontextmanager
async def behind(
    house: House, doors: Doors, *, store_ca: Path, telegram_ca: Path
) -> AsyncIterator[RunningDaemon]:
    """A daemon that knows nothing but the two doors, and whom to trust at each."""
    house.configure(top=QUICK)
    text = house.configuration.read_text()
    for plain, door, ca_file in (
        (f'endpoint = "{house.town.endpoint}"', f'endpoint = "https://127.0.0.1:{doors.store}"',
         store_ca),
        (f'api_base = "{house.town.telegram.base}"',
         f'api_base = "https://127.0.0.1:{doors.telegram}"', telegram_ca),
    ):  # fmt: skip
        assert plain in text
        text = text.replace(plain, f'{door}\nca_file = "{ca_file}"')
    house.configuration.write_text(text)
    daemon = house.new_daemon()
    try:
        await daemon.start(ready=False)
        yield daemon
    finally:
        await daemon.stop()


async def test_media_go_from_tls_to_tls(house: House, doors: Doors) -> None:
    """The two sides are tested by themselves; with both in one process a film could be cut where
    pieces of TLS end, or a listing go another way and trust nobody."""
    photos = [await house.store() for _ in range(3)]
    films = [
        await house.store(form=Format.MP4, size_bytes=size) for size in (3_000_001, 20_000_000)
    ]
    async with behind(house, doors, store_ca=doors.good, telegram_ca=doors.good) as daemon:
        answer = await daemon.ask("POST", "/v1/jobs", {"bot": "gamma", "prefix": house.prefix})

        async def finished() -> bool:
            batch = await daemon.ask("GET", f"/v1/batches/{answer['batch']}")
            assert batch["failed"] == 0
            return bool(batch["finished"])

        await until(finished, 40)
        jobs = await daemon.jobs()
    assert {(job["state"], job["attempt"]) for job in jobs} == {("ready", 0)}
    for stored in (*photos, *films):
        [delivery] = await house.deliveries(stored)
        assert delivery["size_bytes"] == len(stored.data)


async def test_a_store_with_a_foreign_certificate_gets_nothing(house: House, doors: Doors) -> None:
    """Somebody in between would read signed requests; and an operator who is not told which setting
    to look at looks at the firewall."""
    stored = await house.store()
    async with behind(house, doors, store_ca=doors.foreign, telegram_ca=doors.good) as daemon:
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        told = (await until(lambda: reason(daemon, "StoreUnreachable")))["message"]
        assert "the certificate is not good: " in told
        assert "(see r2.ca_file)" in told
        job = await daemon.job(admitted["id"])
        assert (job["state"] in ("queued", "running"), job["attempt"]) == (True, 0)
        batch = await daemon.ask("POST", "/v1/jobs", {"bot": "alpha", "prefix": house.prefix})
        listing = await daemon.ask("GET", f"/v1/batches/{batch['batch']}")
        assert listing["submitted"] == 0
    assert await house.deliveries(stored) == []


async def test_telegram_with_a_foreign_certificate_gets_nothing(house: House, doors: Doors) -> None:
    """Somebody in between would read every token."""
    stored = await house.store()
    async with behind(house, doors, store_ca=doors.good, telegram_ca=doors.foreign) as daemon:
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])

        async def tried() -> dict[str, str] | None:
            error: dict[str, str] | None = (await daemon.job(admitted["id"]))["error"]
            return error

        told = await until(tried)
        assert told["code"] == "TelegramUnreachable"
        assert "the certificate is not good: " in told["message"]
        assert "(see telegram.ca_file)" in told["message"]
        job = await daemon.job(admitted["id"])
        assert (job["maybe_sent"], job["attempt"]) == (False, 0)
    assert await house.deliveries(stored) == []
