"""A daemon seen from outside: what the system tells of its processes when it does not answer.

Its pid is the one in the lock file; failing that, the kernel knows who listens at the socket.
"""

import re
import socket
import struct
import time
from pathlib import Path
from typing import Any

from prewarmd.cli.client import Place
from prewarmd.store.lock import holder
from prewarmd.telemetry.process import Sampler, tree

CPU_SPAN_S = 0.2
"""CPU % is a share of time: two samples, so far apart."""

_CHILD = re.compile(r"prewarmd: child (\d+)")
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a disk",
    "T": "stopped by a signal",
    "t": "stopped by a debugger",
    "Z": "dead, not yet reaped",
    "X": "dead",
    "I": "idle",
}


def pid_of(place: Place) -> int | None:
    """The supervisor's pid; None when there is none."""
    pid = holder(place.state_dir) if place.state_dir else None
    return pid or _listener(place.socket)


def _listener(path: Path) -> int | None:
    """Who listens at a socket (SO_PEERCRED, unix(7)): known even when it accepts nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
        ours.setblocking(False)
        try:
            ours.connect(str(path))
            credentials = ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return None
    pid: int = struct.unpack("3i", credentials)[0]
    return pid or None


def look_from_outside(pid: int, code: str, message: str) -> dict[str, Any]:
    """As much of the object of GET /v1/status as can be had without the daemon."""
    sampler = Sampler()
    pids = tree(pid) or [pid]
    for each in pids:
        sampler.sample(each)
    time.sleep(CPU_SPAN_S)
    supervisor, *others = [{**sampler.sample(each), "os_state": _os_state(each)} for each in pids]
    children, helpers = [], []
    for sample in others:
        found = _CHILD.match(sample["name"] or "")
        if found is None:
            helpers.append(sample)
        else:
            unknown = {"state": None, "in_flight": None, "done": None}
            children.append({**sample, "index": int(found[1]), **unknown})
    return {
        "version": None,
        "source": "psutil",
        "readiness": {"ready": False, "reasons": [{"code": code, "message": message}]},
        "supervisor": supervisor,
        "helpers": helpers,
        "children": sorted(children, key=lambda child: int(child["index"])),
    }


def _os_state(pid: int) -> str | None:
    """What the scheduler says of a process; the first thing to know about one that hangs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name before it is in parentheses, and may hold anything.
    letter = stat.rpartition(")")[2].split()[0]
    return _STATES.get(letter, letter)
