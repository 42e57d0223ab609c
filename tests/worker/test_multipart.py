"""The body we send, read by a parser that is not ours."""

import io

import pytest
from multipart import MultipartParser

from prewarmd.worker.multipart import envelope, safe_name


def parts(body: bytes, boundary: str) -> dict[str, tuple[str | None, bytes]]:
    parser = MultipartParser(io.BytesIO(body), boundary, content_length=len(body), strict=True)
    return {part.name: (part.filename, part.raw) for part in parser.parts()}


def test_a_strict_parser_reads_fields_and_file() -> None:
    """Exact length, exact bytes, the file last, always with a name."""
    media = bytes(range(256)) * 4 + b"\r\n--boundary\r\n"
    fields = {"chat_id": "-100", "disable_notification": "true"}
    around = envelope(fields, "photo", "a.jpg", "Bo", "image/jpeg")
    body = around.head + media + around.tail
    assert around.size_bytes(len(media)) == len(body)
    assert around.content_type == "multipart/form-data; boundary=Bo"
    read = parts(body, "Bo")
    assert list(read) == ["chat_id", "disable_notification", "photo"]
    assert read["chat_id"] == (None, b"-100")
    assert read["photo"] == ("a.jpg", media)


def test_a_thumbnail_is_a_file_of_its_own_before_the_media() -> None:
    """Telegram takes none by its id; and the last part is the media's, whose end is withheld."""
    media, small = b"a film", b"\xff\xd8\xff\r\n--B"
    around = envelope({"chat_id": "1"}, "video", "a.mp4", "Bo", "video/mp4", small)
    body = around.head + media + around.tail
    assert around.size_bytes(len(media)) == len(body)
    read = parts(body, "Bo")
    assert list(read) == ["chat_id", "thumbnail", "thumb", "video"]
    assert read["thumbnail"] == (None, b"attach://thumb")
    assert read["thumb"] == ("thumb.jpg", small)
    assert read["video"] == ("a.mp4", media)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ('we"ird\r\nname;x=y.png', "we_ird_name_x_y.png"),
        ("ünï.mp4", "n.mp4"),
        ("no-extension", "no-extension.bin"),
        (".jpg", "media.jpg"),
        ("", "media.bin"),
        ("x" * 500 + ".jpeg", "x" * 79 + ".jpeg"),
        ("../../etc/passwd", "passwd.bin"),
    ],
)
def test_a_file_name_cannot_break_the_header(name: str, safe: str) -> None:
    """No quote, no line break, no path; the extension stays, Telegram derives the type from it."""
    assert safe_name(name) == safe
