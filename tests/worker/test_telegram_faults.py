"""What Telegram may do, row by row (the catalogue's F1 to F18), and where each is tested.

F1: 429 for a chat or a bot.
    `daemon/test_telegram_faults.test_a_429_stops_its_chat_alone`; of the bot
    `core/test_engine_floods.test_a_flood_of_the_bot_stops_its_chats_until_both_pauses_are_over`;
    never inside any pause:
    `core/test_engine_floods.test_no_upload_begins_inside_a_pause_that_was_told`
F2: a storm of 429s.
    `core/test_engine_floods.test_a_storm_is_sat_out`,
    `daemon/test_telegram_faults.test_a_storm_ends_and_every_job_is_ready`
F3: 429 with no wait, or a mad one.
    `test_a_wait_that_cannot_be_believed`, `test_answers.test_a_429_is_known_in_both_disguises`
F4: 500, 502, 504.
    `test_an_error_of_theirs_tells_by_when_it_comes`
F5: taken, and then no answer.
    `test_who_takes_it_and_says_nothing_may_have_it`; tried again late, and the duplicate counted:
    `daemon/test_flow.test_a_connection_that_breaks_is_tried_again`; at most so often:
    `core/test_engine_deaths.test_who_is_given_up_after_a_doubt_says_so`
F6: taken, and the answer cannot be read.
    `test_an_answer_that_cannot_be_read_is_a_doubt`
F7: taken, and answered too late.
    `test_a_late_answer_is_nobodys`; in time, if the media is large:
    `test_a_large_media_is_waited_for_longer`
F8: 400 and 413, for good.
    `test_a_refusal_in_mid_body_is_read`, `test_answers.test_each_text_leads_to_its_remedy`,
    `daemon/test_flow.test_objects_that_cannot_become_media_fail_with_their_reason`
F9: 403, not a member.
    `daemon/test_telegram_faults.test_a_chat_that_refuses_keeps_its_jobs`
F10: 401, 404, 421.
    `daemon/test_telegram_faults.test_a_token_that_is_refused_is_never_told`,
    `daemon/test_refusals.test_a_refused_token_stops_that_bot_alone`,
    `test_what_an_answer_repeats_is_starred`
F11: a chat has moved.
    `daemon/test_telegram_faults.test_a_chat_that_moved_is_remembered`,
    `core/test_engine_limits.test_a_chat_that_moved_is_followed`
F12: 409, 3xx, 1xx, HTTP/1.0.
    `test_what_no_bot_api_server_says_fails_nobody`, `test_interim_and_old_answers_are_read`
F13: no file_id, another size, another type.
    `test_a_media_of_another_size_is_a_doubt`,
    `test_answers.test_a_200_without_a_file_id_is_no_success`,
    `test_answers.test_the_file_id_is_found_whatever_kind_came_back`
F14: a server that reads slowly.
    `test_a_server_that_reads_slowly_is_left_and_has_nothing`
F15: void. There is no reconciler: nobody looks for messages.
F16: Retry-After and body differ.
    `test_the_longer_of_two_waits_counts`
F17: the server restarts in mid-send.
    `daemon/test_telegram_faults.test_a_server_that_restarts_gets_it_once`; one that says so:
    `test_an_error_of_theirs_tells_by_when_it_comes`
F18: two answers, or garbage.
    `test_what_comes_behind_an_answer_is_nobodys`,
    `http/test_connection.test_what_comes_behind_the_end_ends_the_connection`

Here are those of the real client against one connection or two; how a daemon lives with them is in
daemon/test_telegram_faults.
"""

import asyncio

import pytest

from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.worker.answers import Accepted, Refused
from tests.support.catalogue import check_rows
from tests.support.loops import until_true
from tests.worker.http.servers import request_of, reset, silence, while_there
from tests.worker.telegrams import (
    PHOTO,
    TOKEN,
    ScriptedTelegram,
    Send,
    Sent,
    message,
    refusal,
    reply,
    sending,
)

LARGE = bytes(30_000_000)
"""More than the buffers of sockets hold."""


def test_every_row_names_tests_that_are_there() -> None:
    """A reader who looks for a row would find a test that was renamed long ago."""
    check_rows(__doc__, __file__, "F", 18)


def saying(*answers: bytes) -> ScriptedTelegram:
    """Answers so, one upload after the other; then as it should."""

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        return answers[sent.number] if sent.number < len(answers) else None

    return ScriptedTelegram(misdeed)


async def refused(send: Send, data: bytes = PHOTO) -> Refused:
    """Why an upload came to nothing."""
    verdict = await send(data)
    assert isinstance(verdict, Refused)
    return verdict


async def accepted(send: Send, data: bytes = PHOTO) -> str:
    """The file_id of an upload: whose it is tells its number."""
    verdict = await send(data)
    assert isinstance(verdict, Accepted), verdict
    return verdict.file_id


@pytest.mark.parametrize(
    ("told", "wait_s"),
    [
        ("missing", 5), (None, 5), (0, 5), (-5, 5), ("soon", 5), ("", 5), ([7], 5), ({"s": 7}, 5),
        ("17", 17), (2.5, 2.5), (3600, 3600), (3601, 3600), (10**9, 3600), (2**63, 3600),
    ],
)  # fmt: skip
async def test_a_wait_that_cannot_be_believed(told: object, wait_s: float) -> None:
    """F3. A bot would be silent for years, or fire into a flood without a pause."""
    words = {} if told == "missing" else {"retry_after": told}
    bare = refusal(400, f"Bad Request: Too Many Requests: retry after {told}")
    async with sending(saying(refusal(429, "Too Many Requests", **words), bare)) as send:
        open_one, disguised = await refused(send), await refused(send)
    assert (open_one.code, open_one.retry_after_s) == ("TooManyRequests", wait_s)
    assert disguised.code == "TooManyRequests"
    assert 0 < disguised.retry_after_s <= 3600


@pytest.mark.parametrize(
    ("header", "body", "wait_s"),
    [("3", 7, 7), ("9", 2, 9), ("-4", 2, 2), ("7200", 2, 3600), ("soon", 0, 5),
     ("Wed, 21 Oct 2026 07:28:00 GMT", 4, 4)],
)  # fmt: skip
async def test_the_longer_of_two_waits_counts(header: str, body: int, wait_s: float) -> None:
    """F16. A proxy has a limit of its own: the shorter wait would run into the longer one."""
    said = {"ok": False, "error_code": 429, "parameters": {"retry_after": body}}
    answer = reply("429 Too Many Requests", said, f"Retry-After: {header}")
    async with sending(saying(answer)) as send:
        assert (await refused(send)).retry_after_s == wait_s


@pytest.mark.parametrize(
    "answer",
    [
        refusal(500, "Internal Server Error: restart"),
        reply(
            "502 Bad Gateway", b"<html><body>Bad Gateway</body></html>", "Content-Type: text/html"
        ),
        reply("504 Gateway Time-out", b""),
    ],
    ids=["500", "502", "504"],
)
async def test_an_error_of_theirs_tells_by_when_it_comes(answer: bytes) -> None:
    """F4, F17. After the last byte Telegram may have it: a retry at once would send it twice.
    Before that it cannot: a duplicate would be reported that is none."""
    async with sending(saying(answer)) as send:
        verdict = await refused(send)
        assert verdict.code == "TelegramError"
        assert FAULTS[verdict.code].remedy is Remedy.RETRY_LATE

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)
        await writer.drain()
        await silence()

    async with sending(early) as send:
        verdict = await refused(send, LARGE)
        assert verdict.code == "UploadCut"
        assert verdict.detail.startswith(answer[9:12].decode())
        assert FAULTS[verdict.code].remedy is Remedy.RETRY


@pytest.mark.parametrize("end", ["silence", "reset", "close"])
async def test_who_takes_it_and_says_nothing_may_have_it(end: str) -> None:
    """F5. It would be sent again at once, or never: both are wrong when nobody knows."""

    async def misdeed(sent: Sent, writer: asyncio.StreamWriter) -> bytes | None:
        if sent.number:
            return None
        if end == "silence":
            await silence()
        if end == "reset":
            reset(writer)
        raise EOFError

    async with sending(ScriptedTelegram(misdeed), answer_timeout_s=0.3) as send:
        verdict = await refused(send)
        assert verdict.code == "NoAnswer"
        assert FAULTS[verdict.code].remedy is Remedy.RETRY_LATE
        assert await accepted(send) == "id-1"


WHOLE = reply("200 OK", {"ok": True, "result": {"document": {"file_id": "id-0"}}})


@pytest.mark.parametrize(
    ("answer", "codes", "is_kept"),
    [
        (reply("200 OK", WHOLE[-30:-5]), {"BadAnswer"}, True),
        (reply("200 OK", b'{"ok":true,"result":{"document":{"file_id":"id'), {"BadAnswer"}, True),
        (reply("200 OK", b"<html>Welcome to this hotel</html>"), {"BadAnswer"}, True),
        (reply("204 No Content"), {"BadAnswer"}, True),
        (WHOLE.replace(b"Content-Length: 5", b"Content-Length: 1"), {"BadAnswer"}, False),
        (WHOLE.replace(b"Content-Length: ", b"Content-Length: 9"), {"NoAnswer"}, False),
    ],
    ids=["middle", "truncated", "html", "empty", "too short a length", "too long a length"],
)
async def test_an_answer_that_cannot_be_read_is_a_doubt(
    answer: bytes, codes: set[str], is_kept: bool
) -> None:
    """F6. The message is there, and nobody knows its file_id: as bad as no answer, and no worse."""
    assert answer != WHOLE
    server = saying(answer)
    async with sending(server, answer_timeout_s=0.3, stall_timeout_s=0.3) as send:
        verdict = await refused(send)
        assert verdict.code in codes
        assert FAULTS[verdict.code].remedy is Remedy.RETRY_LATE
        assert await accepted(send) == "id-1"
    assert (server.connections == 1) is is_kept


async def test_a_large_media_is_waited_for_longer() -> None:
    """F7. A Bot API server that has 50 MB still uploads them: who gives up sends them again, and
    never hears of the message that is there."""
    arrived, given_up = asyncio.Event(), asyncio.Event()

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        if sent.number:
            await silence()
        arrived.set()
        await given_up.wait()
        return None

    async with sending(ScriptedTelegram(misdeed), answer_timeout_s=0.1) as send:
        large = asyncio.ensure_future(accepted(send, LARGE))
        await arrived.wait()
        assert (await refused(send)).code == "NoAnswer"
        given_up.set()
        assert await large == "id-0"


async def test_a_late_answer_is_nobodys() -> None:
    """F7. The next media would get the file_id of this one."""
    waited = asyncio.Event()

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        if not sent.number:
            await waited.wait()
        return None

    server = ScriptedTelegram(misdeed)
    async with sending(server, answer_timeout_s=0.3) as send:
        assert (await refused(send)).code == "NoAnswer"
        waited.set()
        assert await accepted(send) == "id-1"
        assert await accepted(send) == "id-2"
    assert [sent.connection for sent in server.sent] == [1, 2, 2]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(413, "Request Entity Too Large"), "TooLarge"),
        (reply("413 Request Entity Too Large", b"<html>413</html>"), "TooLarge"),
        (refusal(400, "Bad Request: file must be non-empty"), "EmptyObject"),
        (refusal(400, "Bad Request: something new"), "UnknownRefusal"),
        (reply("400 Bad Request"), "UnknownRefusal"),
    ],
)
async def test_a_refusal_in_mid_body_is_read(answer: bytes, code: str) -> None:
    """F8. Who reads on to the end of a body that is refused already, or takes the end of the
    connection for the answer, sends it eight times."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await reader.read(100_000)
        writer.write(answer)
        await writer.drain()
        await silence()

    async with sending(early) as send:
        verdict = await refused(send, LARGE)
        assert verdict.code == code
        assert FAULTS[code].remedy is Remedy.GIVE_UP or FAULTS[code].is_verdict


async def test_what_an_answer_repeats_is_starred() -> None:
    """F10. A server that says which path it does not know says the token: into the log, into
    /readyz and into the job's error."""
    for code in (400, 401, 404, 421, 500):
        words = f"Not Found: /bot{TOKEN}/sendDocument, secret {TOKEN.partition(':')[2]}"
        async with sending(saying(refusal(code, words))) as send:
            verdict = await refused(send)
        assert verdict.detail == f"{code} Not Found: /bot***/sendDocument, secret ***"


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "304 Not Modified", "307 Temporary Redirect", "402 Pay",
               "407 Proxy Authentication Required", "408 Request Timeout", "409 Conflict",
               "431 Too Large", "451 Unavailable"],
)  # fmt: skip
async def test_what_no_bot_api_server_says_fails_nobody(status: str) -> None:
    """F12. A portal or a proxy in between would fail every job of a queue for good; and a redirect
    that is followed would carry the token to anybody."""
    async with sending(saying(reply(status, b"", "Location: http://127.0.0.1:1/"))) as send:
        verdict = await refused(send)
        fault = FAULTS[verdict.code]
        assert (verdict.code, verdict.detail) == ("TelegramUnreachable", status[:3])
        assert (fault.remedy, fault.strains) == (Remedy.RETRY, True)
        assert await accepted(send) == "id-1"


@pytest.mark.parametrize("kind", ["interim", "old", "until the end"])
async def test_interim_and_old_answers_are_read(kind: str) -> None:
    """F12. A proxy of another age stands in between: what it passes on is Telegram's answer."""

    async def misdeed(sent: Sent, writer: asyncio.StreamWriter) -> bytes | None:
        whole = reply("200 OK", message(sent))
        if kind == "interim":
            return b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + whole
        old = whole.replace(b"HTTP/1.1", b"HTTP/1.0")
        writer.write(old if kind == "old" else old.replace(b"Content-Length", b"X-Length"))
        await writer.drain()
        writer.close()
        raise EOFError

    server = ScriptedTelegram(misdeed)
    async with sending(server) as send:
        assert [await accepted(send), await accepted(send)] == ["id-0", "id-1"]
    assert server.connections == (1 if kind == "interim" else 2)


async def test_a_media_of_another_size_is_a_doubt() -> None:
    """F13. A file_id of half a film would be given out for ever; but what Telegram converts has
    another size, and that is well."""
    converted = {"animation": {"file_id": "a", "file_size": 1}, "document": {"file_id": "a"}}
    photo = {"photo": [{"file_id": "p", "file_size": 1, "width": 9, "height": 9}]}
    untold = {"video": {"file_id": "v"}}

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        if sent.number == 0:
            return reply("200 OK", message(sent, file_size=sent.size_bytes - 1))
        results = (converted, photo, untold)
        return reply("200 OK", {"ok": True, "result": results[sent.number - 1]})

    async with sending(ScriptedTelegram(misdeed)) as send:
        verdict = await refused(send)
        assert verdict.code == "BadAnswer"
        assert verdict.detail == f"{len(PHOTO)} bytes were sent, Telegram has {len(PHOTO) - 1}"
        assert [await accepted(send) for _ in range(3)] == ["a", "p", "v"]


async def test_a_server_that_reads_slowly_is_left_and_has_nothing() -> None:
    """F14. A kibibyte a second would hold a slot and its memory for half a day; and what it has
    is no media, so nobody need fear a duplicate."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        async for _ in while_there(writer, 0.02):
            await reader.read(1024)

    async with sending(slow, slow_timeout_s=0.5) as send:
        verdict = await refused(send, LARGE)
    assert verdict.code == "UploadCut"
    assert verdict.detail == "fewer than 327680 bytes moved in 0.5 s, before the last byte"


@pytest.mark.parametrize("rest", [WHOLE, b"garbage", b"\r\n\r\n", WHOLE[:40]])
@pytest.mark.parametrize("is_later", [False, True])
async def test_what_comes_behind_an_answer_is_nobodys(rest: bytes, is_later: bool) -> None:
    """F18. The next media would be answered before it was sent, with the file_id of this one."""
    writers: list[asyncio.StreamWriter] = []

    async def misdeed(sent: Sent, writer: asyncio.StreamWriter) -> bytes | None:
        writers.append(writer)
        at_once = not sent.number and not is_later
        return reply("200 OK", message(sent)) + (rest if at_once else b"")

    server = ScriptedTelegram(misdeed)
    async with sending(server) as send:
        assert await accepted(send) == "id-0"
        if is_later:
            writers[0].write(rest)
            await until_true(writers[0].transport.is_closing)
        assert await accepted(send) == "id-1"
    assert [sent.connection for sent in server.sent] == [1, 2]
