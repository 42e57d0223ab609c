"""What stood at a URL, and what Telegram makes of it (telegram.md 1 and 7). Pure.

Its fetchers look at what the page says of itself: a size, and a content type that has to fit the
kind. Which refusal has which words is told by those who met them: a document that is neither gif,
pdf nor zip is a "wrong file identifier" (TelegramBotPHP #202), whatever cannot be had is "failed to
get" (PTB #2300).
"""

from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from prewarmd.sandbox.botapi.conversion import Upload, named_as
from prewarmd.sandbox.botapi.errors import ApiError, bad_request

PHOTO_BYTES_MAX, BYTES_MAX, VOICE_BYTES_MAX = 5 << 20, 20 << 20, 1 << 20
"""Of photos, of everything, and of what stays a voice message."""
_TYPES = {
    "photo": ("image/",),
    "video": ("video/",),
    "document": ("image/gif", "application/pdf", "application/zip"),
    "audio": ("audio/",),
    "animation": ("image/gif", "video/mp4"),
    "voice": ("audio/ogg",),
    "sticker": ("image/webp",),
}
"""How the content type of each kind begins; the others cannot be sent by URL at all."""


FILE = "file:/"
"""How a path begins, which a local server reads itself."""


class PageMissingError(Exception):
    """A request names a URL that nobody has fetched for it yet."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


@dataclass(frozen=True, slots=True)
class Page:
    """What a GET brought; `upload` is None when it brought nothing, or too much."""

    content_type: str = ""
    upload: Upload | None = None

    def remembered(self) -> "Page":
        """The same without its bytes."""
        return (
            self if self.upload is None else replace(self, upload=replace(self.upload, data=None))
        )


def address(text: str, asked: str) -> str:
    """The URL that a parameter's text means; ApiError when it is not even looked at."""
    if asked not in _TYPES:
        raise bad_request("wrong file identifier/HTTP URL specified")
    url = text if "://" in text or text.startswith(FILE) else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # ValueError when it is no number
    except ValueError:
        is_web = False
    if not is_web:
        raise bad_request("wrong HTTP URL specified")
    return url


def file_name(url: str, content_type: str) -> str:
    """The last part of a URL's path, with an extension that its type asks for."""
    return named_as(unquote(urlsplit(url).path).rpartition("/")[2] or "file", content_type)


def taken(page: Page, asked: str) -> tuple[Upload, str]:
    """A page's file, and the kind it is asked for from now on; ApiError when it is refused."""
    upload, most = page.upload, PHOTO_BYTES_MAX if asked == "photo" else BYTES_MAX
    if upload is None or not 0 < upload.size_bytes <= most:
        raise _no_content()
    if not page.content_type.startswith(_TYPES[asked]):
        is_file = asked == "document" and not page.content_type.startswith("text/html")
        raise bad_request("wrong file identifier/HTTP URL specified") if is_file else _wrong_type()
    if asked == "photo" and upload.sniffed.family != "image":
        raise _wrong_type()
    if asked == "voice" and upload.size_bytes > VOICE_BYTES_MAX:
        return upload, "document"
    return upload, asked


def _no_content() -> ApiError:
    return bad_request("failed to get HTTP URL content")


def _wrong_type() -> ApiError:
    return bad_request("wrong type of the web page content")
