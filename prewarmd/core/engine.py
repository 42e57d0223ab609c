"""The engine: what follows what. Events in, commands out; no I/O, no clock, no randomness.

A job's way: queued -> (its content known? ask the catalogue) -> bytes from the cache, from a GET
already under way, or from a GET of its own -> (content known only now? ask the catalogue) -> its
bot's lane -> uploaded -> ready. Whoever finds that another job is ahead with the same content for
the same bot joins it and shares the outcome, so nothing is downloaded or uploaded twice.

The engine itself only says who hears of an event and in which order things may start; what it
decides with: `desk` (jobs, their phases), `intake` (whose turn it is to be fetched), `downloads`,
`uploads`, `sizes`, `listings`, `chats`, `children`.

`turn` takes all events of one turn, then decides once what may start (`_pump`): gathering first is
what makes batches. Costs: every step O(1) per job apart from heaps of sleeping jobs and parked bots
(O(log n)) and free extents.

What it does not do: it never touches a terminal job again (the store has those), and never decides
from a key alone what its content is unless the store said so within the cache's TTL.
"""

from collections.abc import Iterable, Sequence

from prewarmd.core import events, records, reports
from prewarmd.core.blame import End
from prewarmd.core.chats import Chats
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import Command, FailBatch, Finish, Reply, SubmitPage, Tell
from prewarmd.core.cut_through import CutThrough
from prewarmd.core.desk import Desk
from prewarmd.core.downloads import Downloads
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.intake import Intake
from prewarmd.core.jobs import Job, JobEvent, JobId, JobState, Phase
from prewarmd.core.listings import PAGE_KEYS, Listing, Listings
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.ready_queue import FOREVER
from prewarmd.core.sizes import Sizes
from prewarmd.core.uploads import Uploads
from prewarmd.core.verdicts import Verdicts


class Engine:
    """The one object that decides."""

    def __init__(self, policy: EnginePolicy, bots: Sequence[BotSpec]) -> None:
        self.policy = policy
        self.children = Children(policy.workers, policy.slots, policy.restart)
        self.desk = Desk(policy, bots)
        self.downloads = Downloads(self.desk, self.children)
        self.intake = Intake(self.desk, self.children, self.downloads)
        self.uploads = Uploads(self.desk, self.children)
        self.cut_through = CutThrough(self.desk, self.children, self.downloads, self.uploads)
        self.verdicts = Verdicts(self.desk)
        self.sizes = Sizes(self.desk, self.children)
        self.chats = Chats(self.desk, self.children)
        self.listings = Listings()
        self.loading = True
        self.stalled = ""
        self.draining = False
        self.stale_reports = 0
        self._drain_deadline = FOREVER
        self._finished = False
        self._heard_of = 0
        """The last task that a child can have heard of: later ones are told after this turn."""

    # -- the one way in --------------------------------------------------------------------------

    def turn(self, happened: Iterable[events.Event], now: float, jitter: float) -> list[Command]:
        """Take in what happened, decide what may start; the commands, in order."""
        desk = self.desk
        desk.jitter = jitter
        self._heard_of = desk.last_task
        desk.let_age(now)
        for event in happened:
            self._handle(event, now)
        self._pump(now)
        out, desk.out = desk.out, []
        return out

    def _handle(self, event: events.Event, now: float) -> None:
        match event:
            case events.ChildReported(index, generation, report):
                child = self.children.current(index, generation)
                if child is None or report.task not in child.tasks:
                    self.stale_reports += 1
                else:
                    self._report(child, report, now)
            case events.Recalled():
                self._recalled(event, now)
            case events.Admitted(jobs):
                for job in jobs:
                    self.desk.admit(job, now)
            case events.ChildBeat(index, generation):
                if child := self.children.current(index, generation):
                    child.beat = now
            case events.ChildGreeted(index, generation, pid):
                if child := self.children.current(index, generation):
                    self.children.greeted(child, pid, now)
            case events.ChildExited(index, generation):
                if child := self.children.current(index, generation):
                    self._child_exited(child, event, now)
            case events.MemoryRefused(task, detail, told):
                self.downloads.memory_refused(task, detail, now, told=told)
            case events.PageSubmitted(batch, after, done):
                self.listings.committed(batch, after, done=done)
            case events.BatchOpened(batch, bucket, prefix, after):
                self.listings.open(Listing(batch, bucket, prefix, after))
            case events.CancelAsked(ticket, job_id):
                self._cancel(ticket, job_id, now)
            case events.WakeAsked(ticket, job_id):
                self._wake(ticket, job_id, now)
            case events.Forgotten(job_id):
                if forgotten := self.desk.jobs.get(job_id):
                    self._withdraw(forgotten, now)
            case events.HoldsRemembered(holds):
                self.verdicts.restore(holds, now)
            case events.Loaded():
                self.loading = False
            case events.StoreStalled(detail):
                self.stalled = detail
            case events.StoreRecovered():
                self.stalled = ""
            case events.DrainAsked(deadline):
                self._drain(deadline, now)
            case events.Ticked():
                pass

    def next_deadline(self, now: float) -> float:
        """When something is due although nothing happens; infinity when nothing is."""
        deadline = min(
            self.children.next_deadline(), self._drain_deadline, self.desk.next_deadline(now)
        )
        return deadline if self.draining else min(deadline, self.listings.next_deadline(now))

    def has_room_for(self, jobs: int) -> bool:
        """Whether the queue may take so many more."""
        return len(self.desk.jobs) + jobs <= self.policy.capacity

    def _recalled(self, answer: events.Recalled, now: float) -> None:
        """The catalogue's answer; one that comes too late is about another content."""
        job = self.desk.jobs.get(answer.job)
        if job is None or job.sha256 != answer.sha256:
            return
        if job.phase is Phase.TRAILING:
            self.cut_through.recalled(job, ready=answer.ready)
        elif job.phase is Phase.RECALLING:
            may_start = not (self.draining or self.stalled)
            self.downloads.recalled(job, answer, now, may_start=may_start)

    # -- what children say -----------------------------------------------------------------------

    def _report(self, child: Child, report: reports.Report, now: float) -> None:
        match report:  # what comes most often, first
            case reports.Uploaded():
                self.uploads.uploaded(report, now)
            case reports.Fetched(task, size_bytes, sha256, etag):
                flight = self.downloads.fetched(task, size_bytes, sha256, etag, now)
                self.cut_through.fetched(flight, sha256, now)
                self.downloads.hand_out(flight, sha256, now)
            case reports.Opened() | reports.Landing() | reports.Passed():
                self._hear(report, now)
                return  # the task goes on
            case reports.Unchanged(task):
                self.downloads.unchanged(task, now)
            case reports.FetchFailed(task) if task in self.uploads.sending:
                self.uploads.unfetched(report, now)
            case reports.FetchFailed(task, code, detail):
                self.cut_through.unfollowed(self.downloads.fetching[task])
                self.downloads.failed(task, code, detail, now)
            case reports.UploadFailed(task, "Stopped"):
                self.cut_through.stopped(task, now)
            case reports.UploadFailed():
                self.uploads.failed(report, now)
            case reports.Listed(task, objects, after):
                listing = self.listings.listed(task)
                self.desk.buckets.open(listing.bucket)
                self.desk.out.append(SubmitPage(listing.batch, objects, after, not after))
            case reports.ListFailed(task, code, detail):
                self._list_failed(self.listings.failed(task), code, detail, now)
            case reports.Headed(task, sizes):
                self.sizes.headed(task, sizes, now)
            case reports.HeadFailed(task, code, detail):
                self.sizes.failed(task, code, detail, now)
            case reports.ChatKnown(task, kind):
                self.chats.known(task, kind, now)
            case reports.ChatUnknown(task, code, detail):
                self.chats.unknown(task, code, detail, now)
        self.children.finish(child, report.task)

    def _hear(self, report: reports.Opened | reports.Landing | reports.Passed, now: float) -> None:
        """How far a task has come."""
        match report:
            case reports.Opened(task, size_bytes) if task in self.uploads.sending:
                self.uploads.resized(task, size_bytes)
            case reports.Opened(task, size_bytes):
                self.downloads.opened(task, size_bytes, now)
            case reports.Landing(task, size_bytes):
                self.cut_through.landing(task, size_bytes)
            case reports.Passed(task, _, sha256, etag):
                self.cut_through.passed(task, sha256, etag, now)

    def _child_exited(self, child: Child, exited: events.ChildExited, now: float) -> None:
        reason = exited.reason
        tasks = self.children.exited(child, reason, now, self.desk.next_jitter())
        in_hand = sum(task <= self._heard_of for task in tasks)
        for task in tasks:
            end = End(
                task in exited.sent, in_hand == 1, exited.killed, heard=task <= self._heard_of
            )
            if task in self.downloads.fetching:
                self.downloads.orphaned(task, reason, now, end)
            elif task in self.uploads.sending:
                self.uploads.orphaned(task, reason, now, end)
            elif task in self.chats.asking:
                self.chats.orphaned(task)
            elif task in self.sizes.asking:
                self.sizes.orphaned(task)
            else:
                listing = self.listings.failed(task)
                self.desk.buckets.leave(listing.bucket, listing.began)
                self.listings.open(listing)

    def _list_failed(self, listing: Listing, code: str, detail: str, now: float) -> None:
        desk, remedy = self.desk, FAULTS[code].remedy
        if remedy is Remedy.CLOSE_BUCKET:
            desk.buckets.close(listing.bucket, code, detail, now, listing.began)
            listing.not_before = desk.buckets.gate(listing.bucket).until
        else:
            desk.buckets.leave(listing.bucket, listing.began)
            if remedy is Remedy.GIVE_UP or listing.failures >= self.policy.retry.attempts:
                desk.out.append(FailBatch(listing.batch, code, detail))
                return
            delay_s = self.policy.retry.delay_s(listing.failures, desk.next_jitter())
            listing.not_before = now + delay_s
        self.listings.open(listing)

    # -- what clients ask ------------------------------------------------------------------------

    def _cancel(self, ticket: int, job_id: JobId, now: float) -> None:
        desk, job = self.desk, self.desk.jobs.get(job_id)
        if job is None:
            desk.out.append(Reply(ticket, known=False))
        elif job.phase not in (Phase.QUEUED, Phase.SLEEPING, Phase.LOADED, Phase.JOINED):
            desk.out.append(Reply(ticket, JobState.RUNNING))
        else:
            job.happen(JobEvent.CANCELLED)
            desk.out.append(records.Cancel(job.id))
            desk.forget(job, now)
            desk.out.append(Reply(ticket))

    def _withdraw(self, job: Job, now: float) -> None:
        """The store cancelled it. An upload runs its course: a child reads its bytes, and what
        becomes of it is written only where the job's state allows."""
        if job.phase in (Phase.TRAILING, Phase.UPLOADING):
            return
        self.downloads.leave(job)
        self.desk.forget(job, now)

    def _wake(self, ticket: int, job_id: JobId, now: float) -> None:
        desk, job = self.desk, self.desk.jobs.get(job_id)
        if job is None:
            desk.out.append(Reply(ticket, known=False))
        elif job.phase is not Phase.SLEEPING:
            desk.out.append(Reply(ticket, job.state))
        else:
            desk.wake(job, now)
            desk.out.append(Reply(ticket))

    def _drain(self, deadline: float, now: float) -> None:
        self.draining = self.children.draining = True
        self._drain_deadline = min(self._drain_deadline, deadline)
        if now >= self._drain_deadline:
            self._drain_deadline = FOREVER
            self.children.kill(now, self.desk.out)

    # -- what may start now ----------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        self.desk.let_time_pass(now)
        self.cut_through.seal(now)
        if not self.children.turn(now, self.desk.out):
            return
        if self.draining:
            self._pump_drain(now)
        elif not self.stalled:
            self.desk.roster.settle(now)
            self.uploads.pump(now)
            self.cut_through.pump(now)
            self.desk.roster.settle(now)
            self.sizes.pump(now)
            self._pump_intake(now)
            self._pump_listings(now)
            self.chats.pump()

    def _pump_intake(self, now: float) -> None:
        """Take jobs on; those whose bytes are here, or landing, need not wait for a turn. Whoever
        follows a download makes room for another, and so does whoever has to let its bytes go."""
        desk, has_room = self.desk, True
        while has_room:
            self.intake.pump(now)
            was_short = desk.memory_short or desk.ahead_short
            desk.roster.settle(now)
            self.uploads.pump(now)
            has_room = self.cut_through.pump(now)
            has_room |= was_short and not (desk.memory_short or desk.ahead_short)
            desk.roster.settle(now)

    def _pump_listings(self, now: float) -> None:
        while (listing := self.listings.due(now)) and self.has_room_for(
            PAGE_KEYS * (1 + self.listings.under_way)
        ):
            gate = self.desk.buckets.gate(listing.bucket)
            child = self.children.pick()
            if child is None:
                return
            if not gate.may_pass(now):
                listing.not_before = max(gate.until, now + 0.5)
                continue
            gate.enter(now)
            task = self.desk.next_task()
            self.children.begin(child, task)
            self.desk.out.append(Tell(child.index, self.listings.ask(task, now)))

    def _pump_drain(self, now: float) -> None:
        out = self.desk.out
        if now >= self._drain_deadline:
            self._drain_deadline = FOREVER
            self.children.kill(now, out)
        elif not self._under_way:
            self.children.retire(now, out)
        if self.children.all_stopped and not self._finished:
            self._finished = True
            for job in self.desk.jobs.values():
                if job.state is JobState.RUNNING and job.phase is not Phase.UPLOADING:
                    job.happen(JobEvent.RELEASED)
                    out.append(records.Release(job.id, "", ""))
            out.append(Finish())

    @property
    def _under_way(self) -> int:
        """Tasks that a drain waits for."""
        asking = len(self.sizes.asking) + len(self.chats.asking)
        return len(self.downloads.fetching) + len(self.uploads.sending) + asking

    # -- for eyes --------------------------------------------------------------------------------

    def readiness(self, now: float) -> list[tuple[str, str]]:
        """Why the daemon is not ready, as (code, message); empty when it is."""
        reasons: list[tuple[str, str]] = []
        if self.loading:
            reasons.append(("Loading", "the queue is still being read"))
        if self.draining:
            reasons.append(("Draining", "the daemon is stopping"))
        if self.stalled:
            reasons.append(("StoreStalled", self.stalled))
        if not self.children.ready:
            reasons.append(("NoChildren", "no child is up"))
        for bucket, gate in self.desk.buckets.gates.items():
            if not gate.is_open:
                reasons.append((gate.code, f"bucket {bucket}: {gate.detail}"))
        for bot in self.desk.bots.values():
            if not bot.gate.is_open:
                reasons.append((bot.gate.code, f"bot {bot.slug}: {bot.gate.detail}"))
            closed = [lane for lane in bot.lanes if not lane.gate.is_open]
            reasons.extend(
                (lane.gate.code, f"bot {bot.slug}, chat {lane.chat_id}: {lane.gate.detail}")
                for lane in closed
            )
            reasons.extend(bot.refused_by_all())
        return reasons

    def check(self) -> None:
        """Raise AssertionError when what its parts are to keep does not hold."""
        self.children.check()
        self.desk.check()
        self.downloads.check()
        self.uploads.check()
        self.cut_through.check()
        assert self.children.tasks >= self._under_way
