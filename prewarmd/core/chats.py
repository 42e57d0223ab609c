"""Chats whose kind nobody told us: asked once with getChat, because the pace depends on it."""

from collections import deque
from dataclasses import dataclass

from prewarmd.core import verbs
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import Tell
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.gate import NO_PROBE
from prewarmd.core.lanes import Lane


@dataclass(slots=True, eq=False)
class Asking:
    """One getChat in flight."""

    lane: Lane
    child: Child


class Chats:
    """Those that wait to be asked about, and those that are."""

    def __init__(self, desk: Desk, children: Children) -> None:
        self.asking: dict[int, Asking] = {}
        self._desk = desk
        self._children = children
        lanes = (lane for bot in desk.bots.values() for lane in bot.lanes)
        self._unknown = deque(lane for lane in lanes if lane.chat_kind is None)

    def pump(self) -> None:
        """Ask while there are slots."""
        while self._unknown and (child := self._children.pick()):
            lane = self._unknown.popleft()
            task = self._desk.next_task()
            self._children.begin(child, task)
            self.asking[task] = Asking(lane, child)
            verb = verbs.AskChat(task, lane.bot, lane.chat_id)
            self._desk.out.append(Tell(child.index, verb))

    def known(self, task: int, kind: str, now: float) -> None:
        """Telegram told: from now on its own pace."""
        lane = self.asking.pop(task).lane
        bot = self._desk.bots[lane.bot]
        lane.chat_kind = kind
        lane.gate.accept()
        lane.repace(self._desk.policy.limits.pace(kind))
        bot.stir(lane, now)
        self._desk.roster.touch(bot)

    def unknown(self, task: int, code: str, detail: str, now: float) -> None:
        """Its kind stays unknown, so its pace the slower one; a refusal closes it."""
        lane = self.asking.pop(task).lane
        if FAULTS[code].remedy is Remedy.CLOSE_CHAT:
            lane.gate.refuse(code, detail, now, began=NO_PROBE)
            self._desk.bots[lane.bot].stir(lane, now)

    def orphaned(self, task: int) -> None:
        """Its child died: ask again."""
        self._unknown.append(self.asking.pop(task).lane)
