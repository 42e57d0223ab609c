"""What the engine is told of the configuration."""

from pathlib import Path

import pytest

from prewarmd.config.tree import Config
from prewarmd.core.jobs import Kind
from prewarmd.supervisor.daemon import policy_of, spec_of

PHOTO_BYTES, NOTE_BYTES = 10 << 20, 12 << 20


def config(tmp_path: Path, **telegram: str) -> Config:
    """The least there can be, and a [telegram]."""
    bot = {"slug": "alpha", "token": "12345:" + "x" * 35, "warmup_chats": [{"id": -7}]}
    return Config.model_validate(
        {
            "state_dir": tmp_path, "socket": tmp_path / "socket", "bots": [bot],
            "r2": {"account_id": "abc123", "bucket": "media"}, "telegram": telegram,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("server", "most"), [("hosted", 50_000_000), ("local", 2_000_000_000)])
def test_a_photo_that_may_become_a_document_may_be_as_large(
    tmp_path: Path, server: str, most: int
) -> None:
    """It would fail as TooLarge before anybody looked at it; and where it may not, it would be
    downloaded for nothing."""
    falls_back = policy_of(config(tmp_path, server=server)).size_max
    assert falls_back == dict.fromkeys(Kind, most) | {Kind.VIDEO_NOTE: NOTE_BYTES}
    fails = policy_of(config(tmp_path, server=server, photo_fallback="fail")).size_max
    assert fails == falls_back | {Kind.PHOTO: PHOTO_BYTES}


def test_a_child_is_told_what_becomes_of_unfit_photos(tmp_path: Path) -> None:
    """It alone sees the bytes."""
    assert spec_of(config(tmp_path), 0).telegram.photo_fallback == "document"
    fails = config(tmp_path, photo_fallback="fail")
    assert spec_of(fails, 0).telegram.photo_fallback == "fail"
