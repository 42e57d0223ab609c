"""A request's body, read as it arrives: JSON, urlencoded or multipart, into `Parameters`.

A file is hashed and its beginning kept; nothing else of it stays, so a thousand uploads of 50 MB
cost the server no memory.
"""

import hashlib
from typing import Protocol
from urllib.parse import parse_qsl

import orjson
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from prewarmd.sandbox.botapi.conversion import PHOTO_BYTES_MAX, Upload
from prewarmd.sandbox.botapi.errors import ApiError
from prewarmd.sandbox.botapi.parameters import Parameters
from prewarmd.sandbox.botapi.sniff import sniff

TEXT_BYTES_MAX = 1 << 20
FILES_MAX = 50
WHOLE_BYTES = 1 << 20
"""A file that has no more is kept whole, to be downloaded again."""


class Body(Protocol):
    """Takes what arrives; ApiError when it cannot be read."""

    def feed(self, data: bytes) -> None:
        """One piece."""
        ...

    def finish(self) -> Parameters:
        """It was all."""
        ...


class _Text:
    """A small body that is read as a whole."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > TEXT_BYTES_MAX:
            raise ApiError(413, "Request Entity Too Large")

    def finish(self) -> Parameters:
        if not self._is_json:
            return Parameters(dict(parse_qsl(self._data.decode(errors="replace"))))
        try:
            given = orjson.loads(self._data or b"{}")
        except orjson.JSONDecodeError:
            given = None
        if not isinstance(given, dict):
            raise ApiError(400, "Bad Request: can't parse JSON object")
        return Parameters({key: _as_text(value) for key, value in given.items()})


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


class Arrival:
    """One file as it arrives: a part of a form, or what stands at a URL."""

    def __init__(self, name: str, file_name: str, *, hashes: bool) -> None:
        self._file_name = file_name
        self._hash = hashlib.sha256()
        self._hashes = hashes
        self._head: list[bytes | bytearray] = []
        self._keep = PHOTO_BYTES_MAX if name == "photo" else WHOLE_BYTES
        self.size_bytes = 0

    def feed(self, data: bytes | bytearray) -> None:
        """One piece."""
        if self._hashes or not self.size_bytes:
            self._hash.update(data)
        if self.size_bytes < self._keep:
            self._head.append(data)
        self.size_bytes += len(data)

    def finish(self) -> Upload:
        """It was all."""
        if not self._hashes:
            self._hash.update(str(self.size_bytes).encode())
        head = b"".join(self._head)
        data = head if self.size_bytes <= WHOLE_BYTES else None
        return Upload(self._file_name, self.size_bytes, self._hash.hexdigest(), sniff(head), data)


class _Form:
    """multipart/form-data."""

    def __init__(self, boundary: str, *, hashes: bool) -> None:
        self._hashes = hashes
        self._parser = PushMultipartParser(boundary, max_segment_count=500)
        self._given = Parameters()
        self._file: Arrival | None = None
        self._name = ""
        self._text = bytearray()
        self._texts_bytes = 0

    def feed(self, data: bytes) -> None:
        try:
            for event in self._parser.parse(data):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._end()
                elif self._file is not None:
                    self._file.feed(event)
                else:
                    self._grow(event)
        except MultipartError as error:
            raise ApiError(400, "Bad Request: can't parse multipart body") from error

    def _begin(self, segment: MultipartSegment) -> None:
        # A part without a file name is a text, whatever it holds.
        if segment.filename is None:
            self._name, self._text = segment.name, bytearray()
            return
        if len(self._given.files) >= FILES_MAX:
            raise ApiError(413, "Request Entity Too Large: too many files attached")
        # The whole of a photo is wanted; under which name it comes is known only by attach://.
        name = segment.name
        wanted = {text.removeprefix("attach://"): key for key, text in self._given.texts.items()}
        self._file = Arrival(wanted.get(name, name), segment.filename, hashes=self._hashes)
        self._name = name

    def _grow(self, data: bytes | bytearray) -> None:
        self._text += data
        self._texts_bytes += len(data)
        if self._texts_bytes > TEXT_BYTES_MAX:
            raise ApiError(413, "Request Entity Too Large")

    def _end(self) -> None:
        if self._file is not None:
            self._given.files[self._name] = self._file.finish()
            self._file = None
        else:
            self._given.texts[self._name] = self._text.decode(errors="replace")

    def finish(self) -> Parameters:
        try:
            self._parser.close()
        except MultipartError as error:
            raise ApiError(400, "Bad Request: can't parse multipart body") from error
        return self._given


def body_of(content_type: str, *, hashes: bool = True) -> Body:
    """A reader for a content type; without `hashes` a file is its first bytes and its size."""
    kind, options = parse_options_header(content_type)
    if kind == "multipart/form-data":
        boundary = options.get("boundary", "")
        if not boundary or len(boundary) > 70:
            raise ApiError(400, "Bad Request: wrong multipart boundary")
        return _Form(boundary, hashes=hashes)
    return _Text(is_json=kind == "application/json")
