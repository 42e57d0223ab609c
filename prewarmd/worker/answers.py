"""What a Bot API answer means, as a pure function and two tables of data.

The texts are those of the Bot API server and of Telegram behind it; they are matched as substrings,
without case, because their wording varies (design paper telegram.md, section 5). JSON is tried
whatever the content type says: errors also come as HTML from a proxy, or with no body at all.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

RETRY_AFTER_DEFAULT_S = 5.0
RETRY_AFTER_MAX_S = 3600.0

MEDIA_KEYS = (
    "animation", "video", "audio", "voice", "video_note", "sticker", "photo", "document",
)  # fmt: skip
"""Where a file_id may be. An animation comes with a `document` twin: the first found counts."""
UNCONVERTED = frozenset({"video", "audio", "voice", "document"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message exists, and its media has this id."""

    file_id: str
    file_unique_id: str
    actual_kind: str
    message_id: int
    size_bytes: int | None = None
    """As Telegram has it, of what it takes as it is (telegram.md 1): not of what it converts."""
    detail: str = ""
    """Why it was sent as another kind than was asked for."""


@dataclass(frozen=True, slots=True)
class Refused:
    """`code` is a key of `core.faults.FAULTS`."""

    code: str
    detail: str
    retry_after_s: float = 0.0
    migrated_to: int = 0


_BY_TEXT: tuple[tuple[str, str], ...] = (
    ("chat not found", "ChatNotFound"),
    ("private chat not found", "ChatNotFound"),
    ("peer_id_invalid", "ChatNotFound"),
    ("chat_id is empty", "ChatNotFound"),
    ("chat_send_media_forbidden", "ChatRefused"),
    ("not enough rights", "ChatRefused"),
    ("have no write access", "ChatRefused"),
    ("need administrator rights", "ChatRefused"),
    ("chat_write_forbidden", "ChatRefused"),
    ("chat_admin_required", "ChatRefused"),
    ("topic_closed", "ChatRefused"),
    ("message thread not found", "ChatRefused"),
    ("logged out", "Unauthorized"),
    ("file must be non-empty", "EmptyObject"),
    ("is too big", "TooLarge"),
    ("too big for a photo", "TooLarge"),
    ("photo_invalid_dimensions", "MediaRefused"),
    ("image_process_failed", "PhotoNotProcessed"),
    ("photo_save_file_invalid", "MediaRefused"),
    ("unsupported extension", "MediaRefused"),
    ("message to forward not found", "MessageGone"),
    ("message can't be forwarded", "MessageGone"),
    ("message_id_invalid", "MessageGone"),
    ("failed to get http url content", "UrlRefused"),
    ("wrong type of the web page content", "UrlRefused"),
    ("wrong http url specified", "UrlRefused"),
    ("can't upload file by url", "UrlRefused"),
    ("webpage_", "UrlRefused"),  # WEBPAGE_CURL_FAILED and its like
    ("wrong file identifier", "MediaRefused"),
    ("remote file identifier", "MediaRefused"),
    ("can't use file of type", "MediaRefused"),
    ("type of file mismatch", "MediaRefused"),
    ("there is no ", "RequestRefused"),
    ("can't parse ", "RequestRefused"),
    ("media not found", "RequestRefused"),
    ("caption is too long", "RequestRefused"),
)
_OF_ONE_KIND = re.compile(
    r"not enough rights to send (?:photo|video|animation|document|audio|music|voice|sticker|gif)"
    r"|chat_send_(?!media)\w+_forbidden"  # CHAT_SEND_PHOTOS_FORBIDDEN and its like
    r"|(?:voice|video)_messages_forbidden"
    r"|restricted receiving of (?:voice|video)"
)
"""A chat that takes other kinds still."""
_BY_STATUS: dict[int, str] = {
    400: "UnknownRefusal",
    401: "Unauthorized",
    403: "ChatRefused",
    404: "Unauthorized",
    413: "TooLarge",
    421: "Unauthorized",
    429: "TooManyRequests",
}
"""Any other below 500 is no answer to an upload (409 is for who polls, telegram.md 5): a proxy or a
portal stands in between, and Telegram has not seen the request."""
_DISGUISED = re.compile(r"too many requests(?:: retry after (\d+))?", re.IGNORECASE)


def classify(status: int, body: bytes, retry_after_header: str | None = None) -> Accepted | Refused:
    """The meaning of an answer to a send; `body` is capped by the caller."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    if status == 200 and answer.get("ok") is True:
        return _accepted(answer.get("result"))
    if status < 300:
        return Refused("BadAnswer", f"status {status} without a readable answer")
    return _refused(status, answer, retry_after_header)


def _accepted(result: Any) -> Accepted | Refused:
    if not isinstance(result, dict):
        return Refused("BadAnswer", "the answer bears no message")
    message_id = result.get("message_id")
    for kind in MEDIA_KEYS:
        media = result.get(kind)
        if kind == "photo" and isinstance(media, list) and media:
            media = max(media, key=_area)
        if isinstance(media, dict) and isinstance(media.get("file_id"), str) and media["file_id"]:
            return Accepted(
                media["file_id"],
                str(media.get("file_unique_id", "")),
                kind,
                message_id if isinstance(message_id, int) else 0,
                _size_bytes(media) if kind in UNCONVERTED else None,
            )
    return Refused("NoFileId", "the message bears none of " + ", ".join(MEDIA_KEYS))


def _size_bytes(media: dict[str, Any]) -> int | None:
    size_bytes = media.get("file_size")
    return size_bytes if isinstance(size_bytes, int) else None


def _area(size: Any) -> int:
    if not isinstance(size, dict):
        return 0
    width, height = size.get("width"), size.get("height")
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def _refused(status: int, answer: dict[str, Any], retry_after_header: str | None) -> Refused:
    description = str(answer.get("description", "")).strip()[:300]
    detail = f"{status} {description}".strip()
    parameters = answer.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    if status == 429:
        waits = (_seconds(parameters.get("retry_after")), _seconds(retry_after_header))
        wait_s = max(waits) or RETRY_AFTER_DEFAULT_S
        return Refused("TooManyRequests", detail, retry_after_s=min(wait_s, RETRY_AFTER_MAX_S))
    if disguised := _DISGUISED.search(description):
        wait_s = _seconds(disguised[1]) or RETRY_AFTER_DEFAULT_S
        return Refused("TooManyRequests", detail, retry_after_s=min(wait_s, RETRY_AFTER_MAX_S))
    migrated = parameters.get("migrate_to_chat_id")
    if isinstance(migrated, int):
        return Refused("ChatMigrated", detail, migrated_to=migrated)
    if status >= 500:
        return Refused("TelegramError", detail)
    if status in (400, 403):
        text = description.lower()
        if _OF_ONE_KIND.search(text):
            return Refused("KindRefused", detail)
        for part, code in _BY_TEXT:
            if part in text:
                return Refused(code, detail)
    return Refused(_BY_STATUS.get(status, "TelegramUnreachable"), detail)


def _seconds(value: Any) -> float:
    """A wait as Telegram or a proxy writes it; 0 when it cannot be read."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0
