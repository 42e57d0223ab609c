"""The wire form of messages: what is said is what is heard, and nothing else is."""

from typing import Any

import orjson
import pytest

from prewarmd.core import reports, verbs
from prewarmd.core.about import About
from prewarmd.errors import ProtocolError
from prewarmd.messages import Drain, Message, decode, encode

FILM = About(640, 360, 12.5, "thumbs/a.jpg")
UPLOAD = verbs.Upload(1, 2, 3, 1, "alpha", -100, "video", 4096, 5, "a.mp4", 9, "media", FILM)
RELAY = verbs.Relay(1, 2, 3, 1, "alpha", -100, "video", "media", "a.mp4", 5, "", "a.mp4")
WIRE = ["Upload", 1, 2, 3, 1, "alpha", -100, "video", 4096, 5, "a.mp4", 9, "media"]


@pytest.mark.parametrize(
    "message",
    [
        UPLOAD, verbs.Upload(1, 2, 3, 1, "alpha", -100, "photo", 4096, 5, "a.jpg"), RELAY,
        verbs.Relay(1, 2, 3, 1, "b", 5, "audio", "m", "k", 5, "", "k", About(duration_s=3)),
        Drain(), verbs.Seal(7), reports.Listed(1, [("a", 1, "e")], ""),
    ],
)  # fmt: skip
def test_what_is_said_is_what_is_heard(message: Message) -> None:
    """Over JSON, as it goes over the pipe."""
    heard = decode(orjson.loads(orjson.dumps(encode(message))))
    assert encode(heard) == orjson.loads(orjson.dumps(encode(message)))
    assert type(heard) is type(message)


def test_what_a_job_says_of_its_media_arrives_as_such() -> None:
    """A child takes it apart by name; photos carry nothing."""
    assert encode(UPLOAD) == [*WIRE, [640, 360, 12.5, "thumbs/a.jpg"]]
    heard = decode([*WIRE, [640, 360, 12.5, "thumbs/a.jpg"]])
    assert isinstance(heard, verbs.Upload)
    assert heard.about == FILM
    assert encode(decode([*WIRE, None])) == [*WIRE, None]


@pytest.mark.parametrize(
    "about",
    [[], [640, 360, 12.5], [640, 360, 12.5, None], ["640", 360, 12.5, ""], [[], 1, 1, ""], "x", 0],
)
def test_half_of_it_is_no_message(about: Any) -> None:
    """Never a half-made object in a child's hands."""
    with pytest.raises(ProtocolError, match="Upload with fields that do not fit"):
        decode([*WIRE, about])
