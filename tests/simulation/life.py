"""A seed's life: chaos, a crash that is recovered from twice, healing, rest; several times over.

Chaos checks what must hold at every step. Healing checks that nothing waits for ever: faults stop,
clients rest, and everything acknowledged must reach a final state within a bounded simulated time.
At rest nothing may be left behind, and a daemon that starts then must find nothing to do.
"""

import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from typing import Any

from prewarmd.core import events
from prewarmd.core.commands import Command
from prewarmd.core.engine import Engine
from tests.simulation import invariants, peek
from tests.simulation.invariants import Violation
from tests.simulation.swarm import Swarm
from tests.simulation.world import Make, World

STEPS = 20_000
ROUND_STEPS = 6_000
CHAOS_S = 20_000.0
"""Chaos ends after so long even if next to nothing happens."""
HEAL_STEPS = 100_000
"""More steps than any healing takes: one that needs them is not healing."""
REST_S = 30.0
TRACE_TURNS = 40


@dataclass
class Outcome:
    """What became of a seed."""

    seed: int
    asked: int = 0
    """So many steps of chaos were asked for..."""
    steps: int = 0
    """...and so many steps were lived, healing included."""
    jobs_final: int = 0
    simulated_s: float = 0.0
    turns: int = 0
    crashes: int = 0
    violation: str = ""
    """The name of the invariant that broke; "" when all hold."""
    detail: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the swarm that were not drawn by the seed."""
    trace: str = ""
    """A hash over everything that happened, when it was asked for."""
    last_turns: list[str] = field(default_factory=list)


class Life:
    """One seed, from its birth to its outcome."""

    def __init__(
        self,
        seed: int,
        changes: dict[str, Any] | None = None,
        *,
        steps: int = STEPS,
        make: Make = Engine,
        traced: bool = False,
    ) -> None:
        self.outcome = Outcome(seed, steps, changes=changes or {})
        self._steps = steps
        self._hash = blake2b(digest_size=16)
        self._last: deque[tuple[float, Any, Any]] = deque(maxlen=TRACE_TURNS)
        self.world = World(seed, Swarm.draw(seed).but(self.outcome.changes), make)
        if traced:
            self.world.trace = self._note

    def live(self) -> Outcome:
        """All of it; what breaks on the way is in the outcome, never raised."""
        outcome, world = self.outcome, self.world
        try:
            for round_ in count():
                if world.steps >= self._steps:
                    break
                self._chaos()
                if round_ % 2:  # an engine that lost a job would be told of it again
                    self._recover_twice()
                self._heal()
                self._rest()
        except Violation as violation:
            outcome.violation, outcome.detail = violation.invariant, violation.detail
        except Exception as error:  # noqa: BLE001  # a bug is what we are looking for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            outcome.violation = f"{type(error).__name__} in {frame.name}"
            outcome.detail = "".join(traceback.format_exception(error)[-4:])
        outcome.steps, outcome.turns, outcome.crashes = world.steps, world.turns, world.crashes
        outcome.jobs_final = len(world.store.rows) - len(world.store.open)
        outcome.simulated_s = world.timeline.now
        outcome.trace = self._hash.hexdigest()
        outcome.last_turns = [f"{now:.6f} {seen} -> {out}" for now, seen, out in self._last]
        return outcome

    def _note(self, now: float, happened: Sequence[events.Event], out: Sequence[Command]) -> None:
        said = repr(happened), repr(out)
        self._hash.update(f"{now!r} {said[0]} {said[1]}\n".encode())
        self._last.append((now, *said))

    # -- phases ----------------------------------------------------------------------------------

    def _chaos(self) -> None:
        world = self.world
        world.stir_up()
        world.run(steps=min(ROUND_STEPS, self._steps - world.steps), seconds=CHAOS_S)
        world.check()

    def _recover_twice(self) -> None:
        """Two engines that are told what is committed believe and decide the same."""
        world = self.world
        world.crash()
        facts = world.store.facts()
        jobs = [[row.fresh_job() for _, row in sorted(world.store.open.items())] for _ in range(2)]
        engines = [Engine(world.policy, world.specs) for _ in range(2)]
        said = [
            repr(engine.turn([events.Admitted(mine), events.Loaded()], world.timeline.now, 0.5))
            for engine, mine in zip(engines, jobs, strict=True)
        ]
        invariants.recovery_repeats(said[0], said[1])
        believed = [fact[:1] + fact[2:4] for fact in facts]
        views = [[fact[:1] + fact[2:4] for fact in peek.view(engine)] for engine in engines]
        invariants.recovery_repeats(believed, views[0])
        invariants.recovery_repeats(believed, views[1])
        world.crash()
        invariants.recovery_repeats(facts, world.store.facts())

    def _heal(self) -> None:
        world = self.world
        world.calm_down()
        if not world.run(steps=HEAL_STEPS, seconds=self._patience_s(), until=self._is_done):
            invariants.all_is_final(world.unfinished())
        if not self._is_done():
            raise Violation("healing_ends", f"{HEAL_STEPS} steps, {world.unfinished()[:5]}")

    def _patience_s(self) -> float:
        """The most simulated seconds that healing may take, jobs that listings still bring in
        included."""
        world, swarm = self.world, self.world.swarm
        slowest_s = max(3.0 / swarm.speed / min(1.0, swarm.permitted), swarm.slowest_transfer_s)
        paused_s = max(0.0, world.telegram.paused_until() - world.timeline.now)
        waits_s = 2 * 900.0 + 2 * swarm.attempts * (1.5 * swarm.retry_cap_s + 30.0)
        undone = (batch for batch in world.store.batches if not batch.done)
        to_come = sum(max(0, batch.keys - batch.listed) for batch in undone)
        jobs = len(world.store.open) + to_come
        return 600.0 + waits_s + 1.5 * paused_s + 10 * slowest_s * jobs

    def _is_done(self) -> bool:
        world = self.world
        return not (
            world.store.open
            or world.children.working
            or world.inbox
            or world.is_over
            or not world.store.is_idle
            or not all(batch.done for batch in world.store.batches[-50:])
        )

    def _rest(self) -> None:
        """All is done: what is left now is left for ever."""
        world = self.world
        world.run(seconds=REST_S)
        world.check()
        peek.nothing_is_left(world.engine)
        world.nothing_is_left()
        world.crash()
        world.run(seconds=1.0)
        if peek.view(world.engine):
            raise Violation("nothing_is_left", "a daemon that starts at rest finds jobs")
