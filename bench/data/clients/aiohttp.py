"""aiohttp as somebody careful would use it: our own signer, uploads of a view and not of a
copy."""

import ssl
import time
from typing import Any

import aiohttp
from yarl import URL

from bench.data.clients.base import CHAT, CREDENTIALS, REGION, TOKEN, Asked, Plan, in_slots
from prewarmd.worker.signing import Signer, object_path


async def send_photo(session: Any, plan: Plan, photo: memoryview | bytes) -> None:
    """sendPhoto, and a look at the answer."""
    form = aiohttp.FormData()
    form.add_field("chat_id", str(CHAT))
    form.add_field("disable_notification", "true")
    form.add_field("photo", photo, filename="photo.jpg", content_type="application/octet-stream")
    async with session.post(f"{plan.telegram}/bot{TOKEN}/sendPhoto", data=form) as answer:
        told = await answer.json()
        assert told["result"]["photo"][-1]["file_id"]


def session_of(plan: Plan) -> Any:
    """With as many connections as there are slots."""
    context = ssl.create_default_context(cafile=plan.ca_file) if plan.ca_file else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=plan.slots, ssl=context, keepalive_timeout=600),
        auto_decompress=False,
    )


class Client:
    """See `base`."""

    async def open(self, plan: Plan) -> None:
        self._plan = plan
        self._session = session_of(plan)
        self._signer = Signer(REGION)
        self._host = URL(plan.store).authority
        self._photo = memoryview(bytearray(plan.most_bytes))

    async def close(self) -> None:
        await self._session.close()

    async def get(self, asked: Asked) -> None:
        await in_slots(self._get, asked, self._plan.slots)

    async def post(self, asked: Asked) -> None:
        await in_slots(self._post, asked, self._plan.slots)

    async def _get(self, _: int, key: str, size_bytes: int) -> None:
        path = object_path(self._plan.bucket, key)
        headers = self._signer.sign("GET", self._host, path, {}, CREDENTIALS, time.time())
        url = URL(f"{self._plan.store}{path}", encoded=True)
        async with self._session.get(url, headers=headers) as answer:
            assert len(await answer.read()) == size_bytes

    async def _post(self, _: int, key: str, size_bytes: int) -> None:
        await send_photo(self._session, self._plan, self._photo[:size_bytes])
