"""Real servers for the whole run: an S3 server and a Bot API server, started when first wanted."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from prewarmd.sandbox.town import BotApi, Town, residents
from tests.support.house import House
from tests.support.loops import OnLoop

_numbers = itertools.count(1)

# A shell starts `make test &` with SIGINT ignored, and so would every command that a test starts
# and stops by Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """SeaweedFS and the sandbox's Bot API server. Tests share them: keys and contents differ."""
    town = Town(tmp_path_factory.mktemp("town"))
    asyncio.run(town.__aenter__())
    yield town
    asyncio.run(town.stop())


@pytest.fixture
def house(town: Town, tmp_path: Path) -> House:
    """What one test needs to run daemons of its own against the town."""
    return House(town, tmp_path, next(_numbers))


@pytest.fixture
async def bot_api() -> AsyncIterator[BotApi]:
    """A Bot API server of this test's own."""
    server = BotApi(residents())
    await server.start()
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> OnLoop:
    """Runs a coroutine on the loop of each kind; nothing may be raised into the loop itself."""

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        raised: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: raised.append(context))
            runner.run(coroutine)
        assert raised == []

    return run
