"""Does SHA-256 use the second core? Five processes, as many as there are children, against one.

Objects of 1 MiB are hashed for a while; the figure is how many times more bytes five processes do
in that time than one does alone. Two cores could give 2.0; what they share (memory, heat, a
neighbour on the same machine) makes it less. Both are measured in turn, several times.
"""

import hashlib
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from statistics import median

PROCESSES = 5
OBJECT_BYTES = 1 << 20
OBJECTS = 8
"""Different ones, so that they do not stay in a core's cache of 1 MiB or so."""
SECONDS = 1.0
ROUNDS = 3


def _hash(line: Connection, seconds: float) -> None:
    """Told to begin, hash for so long; tell how many objects."""
    objects = [bytes([number]) * OBJECT_BYTES for number in range(OBJECTS)]
    line.send(0)
    line.recv()
    done, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        hashlib.sha256(objects[done % OBJECTS]).digest()
        done += 1
    line.send(done)


def hashed_bytes_per_s(processes: int, seconds: float = SECONDS) -> float:
    """By so many processes together."""
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
    done: int = sum(line.recv() for line in lines)
    for process in running:
        process.join()
    return done * OBJECT_BYTES / seconds


def hash_scaling() -> float:
    """How many times more five processes hash than one: the median of some rounds."""
    ratios = []
    for _ in range(ROUNDS):
        alone = hashed_bytes_per_s(1)
        ratios.append(hashed_bytes_per_s(PROCESSES) / alone)
    return median(ratios)


def main() -> None:
    scaling = hash_scaling()
    if "--json" in sys.argv:
        print(json.dumps({"hash_scaling": round(scaling, 2)}))
        return
    print(f"SHA-256 of {OBJECT_BYTES >> 20} MiB objects: {PROCESSES} processes do {scaling:.2f} "
          "times what one does")  # fmt: skip


if __name__ == "__main__":
    main()
