"""The buckets: a gate for each, and the backlogs that wait for one to open.

A bucket that refuses us, or is down, holds back the jobs of its own backlogs and nobody else's.
They are set aside, out of the rotation; all are looked at again when the gate may be probed, and
when the probe has told.
"""

from prewarmd.core.bots import Backlog
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.gate import Gate
from prewarmd.core.roster import Roster


class Buckets:
    """All that were ever asked for anything, by name."""

    def __init__(self, roster: Roster) -> None:
        self.gates: dict[str, Gate] = {}
        self._roster = roster
        self._aside: dict[str, dict[Backlog, None]] = {}

    def gate(self, bucket: str) -> Gate:
        """The bucket's gate."""
        gate = self.gates.get(bucket)
        if gate is None:
            gate = self.gates[bucket] = Gate()
        return gate

    def open(self, bucket: str) -> None:
        """It answered."""
        if self.gate(bucket).accept():
            self._recall(bucket)

    def leave(self, bucket: str, began: float) -> None:
        """A request ended that says nothing about the bucket; a closed one may be probed again."""
        if self.gate(bucket).leave(began=began):
            self._recall(bucket)

    def close(self, bucket: str, code: str, detail: str, now: float, began: float) -> None:
        """It refused us, or failed, as a request that began then was told."""
        gate = self.gate(bucket)
        if FAULTS[code].remedy is Remedy.CLOSE_BUCKET:
            gate.refuse(code, detail, now, began=began)
        else:
            gate.fail(code, detail, now, began=began)
        if not gate.is_open and not gate.probing:
            for backlog in self._aside.get(bucket, ()):
                self._roster.park(backlog.bot, gate.until)

    def put_aside(self, backlog: Backlog) -> None:
        """Its bucket's gate is closed: out of the rotation until it may be probed, or opens."""
        gate = self.gate(backlog.bucket)
        self._roster.take_out(backlog)
        self._aside.setdefault(backlog.bucket, {})[backlog] = None
        if not gate.probing:
            self._roster.park(backlog.bot, gate.until)

    def _recall(self, bucket: str) -> None:
        for backlog in self._aside.pop(bucket, ()):
            self._roster.touch(backlog.bot)
