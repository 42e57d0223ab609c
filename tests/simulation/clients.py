"""Those who use the daemon: they submit, one job or many, and change their minds.

Between them and the engine stands what the intake does: room is asked for first, a submit is
acknowledged only by its commit, a cancel or retry asks the engine, and the store where the engine
does not hold the job.
"""

from collections.abc import Callable
from math import log
from random import Random

from prewarmd.core import commands, events
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import JobId, JobState, Kind
from tests.simulation import invariants
from tests.simulation.bucket import Bucket, Object
from tests.simulation.catalogue import What
from tests.simulation.rows import NewJob
from tests.simulation.store import Store
from tests.simulation.swarm import Swarm
from tests.simulation.timeline import Timeline

KINDS = (Kind.PHOTO, Kind.PHOTO, Kind.PHOTO, Kind.VIDEO, Kind.DOCUMENT, Kind.AUDIO)
FULL_FACTOR = 20.0
"""How much less often they look while there is no room for them."""
LATELY = 40
"""A key that is used again is one of the last so many."""


class Clients:
    """All of them; `engine` is the one of the moment."""

    def __init__(
        self,
        swarm: Swarm,
        timeline: Timeline,
        put: Callable[[events.Event], None],
        bucket: Bucket,
        store: Store,
        dice: Random,
    ) -> None:
        self.engine: Engine
        self.is_resting = True
        self.acknowledged: list[JobId] = []
        self.refused = 0
        self.open_tickets: dict[int, tuple[type, JobId]] = {}
        self._swarm, self._timeline, self._put = swarm, timeline, put
        self._bucket, self._store, self._dice = bucket, store, dice
        self._bots = [f"bot{number}" for number in range(swarm.bots)]
        self._reserved = 0
        self._ticket = 0
        store.replied = self._replied

    def wake_up(self) -> None:
        """Begin, or begin again."""
        self.is_resting = False
        self._timeline.after(0.0, self._act)

    def crash(self) -> None:
        """The daemon is gone, and with it whatever it was asked."""
        self._reserved = 0
        self.open_tickets.clear()

    def _act(self, _: None) -> None:
        if self.is_resting:
            return
        swarm, dice = self._swarm, self._dice
        think_s = -log(1.0 - dice.random()) * swarm.think_s
        if self._store.rows and dice.random() < swarm.cancels:
            self._ask(events.CancelAsked)
        if self._store.rows and dice.random() < swarm.wakes:
            self._ask(events.WakeAsked)
        if swarm.complaints and dice.random() < swarm.complaints:
            self._ask_of_media(self._complain, is_named=dice.random() < 0.5)
        if swarm.probes and dice.random() < swarm.probes:
            self._ask_of_media(self._probe)
        if len(self._store.open) + self._reserved < swarm.backlog:
            if dice.random() < swarm.prefixes:
                self._open_batch()
            else:
                self._submit(1 + int(dice.random() * swarm.burst))
        else:
            think_s *= FULL_FACTOR
        self._timeline.after(think_s, self._act)

    # -- submits ---------------------------------------------------------------------------------

    def _submit(self, jobs: int) -> None:
        if self.engine.stalled or not self.engine.has_room_for(jobs + self._reserved):
            self.refused += jobs
            return
        new = [self._new_job() for _ in range(jobs)]
        self._reserved += jobs
        self._store.ask(self._commit, self._refuse, new)

    def _commit(self, new: list[NewJob]) -> None:
        self._reserved -= len(new)
        self.acknowledged += self._store.submit(new)

    def _refuse(self, new: list[NewJob]) -> None:
        self._reserved -= len(new)
        self.refused += len(new)

    def _new_job(self) -> NewJob:
        swarm, bucket, random = self._swarm, self._bucket, self._dice.random
        bot = self._bots[int(random() * len(self._bots))]
        kind = KINDS[int(random() * len(KINDS))]
        if swarm.missing and random() < swarm.missing:
            found = self._strange_object()
        elif bucket.order and random() < swarm.duplicates:
            found = bucket.order[-1 - int(random() * min(LATELY, len(bucket.order)))]
        else:
            found = bucket.create(self._timeline.now)
        claim, size_bytes, priority = None, found.size_bytes or None, None
        if swarm.claims and random() < swarm.claims:
            claim = found.content or "c0"
            if random() < swarm.false_claims:
                claim = "c0" if random() < 0.5 else "cX"
        if swarm.sizes_unknown and random() < swarm.sizes_unknown:
            size_bytes = None
        elif swarm.sizes_wrong and random() < swarm.sizes_wrong:
            size_bytes = 1 + int(random() * 30_000)
        if swarm.priorities and random() < swarm.priorities:
            priority = int(random() * 256)
        return NewJob((bot, found.bucket, found.key, kind), claim, size_bytes, None, priority)

    def _strange_object(self) -> Object:
        """One that is not there, or empty."""
        bucket, number = self._bucket.names[0], int(self._dice.random() * 1e9)
        if self._dice.random() < 0.5:
            return Object(bucket, f"missing/{number}")
        return self._bucket.write(bucket, f"empty/{number}", "", self._timeline.now)

    def _open_batch(self) -> None:
        if self.engine.stalled:
            return
        bucket, prefix = self._bucket.create_folder(self._timeline.now)
        bot = self._bots[int(self._dice.random() * len(self._bots))]
        keys = self._bucket.count(bucket, prefix)
        self._store.ask(self._store.open_batch, lambda _: None, (bot, bucket, prefix, keys))

    # -- media that were ready once --------------------------------------------------------------

    def _ask_of_media(
        self, do: Callable[[tuple[What, str | None]], None], *, is_named: bool = False
    ) -> None:
        """Something is wanted of a content of the catalogue, or of the file_id that it has now,
        which takes a job."""
        order = self._store.ledger.catalogue.order
        if not order or self.engine.stalled or not self.engine.has_room_for(1 + self._reserved):
            return
        if len(self._store.open) + self._reserved < self._swarm.backlog:
            self._reserved += 1
            what = order[int(self._dice.random() * len(order))]
            media = self._store.ledger.catalogue.find(what)
            file_id = media.file_id if is_named and media is not None else None
            self._store.ask(do, self._give_up, (what, file_id))

    def _give_up(self, _: object) -> None:
        self._reserved -= 1

    def _complain(self, about: tuple[What, str | None]) -> None:
        self._reserved -= 1
        self.acknowledged += self._store.complain(*about)

    def _probe(self, about: tuple[What, str | None]) -> None:
        self._reserved -= 1
        self._store.probe(about[0])

    # -- cancels and wakes -----------------------------------------------------------------------

    def _ask(self, what: type[events.CancelAsked] | type[events.WakeAsked]) -> None:
        rows = self._store.rows
        back = int(len(rows) * self._dice.random() ** 3)
        self._ticket += 1
        job = rows[-1 - back].id
        self.open_tickets[self._ticket] = (what, job)
        self._put(what(self._ticket, job))

    def _replied(self, reply: commands.Reply) -> None:
        what, job = self.open_tickets.pop(reply.ticket)
        row = self._store.rows[job - 1]
        if what is events.CancelAsked:
            if reply.known:
                if reply.refused_by is None:
                    invariants.cancel_is_final(row)
            elif row.state in (JobState.QUEUED, JobState.WAITING):
                self._store.ask(self._store.cancel, lambda _: None, job)
        elif not reply.known:
            self._store.ask(self._store.retry, lambda _: None, job)
