"""What a key tells before any byte is read: whether it may be used, its kind, its content.

A key is opaque: never a path, never a URL. `check_key` refuses only what a store or a signer cannot
carry unchanged: `.` and `..` segments are folded away by some of them, NUL ends a string in others,
a lone surrogate is no UTF-8. Other control characters are legal in S3 and percent-encoded when
signed, so they pass.

A key that bears its content's SHA-256 makes the content known without a request. `KeyPattern` is
compiled once; a match costs about 1 us.
"""

import re
from dataclasses import dataclass
from typing import Self

from prewarmd.core.jobs import Kind

KEY_BYTES_MAX = 1024
"""S3's own limit."""

SHA256 = re.compile(r"[0-9a-f]{64}")

EXTENSIONS: dict[Kind, tuple[str, ...]] = {
    Kind.PHOTO: ("jpg", "jpeg", "png", "webp"),
    Kind.VIDEO: ("mp4", "m4v", "mov"),
    Kind.AUDIO: ("mp3", "m4a"),
    Kind.ANIMATION: ("gif", "mp4"),
    Kind.VOICE: ("ogg", "oga", "opus", "mp3", "m4a"),
    Kind.VIDEO_NOTE: ("mp4",),
    Kind.STICKER: ("tgs", "webp", "webm"),
}
"""What a kind's method takes without turning it into something else (telegram.md 1). (A gif sent as
a photo loses its movement, an ogg sent as audio comes back as a voice message.)"""

KINDS_BY_EXTENSION: dict[str, Kind] = {
    extension: kind for kind in reversed(EXTENSIONS) for extension in EXTENSIONS[kind]
} | {"webm": Kind.DOCUMENT}
"""The first kind of those that take it; all the rest goes as a document, and so does a webm: most
are films, which no method but this one keeps as they are."""

_FIELDS = {
    "bot": r"(?P<bot>[^/]+)",
    "kind": f"(?P<kind>{'|'.join(Kind)})",
    "sha256": f"(?P<sha256>{SHA256.pattern})",
    "ext": r"(?P<ext>[A-Za-z0-9]{1,16})",
}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_key(key: str) -> str | None:
    """The rule that `key` breaks, worded to follow the word "key"; None when it is clean."""
    if not key:
        return "must not be empty"
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "must be text in UTF-8, without lone surrogates"
    if size_bytes > KEY_BYTES_MAX:
        return f"must be at most {KEY_BYTES_MAX} bytes in UTF-8, not {size_bytes}"
    if "\0" in key:
        return "must not contain NUL"
    if not {".", ".."}.isdisjoint(key.split("/")):
        return "must not have . or .. as a whole segment"
    return None


def kind_of(key: str) -> Kind:
    """The kind that the key's extension stands for; a document when it stands for none."""
    name = key.rpartition("/")[2]
    return KINDS_BY_EXTENSION.get(name.rpartition(".")[2].lower(), Kind.DOCUMENT)


def is_sha256(text: str) -> bool:
    """Whether `text` is a SHA-256 as we write it: 64 lower-case hex digits."""
    return SHA256.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Carried:
    """What a key says about its object; None for what its pattern does not hold."""

    bot: str | None
    kind: Kind | None
    sha256: str
    ext: str | None


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """A layout of keys that bear their content, such as `{bot}/{kind}/{sha256}.{ext}`."""

    text: str
    _regex: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Compile a pattern; ValueError says what is wrong with it."""
        regex, end, seen = "", 0, set[str]()
        for placeholder in _PLACEHOLDER.finditer(text):
            name = placeholder[1]
            if name not in _FIELDS:
                known = ", ".join(f"{{{field}}}" for field in _FIELDS)
                raise ValueError(f"has the unknown field {{{name}}}; the fields are {known}")
            if name in seen:
                raise ValueError(f"has {{{name}}} twice")
            seen.add(name)
            regex += _literal(text[end : placeholder.start()]) + _FIELDS[name]
            end = placeholder.end()
        regex += _literal(text[end:])
        if "sha256" not in seen:
            raise ValueError("must have the field {sha256}")
        return cls(text, re.compile(regex))

    def match(self, key: str) -> Carried | None:
        """What `key` carries, None when it is not laid out like this."""
        found = self._regex.fullmatch(key)
        if found is None:
            return None
        fields = found.groupdict()
        kind = fields.get("kind")
        return Carried(
            bot=fields.get("bot"),
            kind=Kind(kind) if kind else None,
            sha256=fields["sha256"],
            ext=fields.get("ext"),
        )


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("has a { or } that belongs to no field")
    return re.escape(text)
