"""Whose turn it was: what the end of a turn tells of those who had one, and of those who had none.

All of it follows from one thought: ways only close in the course of a turn. Whoever could still be
sent when it is over could have been all along; so nobody may be left who could start, and nobody
who had a turn may be worse than one who is left. Who came in or was put back in this very turn is
passed over.

It looks inside the engine for who waits where, but decides for itself who may go and at which
level: the table of scores is written down here once more, and so is what opens a lane. It costs
O(everything), so only some turns are looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Self

from prewarmd.core import records, verbs
from prewarmd.core.bots import Bot
from prewarmd.core.children import ChildState
from prewarmd.core.commands import Command, Tell
from prewarmd.core.engine import Engine
from prewarmd.core.events import ChildBeat, Event
from prewarmd.core.jobs import Job, JobId, Kind, Phase
from prewarmd.core.lanes import Lane
from prewarmd.core.scoring import ScorePolicy
from tests.simulation import invariants
from tests.simulation.store import Store

SENDS = (verbs.Upload, verbs.Relay, verbs.Forward, verbs.Resend, verbs.Link)
_OF_KIND = {Kind.PHOTO: 20, Kind.VIDEO: -10}


def level(job: Job, policy: ScorePolicy, now: float) -> int:
    """The score of the seed's table, if nobody gave the job a priority."""
    if job.priority is not None:
        return job.priority
    score, size_bytes = 100 + _OF_KIND.get(job.kind, 0), job.size_bytes
    if size_bytes is not None:
        if size_bytes < policy.tiny_below_bytes:
            score += 50
        elif size_bytes < policy.small_below_bytes:
            score += 30
        elif size_bytes > policy.huge_above_bytes:
            score -= 20
    return score + 15 if now < job.created + policy.young_s else score


class Justice:
    """The eye on one engine, from its start to its end."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine, self._store = engine, store
        self._turns = 0
        self._served: dict[str, int] = {}
        """bot -> when it had its last turn to send, as a number that rises with every turn."""

    def sent(self, verb: verbs.Upload | verbs.Relay | verbs.Light) -> None:
        """A bot has a turn; a suspect takes none of it."""
        if not self._engine.desk.jobs[JobId(verb.job)].suspect:
            self._turns += 1
            self._served[verb.bot] = self._turns

    def look(self, out: Sequence[Command], now: float) -> None:
        """Look at a turn that is over and said `out`, of which nothing is done yet. The loop was
        neither stalled nor draining."""
        Look(self._engine, now).check(out, self._store, self._served)


class Silence:
    """A turn in which children beat and nothing else happened: made before it, checked after it.

    Passed over is what is fetched ahead for bots that have something under way already: time makes
    room for more of it, and what becomes of the rest is soon enough to see that. So is a turn after
    one that kept a child for a suspect: the others' slots came back when that turn was over.
    """

    @classmethod
    def of(cls, happened: Sequence[Event], engine: Engine, turned_at: float) -> Self | None:
        """Before a turn that is to hear of `happened`; None when it is no such turn."""
        if all(type(event) is ChildBeat for event in happened):
            return cls(engine, turned_at)
        return None

    def __init__(self, engine: Engine, turned_at: float) -> None:
        self._jobs = engine.desk.jobs
        self._busy = {bot.slug for bot in engine.desk.bots.values() if bot.under_way}
        is_reserved = engine.children.ward is not None
        self._deadline = 0.0 if is_reserved else engine.next_deadline(turned_at)

    def check(self, out: Sequence[Command], now: float) -> None:
        """What it decided must have been due."""
        ahead = {one.job for one in out if isinstance(one, records.Start)}
        ahead = {job for job in ahead if not self._is_alone(job)}
        for command in out:
            match command:
                case Tell(_, verb) if isinstance(verb, SENDS):
                    if verb.job not in ahead:
                        invariants.nothing_is_overdue(command, now, self._deadline)
                case records.Wake():
                    invariants.nothing_is_overdue(command, now, self._deadline)
                case records.Start(job) if self._is_alone(job):
                    invariants.nothing_is_overdue(command, now, self._deadline)
                case _:
                    pass

    def _is_alone(self, job: JobId) -> bool:
        started = self._jobs.get(job)
        return started is not None and started.bot not in self._busy


class Look:
    """One look at the engine, at the end of a turn."""

    def __init__(self, engine: Engine, now: float) -> None:
        self._engine, self._desk, self._now = engine, engine.desk, now
        children = engine.children
        self._has_slot = any(
            child.rows and child.state is ChildState.READY and not child.alone
            for child in children.all
            if child is not children.ward
        )
        self._able = [
            bot
            for bot in self._desk.bots.values()
            if (bot.loaded or not bot.under_way) and self._may_send(bot)
        ]

    def check(self, out: Sequence[Command], store: Store, served: Mapping[str, int]) -> None:
        """Everything; `served` is when bots had their turns, this one left out."""
        self._probes_are_alone()
        if self._has_slot:
            self._who_may_go_goes()
        told = [command.verb for command in out if type(command) is Tell]
        sent = [self._job(verb.job) for verb in told if isinstance(verb, SENDS)]
        sent = [job for job in sent if not job.suspect]
        if sent:
            self._best_is_sent(sent)
            self._turns_are_fair(sent, served)
        # A GET that answers the catalogue begins before the rest of the turn is heard: its child
        # may have died in it, and its job have been cancelled.
        asked = [JobId(verb.job) for verb in told if isinstance(verb, verbs.Fetch)]
        fetched = [job for job in map(self._desk.jobs.get, asked) if job is not None]
        if fetched:
            chosen = {one.job for one in out if isinstance(one, records.Start)}
            for job in fetched:
                if (
                    job.id in chosen
                    and not (job.suspect or job.starved)
                    and job.queued_at < self._now
                ):
                    self._best_is_fetched(job, store)
                    break  # one tells enough, and each costs a backlog

    def _job(self, job: int) -> Job:
        return self._desk.jobs[JobId(job)]

    def _may_send(self, bot: Bot) -> bool:
        """Whether an upload of it could begin now; when in doubt, not."""
        now = self._now
        if not (bot.gate.may_pass(now) and bot.scope.may_pass(now) and bot.pace.next_at <= now):
            return False
        if bot.in_flight >= (bot._crowded_max or bot.in_flight_max):
            return False
        return any(True for _ in self._open_lanes(bot))

    def _open_lanes(self, bot: Bot) -> Iterator[Lane]:
        now = self._now
        for lane in bot.lanes:
            if (
                lane.in_flight < lane.in_flight_max
                and lane.gate.may_pass(now)
                and lane.paused_until <= now
                and lane.pace.next_at <= now
            ):
                yield lane

    def _waiting(self, bot: Bot) -> Iterator[Job]:
        """Who could be sent by it, and could have been all turn long."""
        now = self._now
        for job in bot.loaded:
            is_old = job.queued_at < now
            if is_old and bot.spread.free_at(job.size_bytes or 0) <= now and self._is_taken(job):
                yield job

    def _is_taken(self, job: Job) -> bool:
        """Whether a lane that is open takes its kind."""
        bot = self._desk.bots[job.bot]
        gates = [lane.refusals.get(job.kind) for lane in self._open_lanes(bot)]
        return any(gate is None or gate.may_pass(self._now) for gate in gates)

    def _level(self, job: Job) -> int:
        return level(job, self._engine.policy.score, self._now)

    def _is_choosy(self, job: Job) -> bool:
        return self._desk.bots[job.bot].choosy > 0

    def _starves(self, job: Job) -> bool:
        horizon_s = self._engine.policy.prefetch_horizon_s
        return job.starved or job.queued_at + horizon_s <= self._now

    def _probes_are_alone(self) -> None:
        """What a bot sends after a flood in one of its chats: one, and nothing until its answer;
        likewise after a refusal."""
        probing: dict[str, int] = {}
        for task, sending in self._engine.uploads.sending.items():
            if (probe := probing.get(sending.job.bot)) is not None:
                invariants.probe_is_alone(sending.job.bot, probe, task)
            if sending.is_probe:
                probing[sending.job.bot] = task
        self._one_asks_again()
        for bot in self._desk.bots.values():
            if bot.scope.probing and bot.slug not in probing:
                invariants.probe_is_under_way(bot.slug)
            ways = [(bot.gate, bot.in_flight)]
            ways += [(lane.gate, lane.in_flight) for lane in bot.lanes]
            ways += [
                (gate, lane.in_flight) for lane in bot.lanes for gate in lane.refusals.values()
            ]
            for gate, in_flight in ways:
                if gate.probing and not in_flight:
                    invariants.probe_is_under_way((bot.slug, gate))

    def _one_asks_again(self) -> None:
        """Whether a chat takes a kind that it has refused, one upload finds out."""
        asking: dict[tuple[int, Kind], int] = {}
        for task, sending in self._engine.uploads.sending.items():
            kind, lane = sending.job.kind, sending.lane
            gate = lane.refusals.get(kind)
            if gate is not None and sending.began >= gate.until:
                other = asking.setdefault((id(lane), kind), task)
                if other != task:
                    invariants.probe_is_alone(f"{lane.bot}, {kind} to {lane.chat_id}", other, task)

    def _who_may_go_goes(self) -> None:
        desk, now, policy = self._desk, self._now, self._engine.policy
        may_fetch = (
            not desk.memory_short
            and desk.recalling < policy.workers * policy.slots
            and desk.downloading.may_pass(now)
        )
        for bot in self._able:
            if desk.uploading.may_pass(now) and any(True for _ in self._waiting(bot)):
                invariants.who_may_go_goes(bot.slug, "send")
            if bot.under_way or not may_fetch:
                continue
            for backlog in bot.backlogs.values():
                is_open = backlog and desk.buckets.gate(backlog.bucket).may_pass(now)
                if is_open and (not bot.choosy or all(map(self._is_taken, backlog))):
                    invariants.who_may_go_goes(bot.slug, f"fetch from {backlog.bucket}")

    def _best_is_sent(self, sent: list[Job]) -> None:
        """Of two that are sent one after the other, at most one goes because it starves. A bot that
        is choosy takes its turn by its best job, and may send a lesser one: it is compared with
        itself."""
        waiting = [(self._level(job), job) for bot in self._able for job in self._waiting(bot)]
        if not waiting:
            return
        for job in [job for job in sent if self._is_choosy(job)]:
            for at, other in waiting:
                if other.bot == job.bot and at > self._level(job) and not self._starves(job):
                    invariants.best_goes_first(job, other)
        best_level, best = max(waiting, key=lambda each: each[0])
        for job in sent:
            is_lesser = self._level(job) < best_level
            if is_lesser and not self._starves(job) and not self._is_choosy(job):
                invariants.best_goes_first(job, best)
        for one, other in pairwise(sent):
            if one.starved or other.starved or self._is_choosy(one) or self._is_choosy(other):
                continue
            if max(self._level(one), self._level(other)) < best_level:
                invariants.best_goes_first((one, other), best)

    def _turns_are_fair(self, sent: list[Job], served: Mapping[str, int]) -> None:
        """Who goes first in a turn was not served after an equal who is left."""
        first = {job.bot: job for job in reversed(sent)}
        for slug, job in first.items():
            if self._starves(job) or self._is_choosy(job):
                continue
            for bot in self._able:
                if bot.slug in first or served.get(bot.slug, 0) >= served.get(slug, 0):
                    continue
                if any(self._level(other) == self._level(job) for other in self._waiting(bot)):
                    invariants.turns_are_fair(slug, bot.slug)

    def _best_is_fetched(self, job: Job, store: Store) -> None:
        """Compared with the others of its backlog; those that it was put before know no order."""
        mine = self._level(job)
        for other in self._desk.bots[job.bot].backlog(job.bucket):
            if other.queued_at >= self._now or other.phase is not Phase.QUEUED:
                continue
            rows = store.rows[job.id - 1], store.rows[other.id - 1]
            if any(row.is_retried for row in rows) and not invariants.RULES.retried_age_in_time:
                continue
            theirs = self._level(other)
            if theirs > mine:
                invariants.best_goes_first(job, other)
            is_older = other.queued_at < job.queued_at and other.id < job.id
            if theirs == mine and is_older and all(row.is_steady for row in rows):
                invariants.oldest_goes_first(job, other)
