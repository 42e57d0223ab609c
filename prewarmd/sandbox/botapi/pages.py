"""Fetches what stands at URLs, each once: Telegram remembers for days what it found there, and that
it found nothing as well (telegram.md 7); a test does not last that long, so here it is for ever.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from prewarmd.sandbox.botapi.body import Arrival
from prewarmd.sandbox.botapi.page import BYTES_MAX, FILE, Page, file_name

if TYPE_CHECKING:
    import aiohttp

FETCH_S = 10.0
REDIRECTS_MAX = 5
AGENT = "TelegramBot (like TwitterBot)"
_PIECE_BYTES = 64 << 10


class Pages:
    """All that were fetched. A file's bytes are given to who waited for them, and not kept."""

    def __init__(self, *, hashes: bool = True) -> None:
        self._hashes = hashes
        self._known: dict[str, Page] = {}
        self._flights: dict[str, asyncio.Task[Page]] = {}

    async def page(self, url: str) -> Page:
        """What stands there, or stood there at the first look."""
        if url.startswith(FILE):
            return await asyncio.to_thread(
                self._read_file, Path("/" + url[len(FILE) :].lstrip("/"))
            )
        known = self._known.get(url)
        if known is not None:
            return known
        flight = self._flights.get(url)
        if flight is None:
            flight = self._flights[url] = asyncio.ensure_future(self._fetch(url))
        return await asyncio.shield(flight)

    def _read_file(self, path: Path) -> Page:
        """A file of this machine, as large as may be; each time anew, for it may have changed."""
        arrival = Arrival("photo", path.name, hashes=self._hashes)
        try:
            with path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    arrival.feed(piece)
        except OSError:
            return Page()
        return Page(upload=arrival.finish())

    async def _fetch(self, url: str) -> Page:
        # Late: it would double the time that a server needs to start, and few are asked for this.
        import aiohttp

        try:
            async with (
                asyncio.timeout(FETCH_S),
                aiohttp.ClientSession(headers={"User-Agent": AGENT}) as session,
                session.get(url, max_redirects=REDIRECTS_MAX) as answer,
            ):
                page = await self._read(url, answer)
        except (aiohttp.ClientError, OSError, ValueError):  # ValueError: a URL that is none
            page = Page()
        self._known[url] = page.remembered()
        del self._flights[url]
        return page

    async def _read(self, url: str, answer: "aiohttp.ClientResponse") -> Page:
        content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if answer.status != 200 or (answer.content_length or 0) > BYTES_MAX:
            return Page(content_type)
        arrival = Arrival("photo", file_name(url, content_type), hashes=self._hashes)
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            arrival.feed(piece)
            if arrival.size_bytes > BYTES_MAX:
                return Page(content_type)
        return Page(content_type, arrival.finish())
