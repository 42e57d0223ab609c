"""Two bots of one Bot API server."""

import pytest

from prewarmd.sandbox.town import BotApi
from tests.sandbox.asking import Client


@pytest.fixture
def alpha(bot_api: BotApi) -> Client:
    """The first."""
    return Client(bot_api, bot_api.bots[0])


@pytest.fixture
def beta(bot_api: BotApi) -> Client:
    """Another."""
    return Client(bot_api, bot_api.bots[1])
