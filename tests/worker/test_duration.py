"""How long a media is, as its file says: the truth or nothing, whatever the file is."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prewarmd.sandbox.media import Format, make
from prewarmd.worker import duration
from prewarmd.worker.duration import Sips, duration_s
from tests.support.sounds import FRAME_S, mp3, mp4

FILES = {
    form: make(form, 200_000, 5)
    for form in (Format.MP4, Format.MP4_SILENT, Format.MP4_SQUARE, Format.MP3, Format.OGG)
}


@pytest.mark.parametrize("form", FILES)
def test_a_film_or_a_sound_tells_it(form: Format) -> None:
    """A video without it is shown as one of 0:00."""
    assert duration_s(memoryview(FILES[form])) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("frames", [3, 1000, 3000])
def test_frames_are_counted_where_no_table_says_how_many(frames: int) -> None:
    """Half a minute of them, and the rest by its bytes."""
    assert duration_s(memoryview(mp3(frames))) == pytest.approx(frames * FRAME_S, rel=0.01)


@pytest.mark.parametrize(
    ("ticks", "per_s", "seconds"),
    [(12_345, 1000, 12.345), (0, 1000, 0.0), (5, 0, 0.0), (0xFFFFFFFF, 1000, 0.0)],
)
def test_what_a_film_does_not_know_is_unknown(ticks: int, per_s: int, seconds: float) -> None:
    """All ones mean unknown, and a film that comes in fragments says 0."""
    assert duration_s(memoryview(mp4(ticks, per_s))) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0", b"OggS", b"ID3", b"\xff\xfb", b"\0\0\0\x08ftyp", bytes(100_000),
        make(Format.PDF, 20_000, 1), make(Format.GIF, 60_000, 1), b"OggS" + bytes(100_000),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        FILES[Format.MP3][:200], FILES[Format.OGG][:200], FILES[Format.MP4][:60],
    ],
)  # fmt: skip
def test_rubbish_is_unknown(data: bytes) -> None:
    """It would have gone up without; so it does."""
    assert duration_s(memoryview(data)) == 0.0


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_broken_files_raise_nothing(form: Format, data: st.DataObject) -> None:
    """Numbers in it lead a reader astray, but not out of the upload."""
    broken = bytearray(FILES[form][: data.draw(st.sampled_from([300, 5000, 200_000]))])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(broken), 2000) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    assert 0.0 <= duration_s(memoryview(bytes(broken))) <= 604_800


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfb\x90\0" + bytes(5_000_000), b"\xff\xff" * 2_000_000,
        b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08free" * 500_000,
        b"\0\0\0\x10ftypisom\0\0\0\0" + struct.pack(">I4s", 5_000_000, b"moov")
        + struct.pack(">I4s", 4_999_992, b"mvhd") + bytes(5_000_000),
        mp3(20)[:-1] + bytes(5_000_000),
    ],
)  # fmt: skip
def test_garbage_is_given_up_soon(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """50 MB of it would hold the child's loop for seconds, or be copied as a whole."""
    files: list[Sips] = []

    def watched(whole: memoryview) -> Sips:
        files.append(Sips(whole))
        return files[-1]

    monkeypatch.setattr(duration, "Sips", watched)
    found = duration_s(memoryview(data))
    [file] = files
    assert file.reads <= duration.READS_MAX
    assert file.read_bytes <= duration.BYTES_MAX
    assert found == 0.0 or not file.is_spent
