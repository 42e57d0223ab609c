"""The Bot API server that a command speaks to, and the one that the daemon speaks to."""

from dataclasses import replace
from urllib.parse import urlsplit

from prewarmd.config.tree import Config
from prewarmd.supervisor.daemon import spec_of
from prewarmd.worker.http.dialer import Origin
from prewarmd.worker.telegram import Telegram


def telegram_at(config: Config, api_base: str) -> Telegram:
    """Telegram as the daemon would speak to it, by the same proxy and certificates."""
    spec = spec_of(config, 0)
    return Telegram(replace(spec.telegram, api_base=api_base), spec.tokens)


def is_same(one: str, other: str) -> bool:
    """Whether two URLs name one server."""
    paths = {urlsplit(url).path.rstrip("/") for url in (one, other)}
    return Origin.of(one) == Origin.of(other) and len(paths) == 1
