"""Every file that the demo makes is one that decodes."""

import io
from itertools import pairwise

import av
import pytest
from PIL import Image
from pypdf import PdfReader

from prewarmd.sandbox.media import Format, bench_photo, demo_set, make

SIZES = [30_000, 99_999, 1_000_001]


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("form", [Format.JPEG, Format.PNG, Format.WEBP])
def test_pictures_decode(form: Format, size_bytes: int) -> None:
    """Exact size, and Pillow reads every pixel."""
    data = make(form, size_bytes, 5)
    assert len(data) == size_bytes
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (320, 240)


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("form", [Format.MP4, Format.MP4_SILENT, Format.MP3])
def test_films_and_music_decode(form: Format, size_bytes: int) -> None:
    """Exact size, and FFmpeg decodes what should be inside, and nothing else."""
    data = make(form, size_bytes, 5)
    assert len(data) == size_bytes
    with av.open(io.BytesIO(data), "r") as container:
        frames = {"video": 0, "audio": 0}
        for packet in container.demux():
            frames[packet.stream.type] += len(packet.decode())
    assert (frames["video"] == 10) == (form is not Format.MP3)
    assert (frames["audio"] > 10) == (form is not Format.MP4_SILENT)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_documents_open(size_bytes: int) -> None:
    """Exact size, one page with its text."""
    data = make(Format.PDF, size_bytes, 5)
    assert len(data) == size_bytes
    reader = PdfReader(io.BytesIO(data), strict=True)
    assert [page.extract_text() for page in reader.pages] == ["prewarmd 5"]


@pytest.mark.parametrize("form", list(Format))
def test_same_arguments_same_bytes_other_seed_other_bytes(form: Format) -> None:
    """Deterministic and distinct; too few bytes is an error that names the least."""
    assert make(form, 50_000, 1) == make(form, 50_000, 1)
    assert make(form, 50_000, 1) != make(form, 50_000, 65)
    with pytest.raises(ValueError, match="too few"):
        make(form, 100, 1)


@pytest.mark.parametrize("gap", range(40))
def test_any_size_can_be_made(gap: int) -> None:
    """No remainder at the borders of JPEG's segments is left over."""
    for base in (30_000, 70_000, 135_000):
        assert len(make(Format.JPEG, base + gap, 1)) == base + gap


def test_the_demo_has_what_it_promises() -> None:
    """Shared content, doubled content, hashes in keys, a video of 25 MB, a bounded total."""
    plan = demo_set(60, ["a", "b", "c"])
    assert len(plan) == 60
    assert plan == demo_set(60, ["a", "b", "c"])
    assert len({(m.bot, m.key) for m in plan}) == 60
    assert max(m.size_bytes for m in plan) == 25_000_000
    assert sum(m.size_bytes for m in plan) < 200_000_000
    by_content: dict[int, set[str]] = {}
    for medium in plan:
        by_content.setdefault(medium.seed, set()).add(medium.bot)
    assert any(len(bots) == 3 for bots in by_content.values())
    twins = [(a, b) for a, b in pairwise(plan) if (a.seed, a.bot) == (b.seed, b.bot)]
    assert len(twins) >= 3
    assert all(m.size_bytes <= 10_000_000 for m in plan if m.kind == "photo")
    assert len(demo_set(1, ["only"])) == 1


def test_bench_photos_are_distinct_and_decode() -> None:
    """Thousands are cheap because they share their padding; each is still its own content."""
    photos = {bench_photo(100_000, index) for index in range(50)}
    assert len(photos) == 50
    for photo in photos:
        assert len(photo) == 100_000
    with Image.open(io.BytesIO(next(iter(photos)))) as image:
        image.load()
