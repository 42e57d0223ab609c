"""What a handler with a bug answers."""

import logging
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import pytest
from aiohttp import web

from prewarmd.supervisor.problems import Runner


@pytest.mark.parametrize(("bug", "status"), [(KeyError("planted"), 500), (TimeoutError(), 504)])
async def test_a_bug_is_a_problem_document_and_logged(
    tmp_path: Path, caplog: Any, bug: Exception, status: int
) -> None:
    """A client that parses problems need not parse aiohttp's pages, too; the log has the trace, the
    answer has not."""

    async def broken(_: web.Request) -> NoReturn:
        raise bug

    application = web.Application()
    application.router.add_get("/broken", broken)
    runner = Runner(application)
    await runner.setup()
    path = str(tmp_path / "socket")
    await web.UnixSite(runner, path).start()
    try:
        connector = aiohttp.UnixConnector(path)
        async with aiohttp.ClientSession(connector=connector) as session:
            answer = await session.get("http://x/broken", headers={"Accept": "text/html"})
            assert answer.status == status
            assert answer.content_type == "application/problem+json"
            problem = await answer.json(content_type=None)
    finally:
        await runner.cleanup()
    assert (problem["status"], problem["code"]) == (status, "Failed")
    assert "planted" not in str(problem)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
