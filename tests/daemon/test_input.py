"""Bad input: a clear answer that names the thing, and nothing is lost or half done."""

import asyncio
import json
import socket
from typing import Any

import pytest

from prewarmd.sandbox.daemon import AnswerError, RunningDaemon
from tests.support.house import House

LONG = "k" * 1025
HTTP_TOKEN = "planted-http-token"
HEAD = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def module_house(town: Any, tmp_path_factory: pytest.TempPathFactory) -> House:
    """One corner for all tests here."""
    return House(town, tmp_path_factory.mktemp("input"), 900)


@pytest.fixture(scope="module")
def socket_path(module_house: House, port: int) -> Any:
    """A running daemon's socket; the daemon is shared, because nothing here may change it."""
    http = f'listen = "127.0.0.1:{port}"\ntoken = "{HTTP_TOKEN}"\nmax_body = "64KiB"\n'
    module_house.configure(top=f"workers = 1\n[queue]\ncapacity = 5\n[http]\n{http}")
    daemon = module_house.new_daemon()
    asyncio.run(_start(daemon))
    yield daemon.socket
    asyncio.run(daemon.stop())


@pytest.fixture(scope="module")
def port() -> int:
    """Of the same daemon's TCP listener."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found: int = taken.getsockname()[1]
    return found


async def _start(daemon: RunningDaemon) -> None:
    await daemon.start()
    await daemon._hang_up()  # its session belongs to this loop


def ask(
    path: Any, verb: str, target: str, body: bytes = b"", headers: str = ""
) -> tuple[int, Any, str]:
    """One request over the socket, byte for byte as written: (status, JSON, head)."""
    head = f"{verb} {target} {HEAD}{headers}"
    return talk(path, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def talk(path: Any, request: bytes) -> tuple[int, Any, str]:
    """What is answered to these bytes."""
    with socket.socket(socket.AF_INET if isinstance(path, tuple) else socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path if isinstance(path, tuple) else str(path))
        connection.sendall(request)
        data = b""
        while piece := connection.recv(65536):
            data += piece
    top, _, rest = data.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest) if rest else None, top.decode()


def job(**fields: Any) -> bytes:
    return json.dumps({"bot": "alpha", "key": "a.jpg", **fields}).encode()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, ["JSON"]),
        (b"{", 400, ["JSON"]),
        (b'{"bot": "alpha", "key": "\xff.jpg"}', 400, ["UTF-8"]),
        (b"[]", 422, ["object"]),
        (b"null", 422, ["object"]),
        (job(bot="nobody"), 422, ["bot", "nobody", "alpha"]),
        (job(bot=7), 422, ["bot"]),
        (job(kind="gif"), 422, ["kind", "gif", "photo"]),
        (job(colour="red"), 422, ["colour"]),
        (job(key=""), 422, ["key", "empty"]),
        (job(key=LONG + ".jpg"), 422, ["key", "1024"]),
        (job(key="a\0.jpg"), 422, ["key", "NUL"]),
        (job(key="a/../b.jpg"), 422, ["key", ".."]),
        (job(key="./b.jpg"), 422, ["key", "."]),
        (job(key=5), 422, ["key"]),
        (job(sha256="xyz"), 422, ["sha256"]),
        (job(bytes=-1), 422, ["bytes"]),
        (job(bytes=True), 422, ["bytes"]),
        (job(priority="high"), 422, ["priority"]),
        (job(bucket="not-configured"), 422, ["bucket", "not-configured"]),
        (b'{"bot": "alpha"}', 422, ["key"]),
        (b'{"key": "a.jpg"}', 422, ["bot"]),
        (b'{"jobs": []}', 422, ["jobs"]),
        (b'{"jobs": {}}', 422, ["jobs"]),
        (json.dumps({"jobs": [{"bot": "alpha", "key": "a.jpg"}] * 1001}).encode(), 422, ["1000"]),
        (b'{"bot": "alpha", "prefix": "a/", "key": "b"}', 422, ["key"]),
    ],
)
def test_a_bad_submit_is_refused_by_name(
    socket_path: Any, body: bytes, status: int, words: list[str]
) -> None:
    """Field and rule are named in a problem document, and nothing is enqueued."""
    got, problem, head = ask(socket_path, "POST", "/v1/jobs", body)
    assert got == status, problem
    assert "application/problem+json" in head
    assert problem["status"] == status
    for word in words:
        assert word in problem["detail"], problem
    assert ask(socket_path, "GET", "/v1/jobs")[1]["jobs"] == []


def test_a_bad_job_in_a_batch_enqueues_none(socket_path: Any) -> None:
    """Its index is named."""
    jobs = [{"bot": "alpha", "key": "1.jpg"}, {"bot": "alpha", "key": "2.jpg", "kind": "gif"}]
    status, problem, _ = ask(socket_path, "POST", "/v1/jobs", json.dumps({"jobs": jobs}).encode())
    assert status == 422
    assert "jobs[1]" in problem["detail"]
    assert ask(socket_path, "GET", "/v1/jobs")[1]["jobs"] == []


def test_a_body_over_the_limit_is_413(socket_path: Any) -> None:
    """And says the limit."""
    status, problem, _ = ask(socket_path, "POST", "/v1/jobs", b" " * 70_000)
    assert status == 413
    assert "65536" in problem["detail"] or "64" in problem["detail"]


@pytest.mark.parametrize("encoding", ["deflate", "gzip", "br", "odd"])
def test_an_encoded_body_is_415(socket_path: Any, encoding: str) -> None:
    """Whatever is in it: nothing is unpacked that a few bytes can make a gigabyte."""
    headers = f"Content-Encoding: {encoding}\r\n"
    status, problem, head = ask(socket_path, "POST", "/v1/jobs", b"\x1f\x8b garbage", headers)
    assert status == 415
    assert "application/problem+json" in head
    assert encoding in problem["detail"]
    assert ask(socket_path, "GET", "/healthz")[0] == 200


def test_a_full_queue_is_429_with_retry_after(socket_path: Any) -> None:
    """All or none: the six do not fit into five."""
    jobs = [{"bot": "alpha", "key": f"{n}.jpg"} for n in range(6)]
    body = json.dumps({"jobs": jobs}).encode()
    status, problem, head = ask(socket_path, "POST", "/v1/jobs", body)
    assert status == 429
    assert "retry-after:" in head.lower()
    assert problem["status"] == 429
    assert ask(socket_path, "GET", "/v1/jobs")[1]["jobs"] == []


@pytest.mark.parametrize(
    ("verb", "target", "status"),
    [
        ("GET", "/v1/jobs/j0000ffff", 404),
        ("GET", "/v1/jobs/nonsense", 404),
        ("DELETE", "/v1/jobs/j0000ffff", 404),
        ("POST", "/v1/jobs/j0000ffff/retry", 404),
        ("GET", "/v1/batches/b0000ffff", 404),
        ("GET", "/v1/batches/nonsense", 404),
        ("GET", "/v1/jobs?state=odd", 422),
        ("GET", "/v1/jobs?limit=0", 422),
        ("GET", "/v1/jobs?cursor=odd", 422),
        ("GET", "/v1/media?bot=alpha", 422),
        ("GET", "/v1/media?bot=nobody&key=a.jpg", 404),
        ("GET", "/v1/media?bot=alpha&key=never.jpg", 404),
        ("GET", f"/v1/media/alpha/{'0' * 64}/photo", 404),
        ("GET", "/v1/media/alpha/xyz/photo", 422),
        ("GET", f"/v1/media/alpha/{'0' * 64}/gif", 422),
        ("GET", "/nothing", 404),
        ("GET", "/nothing?odd=1", 404),
        ("PUT", "/v1/jobs", 405),
        ("PUT", "/v1/jobs?odd=1", 405),
    ],
)
def test_every_refusal_is_a_problem_document(
    socket_path: Any, verb: str, target: str, status: int
) -> None:
    """RFC 9457, also for what the router refuses."""
    got, problem, head = ask(socket_path, verb, target)
    assert got == status, problem
    assert "application/problem+json" in head
    assert problem["status"] == status
    assert problem["title"]


@pytest.mark.parametrize(
    ("verb", "target", "name", "known"),
    [
        ("GET", "/v1/jobs?sate=failed", "sate", "state, bot, limit, cursor"),
        ("HEAD", "/v1/jobs?limit=5&page=2", "page", "state, bot, limit, cursor"),
        ("GET", "/v1/media?bot=alpha&key=a.jpg&sha256=0", "sha256", "bot, key, bucket, kind"),
        ("GET", "/v1/jobs/j00000001?state=", "state", "none"),
        ("POST", "/v1/jobs?bot=alpha", "bot", "none"),
        ("DELETE", "/v1/jobs/j00000001?force=1", "force", "none"),
        ("GET", "/v1/status?verbose", "verbose", "none"),
        ("GET", f"/healthz?{LONG}=1", "kkk...", "none"),
    ],
)
def test_an_unknown_parameter_is_400_naming_it_and_the_known(
    socket_path: Any, verb: str, target: str, name: str, known: str
) -> None:
    """Ignored, a slip of the pen would list all jobs where the failed ones were asked for."""
    got, problem, head = ask(socket_path, verb, target, job())
    assert got == 400
    assert "application/problem+json" in head
    if verb == "HEAD":
        assert problem is None
        return
    assert (problem["status"], problem["code"]) == (400, "UnknownParameter")
    assert name in problem["detail"]
    assert known in problem["detail"]
    assert len(problem["detail"]) < 150
    assert ask(socket_path, "GET", "/v1/jobs")[1]["jobs"] == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1/jobs?state=failed&bot=alpha&limit=5&cursor=j00000009",
        "/v1/media?bot=alpha&key=never.jpg&bucket=media&kind=photo",
    ],
)
def test_every_parameter_that_is_told_of_is_known(socket_path: Any, target: str) -> None:
    """All at once; the second finds nothing, which is another answer."""
    assert ask(socket_path, "GET", target)[0] in (200, 404)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("secret-word\r\n\r\n", "method"),
        ("GET /healthz HTTP/9.9\r\n\r\n", "status line"),
        ("GET http://[secret-word/ HTTP/1.1\r\n\r\n", "target"),
        (f"GET /{LONG * 9} HTTP/1.1\r\n\r\n", "too long"),
        (f"GET /healthz {HEAD}secret-word\r\n\r\n", "header"),
        (f"GET /healthz {HEAD}Authorization: secret-word\0\r\n\r\n", "header"),
        (f"GET /healthz {HEAD}A: {LONG * 9}\r\n\r\n", "too long"),
        (f"POST /v1/jobs {HEAD}Content-Length: -1\r\n\r\n", "content-length"),
        (f"POST /v1/jobs {HEAD}Transfer-Encoding: chunked\r\n\r\nxy\r\n\r\n", "chunk"),
    ],
)
def test_what_is_no_http_is_a_problem_document(
    socket_path: Any, port: int, head: str, words: str
) -> None:
    """It reaches no handler. Nothing of it is told again, least of all in the log: the line that a
    client got wrong may be the one with its token."""
    for path in (socket_path, ("127.0.0.1", port)):
        got, problem, top = talk(path, head.encode())
        assert (got, problem["status"], problem["code"]) == (400, 400, "BadRequest")
        assert "application/problem+json" in top
        assert words in problem["detail"]
        assert "secret" not in problem["detail"]
    log = socket_path.parent.with_name(socket_path.parent.name + ".log").read_text()
    assert "secret-word" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("target", ["/v1/jobs", "/nothing"])
def test_an_expectation_that_is_not_met_is_417(socket_path: Any, target: str) -> None:
    """Refused before any handler, in the same shape."""
    got, problem, top = ask(socket_path, "POST", target, headers="Expect: wonders\r\n")
    assert (got, problem["status"], problem["code"]) == (417, 417, "ExpectationFailed")
    assert "application/problem+json" in top


@pytest.mark.parametrize(
    ("given", "status"),
    [("", 401), ("Bearer wrong", 401), (HTTP_TOKEN, 401), (f"Bearer {HTTP_TOKEN}", 200)],
)
@pytest.mark.parametrize("target", ["/v1/status", "/healthz"])
def test_tcp_answers_only_who_bears_the_token(
    socket_path: Any, port: int, target: str, given: str, status: int
) -> None:
    """On loopback, too: every user of the machine can reach a port. The unix socket needs none."""
    got, said, _ = ask(("127.0.0.1", port), "GET", target, headers=f"Authorization: {given}\r\n")
    assert got == status, said
    assert ask(socket_path, "GET", target)[0] == 200


async def test_a_job_in_the_wrong_state_is_409_naming_it(house: House) -> None:
    """Neither cancel nor retry of what is ready."""
    stored = await house.store()
    async with house.daemon() as daemon:
        ready = await house.warmed(daemon, stored)
        for verb, path in (("DELETE", ""), ("POST", "/retry")):
            with pytest.raises(AnswerError) as refused:
                await daemon.ask(verb, f"/v1/jobs/{ready['id']}{path}")
            assert refused.value.status == 409
            assert "ready" in refused.value.problem["detail"]


async def test_a_media_that_is_not_ready_is_404_with_its_jobs_state(house: House) -> None:
    """A bot asks for what failed, and learns that."""
    async with house.daemon() as daemon:
        key = f"{house.prefix}missing.jpg"
        [admitted] = await daemon.submit([{"bot": "alpha", "key": key}])
        await daemon.finished(admitted["id"])
        with pytest.raises(AnswerError) as refused:
            await daemon.ask("GET", "/v1/media", bot="alpha", key=key)
        assert refused.value.status == 404
        assert refused.value.problem["state"] == "failed"
        retried = await daemon.ask("POST", f"/v1/jobs/{admitted['id']}/retry")
        assert retried["state"] in ("queued", "running")
        assert (await daemon.finished(admitted["id"]))["error"]["code"] == "NoSuchKey"
