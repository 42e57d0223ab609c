"""A process and all below it, as psutil sees them."""

import psutil


class Tree:
    """Sums over a daemon's processes."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def _all(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_s(self) -> float:
        """User and system seconds of all that live, so far."""
        times = [process.cpu_times() for process in self._all()]
        return sum(each.user + each.system for each in times)

    def own_cpu_s(self) -> float:
        """The same for the root alone: the supervisor."""
        times = self._root.cpu_times()
        return times.user + times.system

    def pss_bytes(self) -> int:
        """Memory, shared pages counted once."""
        return sum(pss_bytes for _, pss_bytes in self.parts())

    def parts(self) -> list[tuple[str, int]]:
        """(title, PSS) of each process."""
        return [
            (" ".join(process.cmdline())[:32].strip(), process.memory_full_info().pss)
            for process in self._all()
        ]
