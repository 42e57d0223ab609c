"""The store as a world: what is asked is committed in order, group by group, with latency.

Two ways lead in, as in the daemon: what the engine says of one turn and of the next stays in order
(records, questions to the catalogue, replies, pages); what clients ask (submits, cancels) may
overtake it. A commit fails while the disk is full: what the engine said waits, what clients asked
is refused. A crash keeps exactly what was committed; the group that was being written is in or not.

What a submit and a retry mean is that of `store/verbs.py`, over dictionaries; what a record does is
in `ledger`.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from prewarmd.core import commands, events
from prewarmd.core.jobs import TRANSITIONS, JobEvent, JobId, JobState, Kind
from prewarmd.core.policy import EnginePolicy
from tests.simulation import invariants
from tests.simulation.catalogue import Media, What
from tests.simulation.ledger import Ledger
from tests.simulation.rows import Batch, Name, NewJob, Row
from tests.simulation.swarm import Swarm
from tests.simulation.timeline import Timeline

STALL_RETRY_S = 1.0
ORPHAN_DELAY_S = 2.0
LOAD_ROWS = 40

Ask = tuple[Callable[[Any], None], Callable[[Any], None], Any]
"""What to do with a value at its commit, or when it is refused."""


class Store:
    """What is on its way into the ledger, and what clients may ask of it."""

    def __init__(
        self,
        swarm: Swarm,
        policy: EnginePolicy,
        timeline: Timeline,
        put: Callable[[events.Event], None],
        ledger: Ledger,
        forgive: Callable[[int], None],
        dice: Random,
    ) -> None:
        self.swarm = swarm
        self.ledger = ledger
        self.rows, self.open = ledger.rows, ledger.open
        self.batches: list[Batch] = []
        self.is_out = False
        """The disk is full."""
        self.is_stalled = False
        """The engine was told that it is; the event is in its next turn at the latest."""
        self.life = 1
        self.unwritten: list[Any] = []
        """What the engine said, in order; the world appends to it."""
        self.replied: Callable[[commands.Reply], None]
        """Set by `clients`: the engine answered one of them."""
        self._policy, self._timeline, self._put, self._dice = policy, timeline, put, dice
        self._forgive = forgive
        self._asked: list[Ask] = []
        self._writing: list[Any] = []
        self._busy = False
        self._apply: dict[type, Callable[[Any], None]] = {
            **ledger.verbs,
            commands.Recall: self._recall,
            commands.Reply: self._reply,
            commands.SubmitPage: self._page,
            commands.FailBatch: self._fail_batch,
            tuple: lambda ask: ask[0](ask[2]),
        }

    @property
    def takes(self) -> list[type]:
        """The types of commands that go into `unwritten`."""
        return [kind for kind in self._apply if kind is not tuple]

    @property
    def is_idle(self) -> bool:
        """Whether everything asked is written."""
        return not (self._busy or self.unwritten or self._asked)

    # -- commits ---------------------------------------------------------------------------------

    def ask(self, do: Callable[[Any], None], refuse: Callable[[Any], None], value: Any) -> None:
        """What a client wants written."""
        self._asked.append((do, refuse, value))
        self.flush()

    def flush(self) -> None:
        """Write what waits, unless something is being written."""
        if self._busy or not (self.unwritten or self._asked):
            return
        self._busy = True
        if not self._asked:
            self._writing = self.unwritten[:]
        elif self._dice.random() < 0.5:
            self._writing = [*self._asked, *self.unwritten]
        else:
            self._writing = [*self.unwritten, *self._asked]
        self.unwritten.clear()
        self._asked.clear()
        commit_s = self.swarm.commit_s * (0.5 + self._dice.random())
        self._timeline.after(commit_s, self._commit, self.life)

    def _commit(self, life: int) -> None:
        if life != self.life:
            return
        if self.is_out:
            self._fail_to_commit()
            return
        if self.is_stalled:
            self.is_stalled = False
            self._put(events.StoreRecovered())
        self._write()
        self._busy = False
        self.flush()

    def _write(self) -> None:
        group, self._writing = self._writing, []
        apply = self._apply
        for one in group:
            apply[type(one)](one)

    def _fail_to_commit(self) -> None:
        if not self.is_stalled:
            self.is_stalled = True
            self._put(events.StoreStalled("disk full"))
        group, self._writing = self._writing, []
        for one in group:
            if type(one) is tuple:
                one[1](one[2])
            else:
                self._writing.append(one)
        self._timeline.after(STALL_RETRY_S, self._commit, self.life)

    def jobs_being_written(self) -> set[JobId]:
        """Jobs of which the engine has said something that is not committed yet."""
        waiting = (*self._writing, *self.unwritten)
        return {one.job for one in waiting if hasattr(one, "job")}

    # -- starts ----------------------------------------------------------------------------------

    def facts(self) -> list[tuple[object, ...]]:
        """All that a recovery starts from."""
        return [self.open[job].facts() for job in sorted(self.open)]

    def crash(self) -> None:
        """Everything that is not committed is gone."""
        if self._busy and not self.is_out and self._dice.random() < 0.5:
            self._write()  # the sync was over, only nobody heard of it
        self.life += 1
        self._busy = self.is_stalled = False
        self._writing = []
        self.unwritten.clear()
        self._asked.clear()

    def recover(self) -> None:
        """At a start, what is found running is adopted: maybe sent, uncharged."""
        for row in self.open.values():
            if row.state is JobState.RUNNING:
                row.state = invariants.record_is_allowed(row, JobEvent.ORPHANED)
                row.maybe_sent, row.code = True, "MaybeSent"

    def begin_load(self) -> None:
        """Tell the engine what is remembered of limits, then the queue."""
        self._put(events.HoldsRemembered(list(self.ledger.holds.values())))
        self.load(JobId(0))

    def load(self, after: JobId) -> None:
        """Hand the next page of unfinished rows to the engine, and come again."""
        page = sorted(job for job in self.open if job > after)[:LOAD_ROWS]
        if not page:
            for batch in self.batches:
                if not batch.done and batch.life != self.life:
                    self._put(events.BatchOpened(batch.id, batch.bucket, batch.prefix, batch.after))
            self._put(events.Loaded())
            return
        rows = [self.open[job] for job in page if self.open[job].life != self.life]
        twice = self._dice.random() < 0.1  # a submit's own admission may come beside the load's
        for _ in range(1 + twice if rows else 0):
            self._put(events.Admitted([self._job(row, loading=True) for row in rows]))
        life = self.life

        def go_on(last: JobId) -> None:
            if life == self.life:
                self.load(last)

        self._timeline.after(0.001, go_on, page[-1])

    def _job(self, row: Row, *, loading: bool = False) -> Any:
        row.life = self.life
        self.ledger.ways.admit(row.id)
        not_before = row.not_before
        if loading and row.maybe_sent and row.state is JobState.QUEUED:
            not_before = self._timeline.now + ORPHAN_DELAY_S
        etag, content, _ = self.ledger.seen.get((row.name[1], row.name[2]), (None, None, 0.0))
        return row.job(etag, content, not_before)

    # -- what clients ask ------------------------------------------------------------------------

    def submit(self, new: list[NewJob]) -> list[JobId]:
        """At its commit: the job of each submit, one that was there or a new one."""
        created: list[Row] = []
        ids = [self._submit_one(one, created) for one in new]
        if created:
            self._put(events.Admitted([self._job(row) for row in created]))
        return ids

    def _submit_one(self, new: NewJob, created: list[Row]) -> JobId:
        ledger = self.ledger
        known = self._known(new.name, new.sha256)
        if known is not None:
            return known.id
        content = new.sha256 or self._unchanged(new)
        ready = ledger.catalogue.is_ready((new.name[0], content, new.name[3]))
        if ready and (same := ledger.ready.get((new.name, content))):
            return same
        row = self._insert(new)
        if ready:
            row.state, row.sha256 = JobState.READY, content
            ledger.ready[new.name, content] = row.id
        else:
            ledger.unfinish(row)
            created.append(row)
        return row.id

    def _insert(self, new: NewJob) -> Row:
        row = Row(JobId(len(self.rows) + 1), new, self._timeline.now, self.life)
        self.rows.append(row)
        return row

    def _known(self, name: Name, claim: str | None) -> Row | None:
        known = self.ledger.names.get(name)
        if known is None and claim is not None:
            known = self.ledger.claims.get((name[0], claim, name[3]))
        return known

    def _unchanged(self, new: NewJob) -> str | None:
        seen = self.ledger.seen.get((new.name[1], new.name[2]))
        if seen is None:
            return None
        etag, content, at = seen
        lately = new.etag is None and self._timeline.now < at + self._policy.ttl_s
        return content if lately or new.etag == etag else None

    def complain(self, what: What, file_id: str | None) -> list[JobId]:
        """At its commit: a client says that a file_id is good no more, this one if it names one.
        The job that is to find another; none when there is another already."""
        media = self.ledger.catalogue.find(what)
        if media is None or (not media.is_stale and file_id not in (None, media.file_id)):
            return []
        self.ledger.catalogue.spoil(what, media.file_id)
        return self.submit([self._again(media)])

    def probe(self, what: What) -> None:
        """At its commit: a job is to find out whether the file_id of a ready content is good."""
        media = self.ledger.catalogue.find(what)
        if media is None or media.is_stale:
            return
        row = self._insert(self._again(media, is_probe=True))
        self.ledger.unfinish(row)
        self._put(events.Admitted([self._job(row)]))

    def _again(self, media: Media, *, is_probe: bool = False) -> NewJob:
        """A submit of the object by which a media became ready, and of what it held then."""
        origin = self.rows[media.job - 1]
        priority = 0 if is_probe else None
        return NewJob(
            origin.name, origin.sha256, media.size_bytes, None, priority, is_probe=is_probe
        )

    def open_batch(self, asked: tuple[str, str, str, int]) -> None:
        """At its commit: a bot's prefix of a bucket, with so many keys, is acknowledged."""
        bot, bucket, prefix, keys = asked
        number = len(self.batches) + 1
        batch = Batch(number, bot, bucket, prefix, Kind.VIDEO, keys, self.life)
        self.batches.append(batch)
        self._put(events.BatchOpened(batch.id, batch.bucket, batch.prefix, ""))

    def cancel(self, job: JobId) -> None:
        """At its commit: a job that the engine did not hold is cancelled, if it still may be."""
        row = self.rows[job - 1]
        if row.state in (JobState.QUEUED, JobState.WAITING):
            row.state = invariants.record_is_allowed(row, JobEvent.CANCELLED)
            row.forgotten = True
            if row.is_probe:
                self.ledger.catalogue.excuse((row.name[0], row.sha256, row.name[3]))
            self.ledger.finish(row)
            self._put(events.Forgotten(job))

    def retry(self, job: JobId) -> None:
        """At its commit: a job that was given up is queued once more."""
        row = self.rows[job - 1]
        if JobEvent.RETRIED not in TRANSITIONS[row.state]:
            return
        if self._known(row.name, row.sha256 if row.claimed else None) is not None:
            return
        row.state = invariants.record_is_allowed(row, JobEvent.RETRIED)
        row.attempt, row.not_before, row.is_retried = 0, 0.0, True
        self._forgive(job)
        self.ledger.unfinish(row)
        self._put(events.Admitted([self._job(row)]))

    # -- what the engine asks --------------------------------------------------------------------

    def _reply(self, reply: commands.Reply) -> None:
        self.replied(reply)

    def _recall(self, asked: commands.Recall) -> None:
        answer = self.ledger.catalogue.answer(asked)
        self.ledger.ways.offer(answer)
        self._put(answer)

    def _page(self, page: commands.SubmitPage) -> None:
        batch = self.batches[page.batch - 1]
        invariants.page_is_next(batch, [key for key, _, _ in page.objects])
        self.submit([
            NewJob((batch.bot, batch.bucket, key, batch.kind), None, size_bytes, etag or None)
            for key, size_bytes, etag in page.objects
        ])  # fmt: skip
        batch.listed += len(page.objects)
        batch.after, batch.done = page.after, page.done
        if batch.done:
            invariants.listing_is_whole(batch)
        self._put(events.PageSubmitted(batch.id, page.after, page.done))

    def _fail_batch(self, failed: commands.FailBatch) -> None:
        self.batches[failed.batch - 1].done = True
