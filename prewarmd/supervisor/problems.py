"""Every refusal in one shape: problem details (RFC 9457), whoever refuses.

Handlers raise ProblemError. What the router, the body's reader and the Expect header are refused
for are exceptions of aiohttp, turned into problems around the whole application. What is no HTTP at
all reaches no application: aiohttp's connection answers it, and a handler that has a bug, so there
is a connection of our own. A client's malformed line is not logged: it may hold a secret.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import http_exceptions, web

from prewarmd.errors import StoreDamagedError, StoreUnwritableError
from prewarmd.supervisor.forms import ProblemError
from prewarmd.supervisor.intake import QueueFullError

Handler = Callable[[Any], Awaitable[web.StreamResponse]]

_PHRASE = re.compile(r"[A-Za-z -]*[A-Za-z]")
"""The words of aiohttp's messages that come before what the client wrote."""


def answer(value: Any, status: int = 200, kind: str = "application/json") -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(value), status=status, content_type=kind)


def problem(error: ProblemError, headers: dict[str, str] | None = None) -> web.Response:
    """A refusal as application/problem+json."""
    value = {
        "type": "about:blank",
        "title": error.code,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.more,
    }
    response = answer(value, error.status, "application/problem+json")
    response.headers.update(headers or {})
    return response


def with_problems(handler: Handler) -> Handler:
    """The handler of a whole application, its refusals in our shape."""

    async def refusing(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except ProblemError as error:
            return problem(error)
        except QueueFullError:
            full = ProblemError(429, "QueueFull", "the queue is full; nothing of this was taken")
            return problem(full, {"Retry-After": "5"})
        except StoreUnwritableError as error:
            refusal = ProblemError(507, "StoreUnwritable", str(error))
            return problem(refusal, {"Retry-After": "5"})
        except StoreDamagedError as error:
            return problem(ProblemError(503, "StoreDamaged", str(error)))
        except web.HTTPRequestEntityTooLarge:
            rule = f"the body is larger than http.max_body, {request.client_max_size} bytes"
            return problem(ProblemError(413, "TooLarge", rule))
        except web.HTTPException as error:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            code = error.reason.replace(" ", "")
            return problem(ProblemError(error.status, code, error.reason), allow)

    return refusing


def _rule(error: BaseException | None) -> str:
    """What is wrong with a request that is no HTTP, without a byte of it."""
    if isinstance(error, http_exceptions.LineTooLong):
        return "a line of the request's head is too long"
    if isinstance(error, http_exceptions.InvalidURLError):
        return "the request's target is no URL"
    message = error.message if isinstance(error, http_exceptions.HttpProcessingError) else ""
    phrase = _PHRASE.match(message)
    return "the request is not HTTP" + (f": {phrase[0].lower()}" if phrase else "")


class _Connection(web.RequestHandler):
    """aiohttp's, but for what it says of its own."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See RequestHandler: 400 for what is no HTTP, 500 for a bug, 504 for a TimeoutError."""
        if status == 400:
            refusal = ProblemError(400, "BadRequest", _rule(exc))
        else:
            self.log_exception("a request failed", exc_info=exc)
            refusal = ProblemError(status, "Failed", "the daemon failed; its log says how")
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        response = problem(refusal)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        # What aiohttp cannot decompress is a bug to it, and logged; the API refuses all of it.
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as everywhere in aiohttp: no log
            auto_decompress=False,
        )


class Runner(web.AppRunner):
    """Serves an application whose every refusal is a problem."""

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        handler = with_problems(plain.request_handler)
        return _Server(handler, request_factory=plain.request_factory)
