"""Media described in JSON: several in an album, one in an edit (telegram.md 2)."""

from typing import Any

import orjson

from prewarmd.sandbox.botapi.errors import ApiError, bad_request
from prewarmd.sandbox.botapi.files import Files, Medium
from prewarmd.sandbox.botapi.parameters import Parameters

ITEMS_MAX = 10
MIXABLE = frozenset({"photo", "video", "live_photo"})
GROUPED = MIXABLE | {"document", "audio"}
EDITABLE = GROUPED | {"animation"}


def count(given: Parameters) -> int:
    """How many messages an album would be; 1 when it is none."""
    try:
        return len(_items(given))
    except ApiError:
        return 1


def album(bot_id: int, given: Parameters, files: Files) -> list[tuple[Medium, str, bool]]:
    """(file, caption, whether it was uploaded) of each; ApiError when they do not go together."""
    items = _items(given)
    kinds = {_text(item, "type") for item in items}
    for kind in kinds - GROUPED:
        raise bad_request(f'type "{kind}" can\'t be used in sendMediaGroup')
    if len(kinds) > 1 and not kinds <= MIXABLE:
        raise bad_request("document can't be mixed with other media types")
    return [_resolved(bot_id, item, given, files) for item in items]


def edited(bot_id: int, given: Parameters, files: Files) -> tuple[Medium, str, bool]:
    """The same of the one that editMessageMedia takes."""
    item = _parsed(given)
    if not isinstance(item, dict):
        raise bad_request("can't parse media JSON object")
    if _text(item, "type") not in EDITABLE:
        raise bad_request("can't parse InputMedia: type must be specified")
    return _resolved(bot_id, item, given, files)


def _resolved(
    bot_id: int, item: dict[str, Any], given: Parameters, files: Files
) -> tuple[Medium, str, bool]:
    kind, media = _text(item, "type"), _text(item, "media")
    if kind == "live_photo":
        medium, uploaded = files.live_photo(bot_id, media, _text(item, "photo"), given)
    else:
        medium, uploaded = files.resolve(bot_id, kind, media, given)
    return medium, _text(item, "caption"), uploaded


def _parsed(given: Parameters) -> Any:
    try:
        return orjson.loads(given.text("media") or "[]")
    except orjson.JSONDecodeError:
        raise bad_request("can't parse media JSON object") from None


def _items(given: Parameters) -> list[dict[str, Any]]:
    items = _parsed(given)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_request("can't parse media JSON object")
    if not 1 <= len(items) <= ITEMS_MAX:
        many = "many" if items else "few"
        raise bad_request(f"there are too {many} messages to send as an album")
    return items


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""
