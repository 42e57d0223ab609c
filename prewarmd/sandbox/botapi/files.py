"""The files that Telegram has, and the ids by which each bot knows them. Pure.

How a file parameter is resolved, and what an id may be used for: design paper telegram.md, sections
1 and 3. Contents are kept of small files only, the latest `KEPT_BYTES` of them: enough to download
them again, and no memory to speak of.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from prewarmd.sandbox.botapi import ids
from prewarmd.sandbox.botapi.conversion import Upload, judge, kind_of, photo_sizes, shown_as
from prewarmd.sandbox.botapi.errors import ApiError, bad_request
from prewarmd.sandbox.botapi.page import FILE, PageMissingError, address, taken
from prewarmd.sandbox.botapi.parameters import Parameters
from prewarmd.sandbox.botapi.sniff import Sniffed
from prewarmd.sandbox.botapi.told import thumbnail_of, told

FILE_BYTES_MAX = {"hosted": 50_000_000, "local": 2_000_000_000}
DOWNLOAD_BYTES_MAX = 20 << 20
"""Of a hosted server's getFile."""
KEPT_BYTES = 64 << 20
THUMBNAIL = "thumbnail"
"""The kind of what no method sends again."""
MOVING = ("duration", "width", "height")
"""What a document has not."""


@dataclass(slots=True)
class Medium:
    """A file Telegram has."""

    id: int
    kind: str
    file_name: str
    size_bytes: int
    sha256: str
    sniffed: Sniffed
    thumbnail: "Medium | None" = None
    still: "Medium | None" = None
    """The photo of a live photo."""


@dataclass(slots=True)
class Issued:
    """A file_id that a bot was given: what it is for, and by which message."""

    medium: Medium
    letter: str
    """Which size of a photo."""
    origin: ids.Origin
    is_stale: bool = False


class Files:
    """All there are."""

    def __init__(self, server: str) -> None:
        self.bytes_max = FILE_BYTES_MAX[server]
        self._is_local = server == "local"
        self._issued: dict[tuple[int, str], Issued] = {}
        """By bot and file_id."""
        self._by_content: dict[tuple[str, str], Medium] = {}
        self._count = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0

    # -- what a request names ----------------------------------------------------------------------

    def resolve(self, bot_id: int, asked: str, text: str, given: Parameters) -> tuple[Medium, bool]:
        """The file that a parameter's `text` means, by the four rules of Client::get_input_file,
        and whether it is new to Telegram; without a text it is the part of that name.

        PageMissingError: it means a URL that was not fetched for this request.
        """
        name = asked
        if text.startswith("attach://"):
            name = text.removeprefix("attach://")
        elif _is_url(text):
            return self._by_url(asked, text, given), True
        elif text:
            return self._by_file_id(bot_id, asked, text), False
        upload = given.files.get(name)
        if upload is None:
            raise bad_request(f"there is no {asked.replace('_', ' ')} in the request")
        return self._take_in(upload, asked, given), True

    def live_photo(
        self, bot_id: int, film: str, still: str, given: Parameters
    ) -> tuple[Medium, bool]:
        """The same of a live photo: the texts of its film and of its photo."""
        moving, is_new = self.resolve(bot_id, "live_photo", film, given)
        is_film = moving.kind in ("live_photo", "video", "animation")  # one that was there before
        if not is_film or _is_url(still):
            raise bad_request("wrong file identifier/HTTP URL specified")
        resting, _ = self.resolve(bot_id, "photo", still, given)
        return replace(moving, kind="live_photo", still=resting), is_new

    def _by_url(self, asked: str, text: str, given: Parameters) -> Medium:
        is_path = self._is_local and text.startswith(FILE)
        url = text if is_path else address(text, asked)
        page = given.pages.get(url)
        if page is None:
            raise PageMissingError(url)
        if not is_path:
            return self._take_in(*taken(page, asked), given)
        if page.upload is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        return self._take_in(page.upload, asked, given)

    def _known(self, bot_id: int, text: str) -> Issued:
        found = self._issued.get((bot_id, text))
        if found is not None and not found.is_stale:
            return found
        if ids.is_well_formed(text):
            raise bad_request("wrong file identifier/HTTP URL specified")
        raise bad_request(
            "wrong remote file identifier specified: Wrong string length"
            if len(text) < 20
            else "wrong remote file identifier specified: can't unserialize it"
        )

    def content_of(self, bot_id: int, file_id: str) -> str | None:
        """The SHA-256 behind an id that the bot may use; None when it has none such."""
        found = self._issued.get((bot_id, file_id))
        return None if found is None or found.is_stale else found.medium.sha256

    def issued(self, bot_id: int, file_id: str = "", sha256: str = "") -> list[Issued]:
        """One file_id of a bot, or all it has of a content, stale ones too. O(n) for the latter."""
        if bool(file_id) is bool(sha256):
            raise ValueError("say either file_id or sha256")
        if file_id:
            found = self._issued.get((bot_id, file_id))
            return [] if found is None else [found]
        return [
            one
            for (owner, _), one in self._issued.items()
            if owner == bot_id and one.medium.sha256 == sha256
        ]

    def _by_file_id(self, bot_id: int, asked: str, text: str) -> Medium:
        medium = self._known(bot_id, text).medium
        if (medium.kind == "photo") is not (asked == "photo") or medium.kind == THUMBNAIL:
            raise bad_request(f"can't use file of type {_type(medium.kind)} as {_type(asked)}")
        return medium

    def _take_in(self, upload: Upload, asked: str, given: Parameters) -> Medium:
        judge(upload, asked)
        if upload.size_bytes > self.bytes_max:
            raise ApiError(413, "Request Entity Too Large")
        detect = not given.is_true("disable_content_type_detection")
        kind = kind_of(asked, upload.sniffed, detect=detect)
        self._keep(upload)
        # Telegram looks documents and animations up by their content; other kinds are always new.
        known = self._by_content.get((kind, upload.sha256))
        if known is not None and kind in ("document", "animation", "photo"):
            return known
        medium = Medium(
            self._new_id(kind, upload.sha256), kind, upload.file_name, upload.size_bytes,
            upload.sha256, told(asked, upload.sniffed, given), self._thumbnail(asked, given),
        )  # fmt: skip
        self._by_content[kind, upload.sha256] = medium
        return medium

    def _thumbnail(self, asked: str, given: Parameters) -> Medium | None:
        upload = thumbnail_of(asked, given)
        if upload is None:
            return None
        self._keep(upload)
        return Medium(
            self._new_id(THUMBNAIL, upload.sha256), THUMBNAIL, "thumb.jpg", upload.size_bytes,
            upload.sha256, upload.sniffed,
        )  # fmt: skip

    def _new_id(self, kind: str, sha256: str) -> int:
        self._count += 1
        seed = f"{kind}/{sha256}/{self._count}".encode()
        return int.from_bytes(hashlib.sha256(seed).digest()[:8], "little", signed=True)

    def _keep(self, upload: Upload) -> None:
        if upload.data is None or upload.sha256 in self._kept:
            return
        self._kept[upload.sha256] = upload.data
        self._kept_bytes += len(upload.data)
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    # -- what a message shows ----------------------------------------------------------------------

    def shown(self, bot_id: int, medium: Medium, origin: ids.Origin) -> dict[str, Any]:
        """The media part of a message, and the ids in it registered for this bot."""
        kind, sniffed = medium.kind, medium.sniffed
        if kind == "photo":
            sizes = [
                {
                    **self._ids_of(bot_id, medium, origin, letter),
                    "file_size": max(1, medium.size_bytes * width // max(1, sniffed.width)),
                    "width": width,
                    "height": height,
                }
                for letter, width, height in photo_sizes(sniffed)
            ]
            return {"photo": sizes}
        shown = self._ids_of(bot_id, medium, origin) | shown_as(kind, medium.file_name, sniffed)
        shown["file_size"] = medium.size_bytes
        if (small := medium.thumbnail) is not None:
            shown["thumbnail"] = self._ids_of(bot_id, small, origin, "m") | {
                "file_size": small.size_bytes,
                "width": small.sniffed.width,
                "height": small.sniffed.height,
            }
        if medium.still is not None:
            photo = self.shown(bot_id, medium.still, origin)["photo"]
            return {kind: shown | {"photo": photo}, "photo": photo}
        if kind == "animation":  # answered twice, for clients older than them
            as_document = {key: value for key, value in shown.items() if key not in MOVING}
            return {kind: shown, "document": as_document}
        return {kind: shown}

    def _ids_of(
        self, bot_id: int, medium: Medium, origin: ids.Origin, letter: str = ""
    ) -> dict[str, Any]:
        file_id = ids.file_id(medium.kind, bot_id, medium.id, origin, letter)
        self._issued.setdefault((bot_id, file_id), Issued(medium, letter, origin))
        return {
            "file_id": file_id,
            "file_unique_id": ids.file_unique_id(medium.kind, medium.id, letter),
        }

    # -- downloads ---------------------------------------------------------------------------------

    def described(self, bot_id: int, file_id: str) -> dict[str, Any]:
        """What getFile tells."""
        found = self._known(bot_id, file_id)
        medium, letter = found.medium, found.letter
        if medium.size_bytes > DOWNLOAD_BYTES_MAX and not self._is_local:
            raise bad_request("file is too big")
        folder = "photos" if medium.kind == "photo" else f"{medium.kind}s"
        extension = medium.file_name.rpartition(".")[2]
        return {
            "file_id": file_id,
            "file_unique_id": ids.file_unique_id(medium.kind, medium.id, letter),
            "file_size": medium.size_bytes,
            "file_path": f"{folder}/{medium.sha256}.{extension}",
        }

    def content(self, path: str) -> bytes:
        """Of a file's path; 404 when it is not kept (any more)."""
        data = self._kept.get(path.rpartition("/")[2].partition(".")[0])
        if data is None:
            raise ApiError(404, "Not Found")
        return data


def _is_url(text: str) -> bool:
    return not text.startswith("attach://") and (text.startswith(FILE) or "." in text)


def _type(kind: str) -> str:
    return kind.replace("_", " ").title().replace(" ", "")
