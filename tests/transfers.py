"""`make transfers TRANSFERS=10000`: downloads that are cancelled or fail at random points.

Small and large ones, alone and beside each other, from a store that does something wrong to every
third request, over connections that are fewer than who wants them. What lands must be the object;
and when a download is over, however it ended, nothing may refer to its memory: it would be another
media's by then. In the end descriptors and connections are back where they were, and a large object
still has all the helpers it may have.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import uvloop

from prewarmd.core.faults import FAULTS
from prewarmd.worker.fetch import Fetcher
from prewarmd.worker.landing import Landing
from prewarmd.worker.ranges import AT_ONCE
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.signing import Credentials
from prewarmd.worker.spec import StoreSpec
from tests.support.loops import opened, until_true
from tests.worker.http.servers import request_of, reset, serving, silence
from tests.worker.stores import Ask, RangedStore, meeting, refusal_of

RANGED_BYTES = 256 << 10
"""A small film, so that thousands can be fetched."""
SIZES_BYTES = (100, 60_000, RANGED_BYTES, 600_001)
TOGETHER = 16
CONNECTIONS = 8
FAULTY_SHARE = 1 / 3
CANCELLED_SHARE = 0.4
CANCELLED_WITHIN_S = 0.02


class Source:
    """Credentials that are always the same."""

    async def credentials(self, *, anew: bool = False) -> Credentials:
        """See CredentialSource."""
        return Credentials("id", "secret")


@dataclass
class Outcome:
    """How downloads ended."""

    landed: int = 0
    cancelled: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    ranges: int = 0
    """Requests for a part."""
    seconds: float = 0.0

    @property
    def ended(self) -> int:
        """All of them."""
        return self.landed + self.cancelled + self.failed.total()


class Transfers:
    """One run. Chance draws what goes wrong; when it does so the machine draws."""

    def __init__(self, number: int, seed: int = 1) -> None:
        self._number = number
        self._chance = random.Random(seed)
        self._stores = [
            RangedStore(self._chance.randbytes(size), self._misdeed) for size in SIZES_BYTES
        ]
        self._begun = 0
        self._is_calm = False
        self.outcome = Outcome()

    async def run(self) -> None:
        """All of them; AssertionError when something is left behind."""
        began = time.monotonic()
        async with serving(self._script):
            pass  # libuv keeps a descriptor in reserve from its first listener on
        open_before = opened()
        async with serving(self._script) as server:
            spec = StoreSpec(
                endpoint=server.url, region="auto", access_key_id="id", secret_access_key="secret",
                connections=CONNECTIONS, connect_timeout_s=5, header_timeout_s=0.6,
                body_timeout_s=0.6,
            )  # fmt: skip
            fetcher = Fetcher(spec, Source(), ranged_bytes=RANGED_BYTES)
            async with asyncio.TaskGroup() as group:
                for _ in range(TOGETHER):
                    group.create_task(self._some(fetcher))
            await self._still_helps(fetcher)
            await fetcher.close()
        await until_true(lambda: opened() <= open_before)
        self.outcome.seconds = time.monotonic() - began

    async def _some(self, fetcher: Fetcher) -> None:
        """One after another, until there are enough."""
        while self._begun < self._number:
            self._begun += 1
            await self._one(fetcher)

    async def _one(self, fetcher: Fetcher) -> None:
        """One download, in memory of its own, which is free afterwards."""
        outcome, key = self.outcome, self._chance.randrange(len(SIZES_BYTES))
        extent = bytearray(SIZES_BYTES[key])
        getting = asyncio.ensure_future(self._get(fetcher, key, extent))
        if self._chance.random() < CANCELLED_SHARE:
            await asyncio.wait([getting], timeout=self._chance.random() * CANCELLED_WITHIN_S)
            getting.cancel()
        await asyncio.wait([getting])
        code = "" if getting.cancelled() else getting.result()
        if getting.cancelled():
            outcome.cancelled += 1
        elif code:
            assert code in FAULTS
            outcome.failed[code] += 1
        else:
            outcome.landed += 1
            assert extent == self._stores[key].body
        del getting
        extent.append(0)  # BufferError if anything refers to it

    async def _get(self, fetcher: Fetcher, key: int, extent: bytearray) -> str:
        """The code of what went wrong; "" when all is well."""

        async def memory(size_bytes: int, _: str) -> memoryview:
            assert size_bytes == len(extent)
            granted = asyncio.Event()
            asyncio.get_running_loop().call_soon(granted.set)
            await granted.wait()
            return memoryview(extent)

        is_known = self._chance.random() < 0.5
        landing = Landing(memoryview(extent) if is_known else None, lambda _: None)
        try:
            await fetcher.get("media", str(key), "", landing, memory)
        except ObjectError as error:
            return error.code
        finally:
            if landing.view is not None:
                landing.view.release()
        return ""

    async def _still_helps(self, fetcher: Fetcher) -> None:
        self._is_calm = True
        store = self._stores[-1]
        self.outcome.ranges = sum(not ask.is_plain for store in self._stores for ask in store.asked)
        store.misdeed = meeting(AT_ONCE)
        async with asyncio.timeout(10):
            extent = bytearray(len(store.body))
            assert await self._get(fetcher, len(SIZES_BYTES) - 1, extent) == ""

    # -- the store -------------------------------------------------------------------------------

    async def _script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Which object a request is about is told by its path."""
        is_good = True
        while is_good:
            head = await request_of(reader)
            store = self._stores[int(head.split(b" ")[1].rpartition(b"/")[2])]
            is_good = await store.answer(head, writer)

    async def _misdeed(self, ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if self._is_calm or self._chance.random() >= FAULTY_SHARE:
            return False
        store = next(store for store in self._stores if store.asked and store.asked[-1] is ask)
        fault = self._chance.choice(_FAULTS)
        await fault(self, store, ask, writer)
        return True

    async def _cut(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(store.head(ask))
        await store.send(ask, writer, self._chance.randrange(ask.end - ask.start))

    async def _reset(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        await self._cut(store, ask, writer)
        reset(writer)

    async def _stall(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        if self._chance.random() < 0.5:
            await self._cut(store, ask, writer)
        await silence()

    async def _end(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        """Not a word."""

    async def _refuse(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        status = self._chance.choice(("503 Slow", "429 Many", "412 No", "403 No", "404 No"))
        writer.write(refusal_of(status))

    async def _babble(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is no HTTP\r\n\r\n")

    async def _other(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        changed = self._chance.choice(('ETag: "two"', "Content-Range: bytes 0-0/1"))
        writer.write(store.head(ask, changed))
        await store.send(ask, writer, ask.end - ask.start)

    async def _all(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        whole = Ask(ask.head, ask.number, 0, len(store.body), is_plain=True)
        writer.write(store.head(whole))
        await store.send(whole, writer, len(store.body))

    async def _more(self, store: RangedStore, ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(store.head(ask))
        await store.send(ask, writer, ask.end - ask.start)
        writer.write(b"?" * 70_000)


_FAULTS: tuple[
    Callable[[Transfers, RangedStore, Ask, asyncio.StreamWriter], Awaitable[None]], ...
] = (
    Transfers._cut, Transfers._cut, Transfers._reset, Transfers._stall, Transfers._end,
    Transfers._refuse, Transfers._babble, Transfers._other, Transfers._all, Transfers._more,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    transfers = Transfers(arguments.transfers, arguments.seed)
    uvloop.run(transfers.run())
    outcome = transfers.outcome
    print(f"{outcome.ended} transfers in {outcome.seconds:.0f} s: {outcome.landed} landed, "
          f"{outcome.cancelled} were cancelled, {outcome.failed.total()} failed, "
          f"{outcome.ranges} ranges; nothing was left behind")  # fmt: skip
    for code, number in outcome.failed.most_common():
        print(f"  {number:6} {code}")


if __name__ == "__main__":
    main()
