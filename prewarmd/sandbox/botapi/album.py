"""sendMediaGroup: which media may stand together in an album (telegram.md 2)."""

from typing import Any

import orjson

from prewarmd.sandbox.botapi.errors import bad_request
from prewarmd.sandbox.botapi.files import Files, Medium
from prewarmd.sandbox.botapi.parameters import Parameters

ITEMS_MAX = 10
MIXABLE = frozenset({"photo", "video"})
GROUPED = MIXABLE | {"document", "audio"}


def album(bot_id: int, given: Parameters, files: Files) -> list[tuple[Medium, str, bool]]:
    """(file, caption, whether it was uploaded) of each; ApiError when they do not go together."""
    items = _items(given.text("media"))
    kinds = {str(item.get("type", "")) for item in items}
    for kind in kinds - GROUPED:
        raise bad_request(f'type "{kind}" can\'t be used in sendMediaGroup')
    if len(kinds) > 1 and not kinds <= MIXABLE:
        raise bad_request("document can't be mixed with other media types")
    found = []
    for item in items:
        kind = str(item["type"])
        medium, uploaded = files.resolve(bot_id, kind, str(item.get("media", "")), given)
        found.append((medium, str(item.get("caption", "")), uploaded))
    return found


def item(bot_id: int, given: Parameters, files: Files) -> tuple[Medium, str, bool]:
    """The same of editMessageMedia, which takes one of any kind."""
    [one] = _items(f"[{given.text('media') or '{}'}]")
    medium, uploaded = files.resolve(
        bot_id, str(one.get("type", "")), str(one.get("media", "")), given
    )
    return medium, str(one.get("caption", "")), uploaded


def _items(text: str) -> list[dict[str, Any]]:
    try:
        items: Any = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        items = None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_request("can't parse media JSON object")
    if not 1 <= len(items) <= ITEMS_MAX:
        many = "many" if items else "few"
        raise bad_request(f"there are too {many} messages to send as an album")
    return items
