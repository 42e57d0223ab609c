"""Objects to transfer: sizes within 10 % of what is asked, no two alike, neither in size nor in
bytes. What they are does not matter here (no server looks inside), so they are no real photos."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

BUCKET = "bench"


@dataclass(frozen=True, slots=True)
class Object:
    """One object, and what it must hash to wherever it arrives."""

    key: str
    size_bytes: int
    sha256: str


def make(root: Path, folder: str, count: int, about_bytes: int) -> list[Object]:
    """Write `count` objects below `root`, where a static file server finds them as
    /BUCKET/folder/number.jpg. ValueError when there are not so many sizes within 10 %."""
    random = Random(f"{folder} {about_bytes}")
    least, most = about_bytes * 9 // 10, about_bytes * 11 // 10
    sizes = random.sample(range(least, most + 1), count)
    noise = random.randbytes(most)
    place = root / BUCKET / folder
    place.mkdir(parents=True)
    made = []
    for number, size_bytes in enumerate(sizes):
        data = f"{folder}/{number:08}".encode() + noise
        data = data[:size_bytes]
        name = f"{number:06}.jpg"
        (place / name).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        made.append(Object(f"{folder}/{name}", size_bytes, sha256))
    return made


class Endless:
    """Bytes of objects that are larger than what is kept of them: noise, again and again."""

    PERIOD_BYTES = (1 << 20) - 3
    """It has no divisor in common with the ranges of a download, so that no two of these are alike,
    and one in the place of another changes the hash."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._twice = memoryview(Random(name).randbytes(self.PERIOD_BYTES) * 2)

    def stretch(self, start: int, end: int) -> memoryview:
        """At most a period's length."""
        at = start % self.PERIOD_BYTES
        return self._twice[at : at + end - start]

    def object(self, size_bytes: int) -> Object:
        """The first so many bytes, as `bench.data.store` has them."""
        digest = hashlib.sha256()
        for at in range(0, size_bytes, self.PERIOD_BYTES):
            digest.update(self.stretch(at, min(at + self.PERIOD_BYTES, size_bytes)))
        return Object(f"made/{self._name}-{size_bytes}.bin", size_bytes, digest.hexdigest())


def shares(objects: Sequence[Object], parts: int) -> list[Sequence[Object]]:
    """Dealt out to so many processes."""
    return [objects[number::parts] for number in range(parts)]
