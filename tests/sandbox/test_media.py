"""Every file that the demo makes is one that decodes."""

import gzip
import io
from itertools import pairwise

import av
import orjson
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
@pytest.mark.parametrize(
    "form", [Format.MP4, Format.MP4_SILENT, Format.MP4_SQUARE, Format.MP3, Format.OGG]
)
def test_films_and_music_decode(form: Format, size_bytes: int) -> None:
    """Exact size, and FFmpeg decodes what should be inside, and nothing else."""
    data = make(form, size_bytes, 5)
    assert len(data) == size_bytes
    with av.open(io.BytesIO(data), "r") as container:
        frames = {"video": 0, "audio": 0}
        for packet in container.demux():
            frames[packet.stream.type] += len(packet.decode())
    assert (frames["video"] == 10) == (form not in (Format.MP3, Format.OGG))
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
        make(form, 50, 1)


@pytest.mark.parametrize("form", [Format.JPEG, Format.GIF, Format.OGG])
def test_any_size_can_be_made(form: Format) -> None:
    """No remainder at the borders of a segment, a block or a page is left over."""
    for size_bytes in (*range(30_000, 30_260), *range(65_000, 65_010), *range(70_040, 70_300)):
        assert len(make(form, size_bytes, 1)) == size_bytes


def test_what_moves_does() -> None:
    """A GIF has its frames behind its padding, and a sticker unpacks."""
    with Image.open(io.BytesIO(make(Format.GIF, 50_000, 5))) as image:
        assert getattr(image, "n_frames", 1) == 2
        image.seek(1)
        image.load()
    assert orjson.loads(gzip.decompress(make(Format.TGS, 50_000, 5)))["w"] == 512


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
