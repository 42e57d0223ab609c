"""What befalls the world from outside: deaths, outages, stops. Each sort at its own rate.

The next of each sort comes after so many steps, exponentially distributed, not after so many
seconds: a quiet night in which nothing happens is no better a test for being longer.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import log
from random import Random

from prewarmd.core import events
from tests.simulation.bucket import OUTAGES as BUCKET_OUTAGES
from tests.simulation.bucket import Bucket
from tests.simulation.children import Children
from tests.simulation.clients import KINDS
from tests.simulation.store import Store
from tests.simulation.swarm import Swarm
from tests.simulation.telegram import CHAT_REFUSALS, OUTAGES, Telegram
from tests.simulation.timeline import Timeline

FLOODS_S = (3.0, 20.0, 120.0)
AGAIN_MAX = 20
GRACES_S = (0.0, 1.0, 20.0)
NEVER = float("inf")


class Weather:
    """What comes next, and when; `due` is the step at which `strike` wants to be called."""

    def __init__(
        self,
        swarm: Swarm,
        timeline: Timeline,
        children: Children,
        store: Store,
        bucket: Bucket,
        telegram: Telegram,
        dice: Random,
    ) -> None:
        self.due = NEVER
        self.crash: Callable[[], None]
        self.drain: Callable[[events.DrainAsked], None]
        self._swarm, self._timeline, self._dice = swarm, timeline, dice
        self._children, self._store = children, store
        self._bucket, self._telegram = bucket, telegram
        self._number = count()
        self._coming: list[tuple[float, int, float, Callable[[], None]]] = []
        """(step, number, rate, what)."""

    def rise(self, steps: int) -> None:
        """Begin, at step `steps`."""
        swarm = self._swarm
        sorts: list[tuple[float, Callable[[], None]]] = [
            (swarm.kills, self._kill),
            (swarm.stalls, self._stall),
            (swarm.outages, self._bucket_out),
            (swarm.silences, self._silence),
            (swarm.floods, self._flood),
            (swarm.revocations, self._revoke),
            (swarm.refused_chats, self._refuse_chat),
            (swarm.migrations, self._migrate),
            (swarm.overwrites, self._overwrite),
            (swarm.crashes, self._crash),
            (swarm.drains, self._drain),
            (swarm.refused_kinds, self._refuse_kind),
            (swarm.deletions, self._telegram.messages.delete),
            (swarm.spoilings, self._telegram.messages.spoil),
        ]
        self._coming = [
            (steps + self._gap(rate), next(self._number), rate, what)
            for rate, what in sorts
            if rate > 0
        ]
        heapify(self._coming)
        self.due = self._coming[0][0] if self._coming else NEVER

    def strike(self, steps: int) -> None:
        """Let come what is due."""
        while self._coming and self._coming[0][0] <= steps:
            _, number, rate, what = heappop(self._coming)
            heappush(self._coming, (steps + self._gap(rate), number, rate, what))
            what()
        self.due = self._coming[0][0] if self._coming else NEVER

    def clear_up(self) -> None:
        """Everything works again."""
        self._coming, self.due = [], NEVER
        self._store.is_out = False
        self._bucket.outages.clear()
        self._telegram.silence = ""
        self._telegram.revoked.clear()
        self._telegram.refusing.clear()
        self._telegram.refusing_kinds.clear()

    def _gap(self, rate: float) -> float:
        return -log(1.0 - self._dice.random()) * 1000.0 / rate

    def _for_a_while(self, longest_s: float, end: Callable[[object], None]) -> None:
        self._timeline.after(longest_s * self._dice.random() ** 2, end)

    # -- every sort ------------------------------------------------------------------------------

    def _kill(self) -> None:
        child = self._dice.choice(self._children.living)
        if child is not None:
            self._children.die((child, "killed by SIGKILL"))

    def _stall(self) -> None:
        self._store.is_out = True

        def end(_: object) -> None:
            self._store.is_out = False

        self._for_a_while(20.0, end)

    def _bucket_out(self) -> None:
        name = self._dice.choice(self._bucket.names)
        self._bucket.go_out(name, self._dice.choice(BUCKET_OUTAGES))

        def end(_: object) -> None:
            self._bucket.outages.pop(name, None)

        self._for_a_while(120.0, end)

    def _silence(self) -> None:
        if self._dice.random() < 0.3:
            self._telegram.restart(10.0 * self._dice.random())
            return
        self._telegram.go_out(self._dice.choice(OUTAGES))

        def end(_: object) -> None:
            self._telegram.silence = ""

        self._for_a_while(120.0, end)

    def _flood(self) -> None:
        bot, chat = self._dice.choice(self._telegram.homes)
        wait_s = self._dice.choice(FLOODS_S)
        self._telegram.begin_flood(bot, chat if self._dice.random() < 0.7 else None, wait_s)
        if self._dice.random() < 0.2:
            self._flood_again((bot, chat, AGAIN_MAX))

    def _flood_again(self, which: tuple[str, int, int]) -> None:
        """A chat that is in trouble for long: no sooner is a pause over than the next begins."""
        bot, chat, times = which
        if times and self._coming:
            wait_s = FLOODS_S[0] * (1 + self._dice.random())
            self._telegram.begin_flood(bot, chat, wait_s)
            self._timeline.after(2 * wait_s, self._flood_again, (bot, chat, times - 1))

    def _revoke(self) -> None:
        bot, _ = self._dice.choice(self._telegram.homes)
        self._telegram.revoked[bot] = True

        def end(_: object) -> None:
            self._telegram.revoked.pop(bot, None)

        self._for_a_while(60.0, end)

    def _refuse_chat(self) -> None:
        home = self._dice.choice(self._telegram.homes)
        self._telegram.refusing[home] = self._dice.choice(CHAT_REFUSALS)

        def end(_: object) -> None:
            self._telegram.refusing.pop(home, None)

        self._for_a_while(60.0, end)

    def _refuse_kind(self) -> None:
        """Of one chat, or of all of a bot's."""
        bot, chat = self._dice.choice(self._telegram.homes)
        kind = self._dice.choice(KINDS)
        with_all = self._dice.random() < 0.5
        chats = [home for home in self._telegram.homes if home[0] == bot and with_all]
        refused = {(*home, kind) for home in chats or [(bot, chat)]}
        self._telegram.refusing_kinds |= refused

        def end(_: object) -> None:
            self._telegram.refusing_kinds -= refused

        self._for_a_while(200.0, end)

    def _migrate(self) -> None:
        self._telegram.migrate(int(self._dice.random() * len(self._telegram.homes)))

    def _overwrite(self) -> None:
        self._bucket.overwrite(self._timeline.now)

    def _crash(self) -> None:
        """At the end of a turn, or in between, when something has happened since."""
        self._timeline.after(max(0.0, self._dice.random() - 0.5), self._crash_now)

    def _crash_now(self, _: object) -> None:
        self.crash()

    def _drain(self) -> None:
        self._drain_now(None)
        if self._dice.random() < 0.5:  # who asks once may ask again, in a hurry or not
            self._timeline.after(self._dice.random(), self._drain_now)

    def _drain_now(self, _: object) -> None:
        self.drain(events.DrainAsked(self._timeline.now + self._dice.choice(GRACES_S)))
