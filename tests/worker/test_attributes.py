"""What is said of a media beside its bytes: by its job, else by its file, as Telegram wants it."""

import pytest

from prewarmd.core.about import TAKEN, About
from prewarmd.core.jobs import Kind
from prewarmd.sandbox.media import Format, make
from prewarmd.worker.attributes import attributes
from prewarmd.worker.media import Media, Ways, Whole
from prewarmd.worker.sense import sense
from tests.support.sounds import mp4

WAYS = Ways(lambda _: None, lambda: None)
DATA = {form: make(form, 200_000, 9) for form in Format}


def said(
    kind: Kind, form: Format, about: About | None = None, landed: int | None = None
) -> dict[str, str]:
    """Of a media of which so much is here."""
    data = memoryview(DATA[form])
    media = Whole(data, WAYS) if landed is None else Media(data[:landed], len(data), WAYS)
    return attributes(sense(media.first, len(data), kind, "x"), about, media)


def test_every_kind_is_known() -> None:
    """One that is missing would be an error in a child."""
    assert set(TAKEN) == set(Kind)


@pytest.mark.parametrize(
    ("kind", "form", "expected"),
    [
        (Kind.VIDEO, Format.MP4, {"duration": "1"}),
        (Kind.ANIMATION, Format.MP4_SILENT, {"duration": "1"}),
        (Kind.ANIMATION, Format.GIF, {"width": "64", "height": "48"}),
        (Kind.VIDEO_NOTE, Format.MP4_SQUARE, {"duration": "1"}),
        (Kind.AUDIO, Format.MP3, {"duration": "1"}),
        (Kind.VOICE, Format.OGG, {"duration": "1"}),
        (Kind.VIDEO, Format.PDF, {}),
        (Kind.DOCUMENT, Format.MP4, {}),
        (Kind.PHOTO, Format.JPEG, {}),
        (Kind.STICKER, Format.WEBP, {}),
    ],
)
def test_what_the_file_says(kind: Kind, form: Format, expected: dict[str, str]) -> None:
    """Nothing that its method does not take, and nothing that is guessed."""
    assert said(kind, form) == expected


@pytest.mark.parametrize(
    ("kind", "about", "expected"),
    [
        (Kind.VIDEO, About(640, 360, 12.5), {"width": "640", "height": "360", "duration": "12"}),
        (Kind.VIDEO, About(640, 360), {"width": "640", "height": "360", "duration": "1"}),
        (Kind.VIDEO, About(thumbnail="t"), {"duration": "1"}),
        (Kind.VIDEO_NOTE, About(240, 240, 0.1), {"length": "240", "duration": "1"}),
        (Kind.VOICE, About(duration_s=59.6), {"duration": "60"}),
        (Kind.DOCUMENT, About(thumbnail="t"), {}),
    ],
)
def test_the_job_says_it_first(kind: Kind, about: About, expected: dict[str, str]) -> None:
    """Its client may know better than a header; Telegram counts whole seconds, from one on."""
    assert said(kind, Format.MP4, about) == expected


def test_the_front_of_a_film_tells_the_whole_duration() -> None:
    """Large films are sent while they still come, and all of them would be shown as 0:00; a front
    whose box is cut, or is yet to come, tells nothing."""
    film = memoryview(mp4(90_500, 1000) + bytes(900_000))
    for landed, duration in ((100_000, "90"), (45, None), (30, None)):
        media = Media(film[:landed], len(film), WAYS)
        told = attributes(sense(media.first, len(film), Kind.VIDEO, "x"), None, media)
        assert told.get("duration") == duration


def test_a_sound_that_still_comes_says_nothing_of_its_duration() -> None:
    """Its end is what tells it."""
    assert said(Kind.VOICE, Format.OGG, landed=150_000) == {}
    assert said(Kind.VOICE, Format.OGG, About(duration_s=7), landed=9) == {"duration": "7"}
    assert said(Kind.VOICE, Format.OGG, landed=200_000) == {"duration": "1"}
