"""What Telegram makes of a file: whether it takes it, as which kind, and what it then says of it.

The kind that a client asks for is a wish: a film without sound becomes an animation, an ogg a voice
message, what fits nowhere a document (telegram.md 1, fact 7). Pure.
"""

from dataclasses import dataclass
from typing import Any

from prewarmd.sandbox.botapi.errors import bad_request
from prewarmd.sandbox.botapi.sniff import Sniffed

PHOTO_BYTES_MAX = 10 << 20
PHOTO_EXTENSIONS = ("jpg", "jpeg", "gif", "png", "tif", "bmp", "webp")
"""Of file names; the server does not speak of the last one, which is taken all the same."""
PHOTO_SIDES = (("s", 90), ("m", 320), ("x", 800), ("y", 1280), ("w", 2560))
NOTE_S_MAX, LIVE_S_MAX = 60, 10
BYTES_MAX = {"photo": PHOTO_BYTES_MAX, "video_note": 12 << 20, "live_photo": 10 << 20}
"""Of kinds that have limits of their own."""

_MIME = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp",
    "gif": "image/gif", "mp4": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg",
    "m4a": "audio/mp4", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg",
    "pdf": "application/pdf", "zip": "application/zip", "tgs": "application/x-tgsticker",
    "bin": "application/octet-stream",
}  # fmt: skip
"""By extension, as the server does it."""


def named_as(file_name: str, mime: str) -> str:
    """A file's name, with an extension that fits its type."""
    if _MIME.get(file_name.rpartition(".")[2].lower()) == mime:
        return file_name
    fitting = next((extension for extension, of in _MIME.items() if of == mime), "")
    return f"{file_name}.{fitting}" if fitting else file_name


@dataclass(frozen=True, slots=True)
class Upload:
    """A file part as it arrived."""

    file_name: str
    size_bytes: int
    sha256: str
    sniffed: Sniffed
    data: bytes | None = None
    """All of it, if that is little."""


def judge(upload: Upload, asked: str) -> None:
    """ApiError when Telegram would not have it at all."""
    size_bytes = upload.size_bytes
    if not size_bytes:
        raise bad_request("file must be non-empty")
    if (most := BYTES_MAX.get(asked)) is not None and size_bytes > most:
        raise bad_request(
            f"file of size {size_bytes} bytes is too big for a {asked.replace('_', ' ')}; "
            f"the maximum size is {most} bytes"
        )
    if asked == "photo":
        _judge_photo(upload)
    if asked == "live_photo":
        _judge_film(upload.sniffed)


def _judge_film(sniffed: Sniffed) -> None:
    # Nobody has told yet what the server says here; these are MTProto's words for it.
    if sniffed.family != "video":
        raise bad_request("VIDEO_CONTENT_TYPE_INVALID")
    if sniffed.duration_s > LIVE_S_MAX:
        raise bad_request("VIDEO_FILE_INVALID")


def _judge_photo(upload: Upload) -> None:
    sniffed = upload.sniffed
    if sniffed.family != "image":
        raise bad_request("IMAGE_PROCESS_FAILED")
    wide, high = sniffed.width, sniffed.height
    if wide + high > 10_000 or max(wide, high) > 20 * max(1, min(wide, high)):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    if upload.file_name.rpartition(".")[2].lower() not in PHOTO_EXTENSIONS:
        names = "Use one of .jpg, .jpeg, .gif, .png, .tif or .bmp"
        raise bad_request(f"photo has unsupported extension. {names}")


def kind_of(asked: str, sniffed: Sniffed, *, detect: bool) -> str:
    """As what a file is kept."""
    is_film, is_gif = sniffed.family == "video", sniffed.form == "gif"
    match asked:
        case "photo" | "live_photo":
            return asked
        case "document" if not detect:
            return "document"
        case "sticker" if sniffed.form in ("webp", "tgs", "webm"):
            return "sticker"
        case "voice" if sniffed.family in ("voice", "audio"):
            return "voice"
        case "video_note" if is_film and _is_round(sniffed):
            return "video_note"
        case "document" | "video" | "animation" | "video_note" if is_film:
            return "video" if sniffed.has_sound else "animation"
        case "document" | "animation" if is_gif:
            return "animation"
        case "document" | "audio" if sniffed.family == "audio":
            return "audio"
        case "audio" if sniffed.family == "voice":
            return "voice"
        case _:
            return "document"


def _is_round(sniffed: Sniffed) -> bool:
    return sniffed.width == sniffed.height and sniffed.duration_s <= NOTE_S_MAX


def photo_sizes(sniffed: Sniffed) -> list[tuple[str, int, int]]:
    """(letter, width, height) of down-scaled copies and the largest, never scaled up."""
    longest = max(sniffed.width, sniffed.height)
    sizes = []
    for letter, side in PHOTO_SIDES:
        scale = min(1.0, side / longest)
        wide, high = round(sniffed.width * scale), round(sniffed.height * scale)
        sizes.append((letter, max(1, wide), max(1, high)))
        if side >= longest:
            break
    return sizes


def shown_as(kind: str, file_name: str, sniffed: Sniffed) -> dict[str, Any]:
    """What a message says of a file that is no photo, but for its ids and its size."""
    if kind == "animation" and sniffed.form == "gif":
        file_name += ".mp4"  # it was converted
    extension = file_name.rpartition(".")[2].lower()
    shown: dict[str, Any] = {}
    if kind in ("video", "live_photo", "animation", "sticker"):
        shown |= {"width": sniffed.width, "height": sniffed.height}
    if kind in ("video", "live_photo", "animation", "audio", "voice", "video_note"):
        shown["duration"] = sniffed.duration_s
    if kind == "video_note":
        return shown | {"length": sniffed.width}
    if kind == "sticker":
        moves = {"is_animated": sniffed.form == "tgs", "is_video": sniffed.form == "webm"}
        return shown | {"type": "regular", **moves}
    if kind not in ("voice", "live_photo"):
        shown["file_name"] = file_name
    return shown | {"mime_type": _MIME.get(extension, "application/octet-stream")}
