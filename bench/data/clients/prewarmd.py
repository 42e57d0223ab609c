"""The daemon's own data plane, without the daemon: `worker.fetch` into the arena, `worker.telegram`
out of it."""

from bench.data.clients.base import CHAT, CREDENTIALS, REGION, TOKEN, Asked, Plan, in_slots
from prewarmd.core.extents import PAGE
from prewarmd.core.jobs import Kind
from prewarmd.ipc.arena import Arena
from prewarmd.worker.answers import Accepted
from prewarmd.worker.fetch import Fetcher
from prewarmd.worker.landing import Landing
from prewarmd.worker.media import Ways, Whole
from prewarmd.worker.signing import Credentials
from prewarmd.worker.spec import StoreSpec, TelegramSpec
from prewarmd.worker.telegram import Telegram


class Unhashed(Landing):
    """Leaves out what the rivals do not do either."""

    def landed(self, start: int, before: int, at: int) -> None:
        """See Landing."""
        self.done_bytes += at - before


class Fixed:
    """Credentials as the configuration has them."""

    async def credentials(self, *, anew: bool = False) -> Credentials:
        """See CredentialSource."""
        return CREDENTIALS


async def _none(size_bytes: int, etag: str) -> memoryview:
    raise AssertionError("the size was told")


def _nothing(*_: int) -> None:
    pass


class Client:
    """See `base`."""

    landing: type[Landing] = Unhashed

    async def open(self, plan: Plan) -> None:
        self._plan = plan
        arena = Arena.of(plan.slots * plan.most_bytes)
        arena.reserve(0, arena.size_bytes)
        self._extents = [
            arena.view(n * plan.most_bytes, plan.most_bytes) for n in range(plan.slots)
        ]
        for extent in self._extents:  # what is touched first is paid for here
            extent[::PAGE] = b"x" * len(extent[::PAGE])
        store = StoreSpec(
            plan.store, REGION, CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key,
            ca_file=plan.ca_file, connections=plan.slots,
        )  # fmt: skip
        spec = TelegramSpec(plan.telegram, ca_file=plan.ca_file, connections=plan.slots)
        self._fetcher = Fetcher(store, Fixed())
        self._telegram = Telegram(spec, {"bench": TOKEN})

    async def close(self) -> None:
        await self._fetcher.close()
        await self._telegram.__aexit__()

    async def get(self, asked: Asked) -> None:
        await in_slots(self._get, asked, self._plan.slots)

    async def post(self, asked: Asked) -> None:
        await in_slots(self._post, asked, self._plan.slots)

    async def _get(self, slot: int, key: str, size_bytes: int) -> None:
        landing = self.landing(self._extents[slot][:size_bytes], _nothing)
        await self._fetcher.get(self._plan.bucket, key, "", landing, _none)

    async def _post(self, slot: int, key: str, size_bytes: int) -> None:
        extent = self._extents[slot][:size_bytes]
        media = Whole(extent, Ways(_nothing, _nothing))
        sent = await self._telegram.send("bench", CHAT, Kind.PHOTO, media, "photo.jpg")
        assert isinstance(sent, Accepted), sent
