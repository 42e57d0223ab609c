"""What a client says of a media beside its bytes, and which of it belongs to which kind.

Telegram stores it with the media at the first upload; it cannot be added to a file_id (telegram.md
1). So it travels with the job. A thumbnail is the key of an object in the job's bucket.
"""

from dataclasses import dataclass

SIDE_MAX = 100_000
"""In pixels: more is a mistake."""
DURATION_S_MAX = 604_800
"""A week: more is a mistake, or a file that does not know."""


@dataclass(frozen=True, slots=True)
class About:
    """Of one media; what nobody said is 0, or ""."""

    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    thumbnail: str = ""


NOTHING = About()
_FILM = ("width", "height", "duration_s", "thumbnail")

TAKEN: dict[str, tuple[str, ...]] = {
    "photo": (),
    "video": _FILM,
    "document": ("thumbnail",),
    "audio": ("duration_s", "thumbnail"),
    "animation": _FILM,
    "voice": ("duration_s",),
    "video_note": _FILM,
    "sticker": (),
}
"""Kind -> what its method takes (Bot API: sendVideo and its like). A round film has one side, its
`length`."""


def misfit(kind: str, about: About) -> tuple[str, str] | None:
    """The first field that does not go with the kind or the others, and the rule that it breaks;
    None when all do."""
    for name in _FILM:
        if getattr(about, name) and name not in TAKEN[kind]:
            takers = ", ".join(each for each, taken in TAKEN.items() if name in taken)
            return name, f"a {kind} has none; it belongs to {takers}"
    if bool(about.width) != bool(about.height):
        given, missing = ("width", "height") if about.width else ("height", "width")
        return given, f"must come with {missing}"
    if kind == "video_note" and about.width != about.height:
        return "height", "must equal width: a video_note is round"
    return None
