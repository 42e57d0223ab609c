"""The shell's loop around one engine, in simulated time.

Events gather while the loop is busy; a turn takes them all, and its commands are performed as the
daemon performs them: records and questions to the store in order, verbs to the children. When
nothing has happened, time jumps to the next thing due, be it the world's or the engine's.

A crash throws the engine away and loads a new one from what was committed. A step is one event that
came from a model of the world and was handled by the engine; a tick is none.
"""

from collections.abc import Callable, Sequence
from heapq import heappop
from random import Random
from typing import Any

from prewarmd.core import commands, events, records, verbs
from prewarmd.core.commands import Command
from prewarmd.core.engine import Engine
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.simulation import invariants, justice, peek
from tests.simulation.bucket import Bucket
from tests.simulation.children import Children
from tests.simulation.clients import Clients
from tests.simulation.ledger import Ledger
from tests.simulation.memory import Memory
from tests.simulation.store import Store
from tests.simulation.swarm import Swarm
from tests.simulation.telegram import Telegram
from tests.simulation.timeline import Timeline
from tests.simulation.transfers import Transfers
from tests.simulation.ways import Ways
from tests.simulation.weather import Weather

CHECK_STEPS = 2500
"""Between two checks of everything."""
LOOK_TURNS, LOOK_BUSY_TURNS, BUSY = 20, 4, 10
"""Between two looks at who had which turn; less where more than so much was decided."""
SETTLE_S = 10.0
STOP_TOLERANCE_S = 1.0
BEGINS = frozenset({verbs.Fetch, *justice.SENDS, verbs.List, verbs.Head, verbs.AskChat})
CHOSEN = (verbs.Fetch, verbs.Relay, verbs.Forward, verbs.Resend, verbs.Link)
"""What says which way a job goes."""
TICK = (events.Ticked(),)
FOREVER = float("inf")

Make = Callable[[EnginePolicy, Sequence[BotSpec]], Engine]
Trace = Callable[[float, Sequence[events.Event], Sequence[Command]], None]


class UnknownCommandError(Exception):
    """The engine says something that this world was not taught."""


class Performers(dict[type, Callable[[Any], None]]):
    """What is done about each type of command."""

    def __missing__(self, command: type) -> Callable[[Any], None]:
        raise UnknownCommandError(
            f"world.py was not taught {command.__name__}: add it to World._performers"
        )


class World:
    """Every model, and one engine at a time."""

    def __init__(self, seed: int, swarm: Swarm, make: Make = Engine) -> None:
        def dice(name: str) -> Random:
            return Random(f"{name}/{seed}")

        self.swarm, self.policy, self.specs = swarm, swarm.policy(), swarm.specs()
        self.timeline = timeline = Timeline()
        self.inbox: list[events.Event] = []
        put = self.inbox.append
        self.telegram = Telegram(swarm, self.specs, timeline, dice("telegram"))
        self.bucket = Bucket(swarm, self.telegram.like, dice("bucket"))
        self.memory = Memory(swarm.cache_pages)
        self.children = Children(swarm, timeline, put, self.memory, dice("children"))
        self.ways = Ways(self.specs, timeline)
        ledger = Ledger(
            self.policy, timeline, self.bucket, self.telegram, self.ways, self.children.guilt.seems
        )
        self.store = Store(
            swarm, self.policy, timeline, put, ledger, self.children.guilt.forgive, dice("store")
        )
        self.transfers = Transfers(
            swarm, timeline, put, self.memory, self.children, self.bucket, self.telegram, self.ways,
            dice("transfers"),
        )  # fmt: skip
        self.transfers.sends.content_of = self._content_of
        self.clients = Clients(swarm, timeline, put, self.bucket, self.store, dice("clients"))
        self.weather = Weather(
            swarm, timeline, self.children, self.store, self.bucket, self.telegram, dice("weather")
        )  # fmt: skip
        self.weather.crash, self.weather.drain = self.crash, self.drain
        self.steps = 0
        self.turns = 0
        self.crashes = 0
        self.trace: Trace | None = None
        self._make = make
        self._performers = self._performers_of()
        self._chance = dice("jitter").random
        self.start()

    # -- lives of the engine ---------------------------------------------------------------------

    def start(self) -> None:
        """A daemon starts: a new engine, to be told what is committed."""
        self.engine = self.clients.engine = self._make(self.policy, self.specs)
        self._justice = justice.Justice(self.engine, self.store)
        self.is_over = False
        self._is_draining = False
        self._free_at = self._turned_at = self.timeline.now
        self._spins, self._spun_at = 0, 0.0
        self._idle_turns, self._idle_since = 0, self.timeline.now
        self.store.recover()
        self.store.begin_load()

    def crash(self) -> None:
        """The supervisor is killed at this very moment, and started again."""
        self.crashes += 1
        self.children.crash()
        self.store.crash()
        holds = self.store.ledger.holds.items()
        self.telegram.crash({chat: hold.until for chat, hold in holds})
        self.clients.crash()
        self.ways.crash()
        self.inbox.clear()
        self.start()

    def drain(self, asked: events.DrainAsked) -> None:
        """Somebody wants the daemon to stop, or to be quicker about it; then it starts again."""
        if self.is_over:
            return
        self._is_draining = True
        self.inbox.insert(0, asked)  # what it hears after that begins nothing
        engine = self.engine

        def look(late_s: float) -> None:
            if self.engine is engine and not self.is_over:
                invariants.stop_is_in_time(late_s)

        late_s = STOP_TOLERANCE_S + 2 * self.swarm.turn_s
        self.timeline.after(asked.deadline - self.timeline.now + late_s, look, late_s)

    def _finish(self, finish: commands.Finish) -> None:
        if self.is_over:
            raise invariants.Violation("finished_once", f"{finish}")
        if finish.failure:
            most = self.policy.restart.boot_failures
            invariants.despair_is_earned(self.children.boot_failures, most)
        self.is_over = True
        self._settle((self.timeline.now + SETTLE_S, self.engine, not finish.failure))

    def _settle(self, how: tuple[float, Engine, bool]) -> None:
        """Wait for the last commit, but not for ever; then start anew."""
        until, engine, in_peace = how
        if self.engine is not engine:
            return
        if self.store.is_idle and not self.store.is_stalled:
            if in_peace:
                invariants.stop_is_clean(self.store.open.values())
            self.crash()
        elif self.timeline.now >= until:
            self.crash()
        else:
            self.timeline.after(0.05, self._settle, how)

    def calm_down(self) -> None:
        """Faults stop and clients rest; what happened has happened."""
        self.clients.is_resting = True
        self.weather.clear_up()
        self._set(self.swarm.calm())

    def stir_up(self) -> None:
        """Everything that the seed has drawn begins, or begins again."""
        self._set(self.swarm)
        self.weather.rise(self.steps)
        self.clients.wake_up()

    def _set(self, swarm: Swarm) -> None:
        transfers = self.transfers
        models = (self.telegram, self.bucket, self.store, self.children, transfers, transfers.sends)
        for model in models:
            model.swarm = swarm

    def unfinished(self) -> list[str]:
        """What a person wants to know of jobs that do not end."""
        said = []
        for row in self.store.open.values():
            held = "held" if peek.is_held(self.engine, row.id) else "lost"
            said.append(f"{row}, {held}, {row.code}")
        return said + [f"{b.prefix} is not listed" for b in self.store.batches if not b.done]

    def check(self) -> None:
        """Everything that costs too much for every step."""
        if self.is_over:
            return
        peek.check(self.engine, self.telegram, self.timeline.now)
        invariants.acknowledged_is_stored(self.clients.acknowledged, len(self.store.rows))
        admitted = {
            job.id for one in self.inbox if isinstance(one, events.Admitted) for job in one.jobs
        }
        written = self.store.jobs_being_written()
        for row in self.store.open.values():
            coming = row.life != self.store.life or row.id in admitted or row.id in written
            invariants.unfinished_is_held(row, coming or peek.is_held(self.engine, row.id))

    def nothing_is_left(self) -> None:
        """At rest the world itself holds nothing that the engine made it hold."""
        left = {
            "claims on memory": self.memory.claims,
            "tasks": self.children.working,
            "messages that nobody knows of": len(self.telegram.unsettled),
            "questions without an answer": len(self.clients.open_tickets),
        }
        if found := {name: number for name, number in left.items() if number}:
            raise invariants.Violation("nothing_is_left", f"{found}")

    # -- turns -----------------------------------------------------------------------------------

    def run(
        self,
        *,
        steps: float = FOREVER,
        seconds: float = FOREVER,
        until: Callable[[], bool] | None = None,
    ) -> bool:
        """Live on until so many steps more are done, so many seconds are over, or something is
        so, which is looked at after each turn; whether it was not time that ended it."""
        timeline, inbox = self.timeline, self.inbox
        last_step, end = self.steps + steps, timeline.now + seconds
        next_check = self.steps + CHECK_STEPS
        while (at := self._next_turn(end)) <= end and at != FOREVER:
            timeline.now = at
            self._turn(inbox, at)
            if self.steps >= self.weather.due:
                self.weather.strike(self.steps)
            if self.steps >= next_check:
                next_check = self.steps + CHECK_STEPS
                self.check()
            if self.steps >= last_step or (until is not None and until()):
                return True
        timeline.now = end
        return False

    def _next_turn(self, end: float) -> float:
        """Let happen what happens before the next turn, and until `end` at the latest; when the
        turn is."""
        timeline, inbox, heap = self.timeline, self.inbox, self.timeline.heap
        at = FOREVER if self.is_over else max(timeline.now, self._free_at)
        is_asked = self.is_over
        while True:
            while heap and (now := heap[0][0]) <= at and now <= end:
                what, value = heappop(heap)[2:]
                timeline.now = now
                what(value)
                if inbox and at > now and not self.is_over:
                    at = max(now, self._free_at)
            if inbox or is_asked:
                return at
            # Asked only now: what happened while the loop was busy mostly makes it needless.
            is_asked = True
            at = max(at, self.engine.next_deadline(self._turned_at))

    def _turn(self, inbox: list[events.Event], now: float) -> None:
        happened = inbox[:]
        inbox.clear()
        self.turns += 1
        silence = None
        if happened and type(happened[0]) is type(happened[-1]) is events.ChildBeat:
            silence = justice.Silence.of(happened, self.engine, self._turned_at)
        out = self.engine.turn(happened or TICK, now, self._chance())
        if self.trace is not None:
            self.trace(now, happened, out)
        self.steps += len(happened)
        self._turned_at, self._free_at = now, now + self.swarm.turn_s
        if not happened:
            self._count_idle(now, decided=bool(out))
        every = LOOK_TURNS if len(out) <= BUSY else LOOK_BUSY_TURNS
        rests = self._is_draining or self.engine.stalled or commands.Finish in map(type, out)
        if self.turns % every == 0 and not rests:
            self._justice.look(out, now)
            peek.lanes_are_as_told(self.engine, self.telegram)
        if out:
            if silence is not None:
                silence.check(out, now)
            invariants.turn_is_bounded(len(out), len(happened), len(self.store.open))
            performers = self._performers
            for command in out:
                performers[type(command)](command)
            self.store.flush()
        self.children.gone.clear()

    def _count_idle(self, now: float, *, decided: bool) -> None:
        """A turn in which only time passed."""
        self._spins = self._spins + 1 if now == self._spun_at else 1
        self._spun_at = now
        invariants.loop_does_not_spin(self._spins, now)
        if decided:
            return
        self._idle_turns += 1
        if self._idle_turns >= invariants.TICKS_WINDOW:
            seconds, swarm = now - self._idle_since, self.swarm
            sends_per_s = swarm.speed * swarm.bots * swarm.chats
            invariants.ticks_are_rare(self._idle_turns, seconds, sends_per_s)
            self._idle_turns, self._idle_since = 0, now

    # -- what is performed -----------------------------------------------------------------------

    def _tell(self, command: commands.Tell) -> None:
        if (self._is_draining or self.store.is_stalled) and type(command.verb) in BEGINS:
            why = "draining" if self._is_draining else "stalled"
            invariants.nothing_begins(why, command.verb)
        if isinstance(command.verb, justice.SENDS):
            self._justice.sent(command.verb)
        if isinstance(command.verb, CHOSEN):
            self.ways.take(command.verb, self.store.rows[command.verb.job - 1])
        self.transfers.tell(command)

    def _content_of(self, job: int) -> str:
        return peek.content_of(self.engine, job)

    def _performers_of(self) -> Performers:
        write = self.store.unwritten.append
        performers = Performers(
            {
                commands.Tell: self._tell,
                commands.Spawn: self.children.spawn,
                commands.Kill: self.children.kill,
                commands.Retire: self.children.retire,
                commands.Finish: self._finish,
            }
        )
        for kind in self.store.takes:
            performers[kind] = write
        performers[records.Release] = self._released
        return performers

    def _released(self, record: records.Release) -> None:
        self.store.rows[record.job - 1].is_put_back = True
        self.store.unwritten.append(record)
