"""Does SHA-256 use the second core? Five processes, as many as there are children, against one.

Objects of 1 MiB are hashed for a while; the figure is how many times more bytes five processes do
in that time than one does alone. Two cores could give 2.0; what they share (memory, heat, a
neighbour on the same machine) makes it less. Both are measured in turn, several times.

On a busy machine the five have no two cores to themselves, and the figure is that of the machine;
so it is told beside it what they had.
"""

import hashlib
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

PROCESSES = 5
OBJECT_BYTES = 1 << 20
OBJECTS = 8
"""Different ones, so that they do not stay in a core's cache of 1 MiB or so."""
SECONDS = 1.0
ROUNDS = 3


def _hash(line: Connection, seconds: float) -> None:
    """Told to begin, hash for so long; tell how many objects, and the CPU seconds of that."""
    objects = [bytes([number]) * OBJECT_BYTES for number in range(OBJECTS)]
    line.send(0)
    line.recv()
    began_s = time.process_time()
    done, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        hashlib.sha256(objects[done % OBJECTS]).digest()
        done += 1
    line.send((done, time.process_time() - began_s))


@dataclass(frozen=True, slots=True)
class Hashed:
    """What some processes did together."""

    bytes_per_s: float
    cores: float
    """CPU seconds that they had in a second."""


def hashed(processes: int, seconds: float = SECONDS) -> Hashed:
    """By so many processes."""
    spawn = multiprocessing.get_context("spawn")
    lines, running = [], []
    for _ in range(processes):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_hash, args=(theirs, seconds))
        process.start()
        theirs.close()
        lines.append(ours)
        running.append(process)
    for line in lines:
        line.recv()  # it is ready
    for line in lines:
        line.send(0)
    done, cpu_s = map(sum, zip(*(line.recv() for line in lines), strict=True))
    for process in running:
        process.join()
    return Hashed(done * OBJECT_BYTES / seconds, cpu_s / seconds)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Medians of some rounds."""

    ratio: float
    """How many times more five processes hash than one."""
    one_cores: float
    """What the one had."""
    five_cores: float


def hash_scaling() -> Scaling:
    """One and five processes in turn."""
    rounds = [(hashed(1), hashed(PROCESSES)) for _ in range(ROUNDS)]
    return Scaling(
        median(five.bytes_per_s / one.bytes_per_s for one, five in rounds),
        median(one.cores for one, _ in rounds),
        median(five.cores for _, five in rounds),
    )


def main() -> None:
    scaling = hash_scaling()
    if "--json" in sys.argv:
        print(json.dumps({"hash_scaling": round(scaling.ratio, 2)}))
        return
    print(f"SHA-256 of {OBJECT_BYTES >> 20} MiB objects: {PROCESSES} processes do "
          f"{scaling.ratio:.2f} times what one does; they had {scaling.five_cores:.2f} cores, it "
          f"{scaling.one_cores:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
