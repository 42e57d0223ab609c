"""Structured logs: a stable event name and fields, one JSON object a line (or a console line).

Secrets never get this far by design (one module owns the URL that bears a bot's token); the
redactor here is the second net, at the one place every line passes, for everything that looks like
a bot token or a signature, and for the exact values that the configuration declared secret.
Foreign libraries log through the standard library's bridge, from WARNING up.
"""

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import orjson
import structlog

MASK = "***"
_SHAPES = re.compile(
    r"\b\d{5,16}:[A-Za-z0-9_-]{20,}"  # a bot token
    r"|(?<=Signature=)[0-9a-f]{16,}"  # SigV4, in a header or a query
    r"|(?<=X-Amz-Credential=)[^&\s]+"
)
_FOREIGN = ("aiohttp", "aiobotocore", "botocore", "urllib3", "asyncio")


class Redactor:
    """Masks what must not be seen, in every string of a log line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        exact = sorted((s for s in secrets if len(s) >= 6), key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, exact))) if exact else None

    def text(self, text: str) -> str:
        """`text` with every secret masked."""
        if self._exact is not None:
            text = self._exact.sub(MASK, text)
        return _SHAPES.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """The same for whatever a field may hold."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if value is None or isinstance(value, int | float):
            return value
        return self.text(str(value))

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """As a structlog processor."""
        return {key: self.value(item) for key, item in event.items()}


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def set_up(level: str = "info", *, console: bool | None = None, secrets: Iterable[str] = ()) -> (
    Redactor
):  # fmt: skip
    """Send every log line of this process to stderr, redacted; JSON unless it is a terminal."""
    console = sys.stderr.isatty() if console is None else console
    redactor = Redactor(secrets)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        redactor,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False)
        if console
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _FOREIGN:
        logging.getLogger(name).setLevel(logging.WARNING)
    return redactor


def get(name: str = "prewarmd") -> Any:
    """The logger of a part of the program, once it is set up. It is bound here: else it would be
    bound anew for every line, those included that the level leaves out."""
    return structlog.get_logger(part=name).bind()
