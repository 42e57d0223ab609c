"""A client as a process: `python -m bench.data.process NAME`, a plan on its first line of input, an
order on each further one; it answers each with what that cost.

Processes live for all rounds and wait in between, so that rounds can alternate between clients and
none pays for its start.
"""

import importlib
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import uvloop

from bench.data.clients.base import Plan
from bench.data.objects import Object, shares
from prewarmd.sandbox import children


@dataclass(frozen=True, slots=True)
class Spent:
    """What an order cost, over all processes that did it."""

    cpu_s: float
    """User and system."""
    wall_s: float


class Clients:
    """One client of a name, or several that share the work. A context: started and stopped."""

    def __init__(self, name: str, plan: Plan, processes: int = 1) -> None:
        self._name = name
        self._plan = plan
        self._count = processes
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Clients":
        for _ in range(self._count):
            command = [sys.executable, "-m", "bench.data.process", self._name]
            self._processes.append(children.start(command, pipes=True, loud=True))
        try:
            for process in self._processes:
                self._tell(process, asdict(self._plan))
                self._hear(process)
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            children.stop(process)
        self._processes = []

    def run(self, verb: str, objects: Sequence[Object]) -> Spent:
        """Have it done; RuntimeError when a client fails (it has said why)."""
        for process, part in zip(
            self._processes, shares(objects, len(self._processes)), strict=True
        ):
            self._tell(process, [verb, [(one.key, one.size_bytes) for one in part]])
        told = [self._hear(process) for process in self._processes]
        return Spent(sum(one["cpu_s"] for one in told), max(one["wall_s"] for one in told))

    @staticmethod
    def _tell(process: "subprocess.Popen[bytes]", value: Any) -> None:
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(value) + b"\n")
        process.stdin.flush()

    def _hear(self, process: "subprocess.Popen[bytes]") -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client {self._name} has ended")
        return orjson.loads(line)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve(name: str) -> None:
    client: Any = importlib.import_module(f"bench.data.clients.{name}").Client()
    await client.open(Plan(**orjson.loads(sys.stdin.readline())))
    print(flush=True, end="{}\n")
    while line := sys.stdin.readline():  # between orders there is nothing else to do
        verb, asked = orjson.loads(line)
        cpu_s, began = _cpu_s(), time.monotonic()
        await getattr(client, verb)(asked)
        spent = Spent(_cpu_s() - cpu_s, time.monotonic() - began)
        print(orjson.dumps(asdict(spent)).decode(), flush=True)
    await client.close()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
