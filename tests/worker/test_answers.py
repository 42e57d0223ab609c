"""What an answer of the Bot API means: the table of telegram.md 5, and what no table foresees."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.worker.answers import Accepted, Refused, classify

DISGUISED = (
    'Bad Request: failed to send message #1 with the error message "Too Many Requests: '
    'retry after 8"'
)
WORDS = ("ok", "result", "photo", "parameters", "retry_after", "description", "file_id",
         "migrate_to_chat_id")  # fmt: skip


def refusal(status: int, description: str, **parameters: int) -> Refused:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    verdict = classify(status, orjson.dumps(body))
    assert isinstance(verdict, Refused)
    return verdict


@pytest.mark.parametrize(
    ("status", "description", "remedy"),
    [
        (400, "Bad Request: file must be non-empty", Remedy.GIVE_UP),
        (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", Remedy.GIVE_UP),
        (400, "Bad Request: IMAGE_PROCESS_FAILED", Remedy.RETRY_LATE),
        (400, "Bad Request: photo has unsupported extension", Remedy.GIVE_UP),
        (
            400,
            "Bad Request: file of size 1 bytes is too big for a photo; the maximum",
            Remedy.GIVE_UP,
        ),
        (400, "Bad Request: PHOTO_SAVE_FILE_INVALID", Remedy.GIVE_UP),
        (400, "Bad Request: file is too big", Remedy.GIVE_UP),
        (400, "Bad Request: wrong file identifier/HTTP URL specified", Remedy.GIVE_UP),
        (400, "Bad Request: wrong remote file identifier specified: x", Remedy.GIVE_UP),
        (400, "Bad Request: invalid remote file identifier specified", Remedy.GIVE_UP),
        (400, "Bad Request: can't use file of type Photo as Document", Remedy.GIVE_UP),
        (400, "Bad Request: type of file mismatch", Remedy.GIVE_UP),
        (400, "Bad Request: there is no photo in the request", Remedy.RETRY),
        (
            400,
            'Bad Request: failed to send message #1 with the error message "CHAT_WRITE_FORBIDDEN"',
            Remedy.CLOSE_CHAT,
        ),
        (413, "Request Entity Too Large", Remedy.GIVE_UP),
        (400, "Bad Request: chat not found", Remedy.CLOSE_CHAT),
        (400, "Bad Request: PEER_ID_INVALID", Remedy.CLOSE_CHAT),
        (400, "Bad Request: chat_id is empty", Remedy.CLOSE_CHAT),
        (400, "Bad Request: private chat not found", Remedy.CLOSE_CHAT),
        (400, "Bad Request: have no write access to the chat", Remedy.CLOSE_CHAT),
        (400, "Bad Request: CHAT_SEND_MEDIA_FORBIDDEN", Remedy.CLOSE_CHAT),
        (400, "Bad Request: CHAT_SEND_VIDEOS_FORBIDDEN", Remedy.CLOSE_KIND),
        (400, "Bad Request: CHAT_SEND_ROUNDVIDEOS_FORBIDDEN", Remedy.CLOSE_KIND),
        (400, "Bad Request: CHAT_ADMIN_REQUIRED", Remedy.CLOSE_CHAT),
        (400, "Bad Request: TOPIC_CLOSED", Remedy.CLOSE_CHAT),
        (400, "Bad Request: message thread not found", Remedy.CLOSE_CHAT),
        (400, "Bad Request: VOICE_MESSAGES_FORBIDDEN", Remedy.CLOSE_KIND),
        (400, "Bad Request: user restricted receiving of voice messages", Remedy.CLOSE_KIND),
        (400, "Bad Request: not enough rights to send voice notes to the chat", Remedy.CLOSE_KIND),
        (400, "Bad Request: not enough rights", Remedy.CLOSE_CHAT),
        (400, "Bad Request: something that nobody has heard of", Remedy.RETRY),
        (400, "Bad Request: can't parse entities", Remedy.RETRY),
        (400, "Bad Request: media not found", Remedy.RETRY),
        (400, "Bad Request: message caption is too long", Remedy.RETRY),
        (403, "Forbidden: user is deactivated", Remedy.CLOSE_CHAT),
        (403, "Forbidden: bot was kicked from the supergroup chat", Remedy.CLOSE_CHAT),
        (403, "Forbidden: bot can't initiate conversation with a user", Remedy.CLOSE_CHAT),
        (403, "Forbidden: the group chat was deleted", Remedy.CLOSE_CHAT),
        (400, "Bad Request: not enough rights to send photos to the chat", Remedy.CLOSE_KIND),
        (400, "Bad Request: need administrator rights in the channel chat", Remedy.CLOSE_CHAT),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN", Remedy.CLOSE_CHAT),
        (403, "Forbidden: bot was blocked by the user", Remedy.CLOSE_CHAT),
        (403, "Forbidden: bot is not a member of the channel chat", Remedy.CLOSE_CHAT),
        (401, "Unauthorized", Remedy.CLOSE_BOT),
        (404, "Not Found", Remedy.CLOSE_BOT),
        (404, "Not Found: method not found", Remedy.CLOSE_BOT),
        (500, "Internal Server Error: restart", Remedy.RETRY_LATE),
        (502, "Bad Gateway", Remedy.RETRY_LATE),
        (409, "Conflict: terminated by other getUpdates request", Remedy.RETRY),
        (421, "Misdirected Request: unallowed token specified", Remedy.CLOSE_BOT),
        (400, "Logged out", Remedy.CLOSE_BOT),
    ],
)
def test_each_text_leads_to_its_remedy(status: int, description: str, remedy: Remedy) -> None:
    """Whose fault it is decides what stops: the media, the chat or the bot."""
    assert FAULTS[refusal(status, description).code].remedy is remedy
    assert FAULTS[refusal(status, description.upper()).code].remedy is remedy, "case varies"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "Too Many Requests: retry after 8"),
        (400, DISGUISED),
    ],
)  # fmt: skip
def test_a_429_is_known_in_both_disguises(status: int, text: str) -> None:
    """Also inside a 400, where nothing but the text tells."""
    given = refusal(status, text, **({"retry_after": 8} if status == 429 else {}))
    assert (given.code, given.retry_after_s) == ("TooManyRequests", 8.0)


def test_a_429_without_a_wait_or_with_a_mad_one_has_a_sane_wait() -> None:
    """A proxy's 429 has no parameters; an hour is the most that is believed."""
    assert refusal(429, "slow down").retry_after_s == 5.0
    assert refusal(429, "x", retry_after=10**9).retry_after_s == 3600.0
    bare = classify(429, b"", "17")
    assert isinstance(bare, Refused)
    assert bare.retry_after_s == 17.0


def test_a_migration_names_the_new_chat() -> None:
    """migrate_to_chat_id is what the lane goes on with."""
    moved = refusal(400, "Bad Request: group chat was upgraded to a supergroup chat",
                    migrate_to_chat_id=-100777)  # fmt: skip
    assert (moved.code, moved.migrated_to) == ("ChatMigrated", -100777)


@pytest.mark.parametrize(
    ("result", "kind", "file_id"),
    [
        ({"photo": [{"file_id": "s", "width": 90, "height": 90},
                    {"file_id": "l", "width": 800, "height": 800},
                    {"file_id": "m", "width": 320, "height": 320}]}, "photo", "l"),
        ({"animation": {"file_id": "a"}, "document": {"file_id": "a"}}, "animation", "a"),
        ({"document": {"file_id": "d", "file_unique_id": "u"}}, "document", "d"),
        ({"voice": {"file_id": "v"}}, "voice", "v"),
    ],
)  # fmt: skip
def test_the_file_id_is_found_whatever_kind_came_back(
    result: dict[str, Any], kind: str, file_id: str
) -> None:
    """Telegram may answer with another kind than was sent: libraries have lost ids to this."""
    body = orjson.dumps({"ok": True, "result": {"message_id": 5, **result}})
    verdict = classify(200, body)
    assert isinstance(verdict, Accepted)
    assert (verdict.actual_kind, verdict.file_id, verdict.message_id) == (kind, file_id, 5)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"ok":true}', b'{"ok":true,"result":{}}', b'{"ok":true,"result":7}',
     b'{"ok":true,"result":{"photo":[]}}', b'{"ok":true,"result":{"photo":[{"file_id":5}]}}'],
)  # fmt: skip
def test_a_200_without_a_file_id_is_no_success(body: bytes) -> None:
    """It is a named fault, never a KeyError and never a ready without an id."""
    verdict = classify(200, body)
    assert isinstance(verdict, Refused)
    assert verdict.code in ("BadAnswer", "NoFileId")


@given(st.integers(100, 599), st.binary(max_size=200), st.none() | st.text(max_size=10))
def test_nothing_a_proxy_says_raises(status: int, body: bytes, header: str | None) -> None:
    """Every answer has a meaning with a remedy."""
    verdict = classify(status, body, header)
    assert isinstance(verdict, Accepted) or verdict.code in FAULTS


JSON = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner),
)


@given(JSON)
def test_no_shape_of_json_raises(value: Any) -> None:
    """Whatever is nested where."""
    for status in (200, 400, 429):
        verdict = classify(status, orjson.dumps(value))
        assert isinstance(verdict, Accepted) or verdict.code in FAULTS
