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


def shares(objects: Sequence[Object], parts: int) -> list[Sequence[Object]]:
    """Dealt out to so many processes."""
    return [objects[number::parts] for number in range(parts)]
