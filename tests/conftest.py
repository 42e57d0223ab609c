"""Real servers for the whole run: an S3 server and a Bot API server, started when first wanted."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from prewarmd.sandbox.town import Town
from tests.support.house import House

_numbers = itertools.count(1)


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
