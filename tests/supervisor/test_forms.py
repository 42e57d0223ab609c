"""What a submit may say of its media, and how a mistake in that is named."""

from typing import Any

import orjson
import pytest

from prewarmd.core.about import About
from prewarmd.store.base import NewJob
from prewarmd.supervisor.forms import Judge, ProblemError


def read(**fields: Any) -> About | None:
    """What the job of a body says of its media."""
    body = orjson.dumps({"bot": "shop", "key": "a.mp4", **fields})
    jobs = Judge(["shop"], ("media",)).read(body)
    assert isinstance(jobs, list)
    [job] = jobs
    assert isinstance(job, NewJob)
    return job.about


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({}, None),
        ({"width": None, "height": None, "duration_s": None, "thumbnail": None}, None),
        ({"width": 1, "height": 100_000}, About(1, 100_000)),
        ({"duration_s": 7}, About(duration_s=7.0)),
        ({"duration_s": 0.25, "key": "a.ogg"}, About(duration_s=0.25)),
        ({"thumbnail": "t/a.jpg", "key": "a.pdf"}, About(thumbnail="t/a.jpg")),
        ({"thumbnail": "t.jpg", "duration_s": 1, "key": "a.mp3"}, About(0, 0, 1.0, "t.jpg")),
        ({"kind": "video_note", "width": 240, "height": 240}, About(240, 240)),
        (
            {"key": "a.gif", "width": 2, "height": 3, "duration_s": 1.5, "thumbnail": "t"},
            About(2, 3, 1.5, "t"),
        ),
    ],
)
def test_what_is_said_of_a_media_is_kept(fields: dict[str, Any], about: About | None) -> None:
    """And nothing is what most say: it takes no place in a queue of a million."""
    assert read(**fields) == about


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"width": 0, "height": 10}, "width", "greater than or equal to 1"),
        ({"width": 100_001, "height": 10}, "width", "less than or equal to 100000"),
        ({"width": 1.5, "height": 10}, "width", "integer"),
        ({"width": True, "height": 10}, "width", "integer"),
        ({"width": 10}, "width", "must come with height"),
        ({"height": 10}, "height", "must come with width"),
        ({"duration_s": 0}, "duration_s", "greater than 0"),
        ({"duration_s": 604_801}, "duration_s", "less than or equal to 604800"),
        ({"duration_s": "7"}, "duration_s", "number"),
        ({"thumbnail": ""}, "thumbnail", "must not be empty"),
        ({"thumbnail": "a/../b"}, "thumbnail", ".."),
        ({"thumbnail": 1}, "thumbnail", "string"),
        ({"key": "a.jpg", "thumbnail": "t"}, "thumbnail", "a photo has none; it belongs to video"),
        ({"kind": "sticker", "width": 9, "height": 9}, "width", "a sticker has none"),
        ({"key": "a.ogg", "thumbnail": "t"}, "thumbnail", "a voice has none"),
        ({"key": "a.pdf", "duration_s": 1}, "duration_s", "a document has none"),
        ({"key": "a.mp3", "width": 9, "height": 9}, "width", "belongs to video, animation"),
        ({"kind": "video_note", "width": 9, "height": 8}, "height", "must equal width"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    fields: dict[str, Any], field: str, words: str
) -> None:
    """Telegram would ignore it in silence, and the media be without it for good."""
    with pytest.raises(ProblemError) as refused:
        read(**fields)
    problem = refused.value
    assert (problem.status, problem.more["field"]) == (422, field)
    assert words in problem.detail
