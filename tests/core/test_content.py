"""Keys: which may be used, which kind they mean, and which of them carry their content."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.content import Carried, KeyPattern, check_key, is_sha256, kind_of
from prewarmd.core.jobs import Kind

SHA = "0123456789abcdef" * 4
SEED = KeyPattern.parse("{bot}/{kind}/{sha256}.{ext}")


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("", "must not be empty"),
        ("a" * 1025, "must be at most 1024 bytes in UTF-8, not 1025"),
        ("é" * 513, "must be at most 1024 bytes in UTF-8, not 1026"),
        ("a\0b", "must not contain NUL"),
        (".", "must not have . or .. as a whole segment"),
        ("a/../b", "must not have . or .. as a whole segment"),
        ("a/./b", "must not have . or .. as a whole segment"),
        ("a/..", "must not have . or .. as a whole segment"),
        ("a\ud800b", "must be text in UTF-8, without lone surrogates"),
    ],
)
def test_a_key_that_cannot_be_carried_unchanged_is_refused_with_its_rule(
    key: str, rule: str
) -> None:
    """Each rule has one sentence, which the API shows."""
    assert check_key(key) == rule


@pytest.mark.parametrize(
    "key",
    ["a", "é" * 512, "/a", "a//b", "a/...", "..a/b..", ".hidden", "a b+c%2F?#", "tab\there", "🙂"],
)
def test_other_keys_are_opaque(key: str) -> None:
    """Whatever S3 stores is a key: slashes, dots inside a segment, control characters, emoji."""
    assert check_key(key) is None


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a.jpg", Kind.PHOTO),
        ("a.JPEG", Kind.PHOTO),
        ("dir.mp4/a.png", Kind.PHOTO),
        ("a.mp4", Kind.VIDEO),
        ("a.mp3", Kind.AUDIO),
        ("a.m4a", Kind.AUDIO),
        ("a.ogg", Kind.VOICE),
        ("a.gif", Kind.ANIMATION),
        ("a.tgs", Kind.STICKER),
        ("a.webp", Kind.PHOTO),
        ("a.webm", Kind.DOCUMENT),
        ("a.pdf", Kind.DOCUMENT),
        ("dir.jpg/a", Kind.DOCUMENT),
        ("a", Kind.DOCUMENT),
        ("a.", Kind.DOCUMENT),
    ],
)
def test_kind_comes_from_the_extension_of_the_last_segment(key: str, kind: Kind) -> None:
    """Unknown extensions are documents: Telegram takes anything as one."""
    assert kind_of(key) is kind


def test_a_key_of_the_seed_layout_carries_its_content() -> None:
    """Bot, kind, hash and extension are read off the key."""
    assert SEED.match(f"shop/photo/{SHA}.jpg") == Carried("shop", Kind.PHOTO, SHA, "jpg")


@pytest.mark.parametrize(
    "key",
    [
        f"shop/photo/{SHA.upper()}.jpg",
        f"shop/photo/{SHA[:-1]}.jpg",
        f"shop/photo/{SHA}0.jpg",
        f"shop/poster/{SHA}.jpg",
        f"x/shop/photo/{SHA}.jpg",
        f"shop/photo/{SHA}.jpg\n",
        f"shop/photo/{SHA}",
        f"shop/photo/{SHA}xjpg",
    ],
)
def test_a_key_that_only_resembles_the_layout_carries_nothing(key: str) -> None:
    """A hash is believed only when the whole key fits; literals are literal."""
    assert SEED.match(key) is None


def test_fields_other_than_the_hash_may_be_left_out() -> None:
    """What a pattern does not hold is None."""
    assert KeyPattern.parse("cas/{sha256}").match(f"cas/{SHA}") == Carried(None, None, SHA, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must have the field {sha256}"),
        ("{bot}/{kind}", "must have the field {sha256}"),
        ("{sha256}/{hash}", "has the unknown field {hash}"),
        ("{sha256}/{sha256}", "has {sha256} twice"),
        ("{sha256", "belongs to no field"),
        ("{sha256}}", "belongs to no field"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_when_it_is_parsed(text: str, problem: str) -> None:
    """A mistake in the pattern shows at start, not as content that is never recognised."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        KeyPattern.parse(text)


@given(st.text(max_size=40))
def test_no_key_breaks_the_reading_of_keys(key: str) -> None:
    """Any text is either clean or refused, and none makes a reader raise."""
    check_key(key)
    kind_of(key)
    SEED.match(key)


def test_a_sha256_is_written_in_lower_case_hex() -> None:
    """One content, one spelling: the catalogue compares text."""
    assert is_sha256(SHA)
    assert not is_sha256(SHA.upper())
    assert not is_sha256(SHA + "\n")
