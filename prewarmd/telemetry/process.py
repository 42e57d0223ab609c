"""Processes as the system sees them, through psutil: the only file that imports it.

PSS divides shared pages among those who share them, so the sum over the tree is what the daemon
costs; RSS counts the arena once for every child.
"""

import os
import time
from typing import Any

import psutil


class Sampler:
    """Keeps psutil's objects, because CPU % is the share since the object's last sample."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def sample(self, pid: int) -> dict[str, Any]:
        """pid, cpu_percent, rss_bytes, pss_bytes, fds, uptime_s; None for what may not be read."""
        empty: dict[str, Any] = {
            "pid": pid, "name": None, "cpu_percent": None, "rss_bytes": None, "pss_bytes": None,
            "fds": None, "uptime_s": None,
        }  # fmt: skip
        try:
            process = self._known.get(pid)
            if process is None or not process.is_running():
                process = self._known[pid] = psutil.Process(pid)
            with process.oneshot():
                return {
                    "pid": pid,
                    "name": _role(process),
                    "cpu_percent": process.cpu_percent(),
                    "rss_bytes": process.memory_info().rss,
                    "pss_bytes": _pss(process),
                    "fds": process.num_fds(),
                    "uptime_s": round(time.time() - process.create_time(), 1),
                }
        except psutil.Error:
            self._known.pop(pid, None)
            return empty

    def others(self, children: set[int]) -> list[int]:
        """The rest of the tree below this process: forkserver and resource tracker."""
        try:
            below = psutil.Process(os.getpid()).children(recursive=True)
        except psutil.Error:
            return []
        return [process.pid for process in below if process.pid not in children]


def tree(pid: int) -> list[int]:
    """`pid` and everything below it."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.Error:
        return []


def _role(process: psutil.Process) -> str:
    line = " ".join(process.cmdline()[:4]).strip()  # a title is padded with blanks
    for word in ("forkserver", "resource_tracker"):
        if word in line:
            return word
    return line[:60] or process.name()


def _pss(process: psutil.Process) -> int | None:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return None
