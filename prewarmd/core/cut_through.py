"""Cut-through: an upload that follows its object's bytes while they still come.

The latency of a large object falls from download plus upload to the longer of the two. The price is
that an upload begins before its content is known; so its closing boundary is withheld, and Telegram
has no message, until all of it is here, verified, and not ready for that bot already. A relay is
the same without a copy here: its bytes pass through a window of the child's.

    Landing -> Upload(behind) ... Fetched -> Recall -> Recalled -> Seal -> Uploaded
               Relay          ... Passed  -> Recall -> Recalled -> Seal -> Uploaded

Whatever speaks against it on the way (another job leads with that content, it is ready, the GET
failed) drops the upload; once the child says that it is gone, its job is what it was before: it
waits for its GET, it is ready, or it goes back to its backlog with what was learnt.

An upload that follows is paid for when it begins, and arrives when its download is over. So it
begins only when its bot has nothing else that could be sent; a lane has one at a time, or several
would arrive at once; one whose lane was paused meanwhile is dropped, and waits as others do. A
suspect never follows: it has its child for one task.

Invariants, kept by `check`: a trailing job has one upload, and that is not sealed.
Costs: O(jobs that wait for large objects under way) a turn.
"""

from prewarmd.core.children import Children
from prewarmd.core.commands import Recall, Tell
from prewarmd.core.desk import Desk
from prewarmd.core.downloads import Downloads
from prewarmd.core.flight import Flight
from prewarmd.core.jobs import Job, JobId, Phase
from prewarmd.core.objects import Objects
from prewarmd.core.sending import Sending
from prewarmd.core.uploads import Uploads
from prewarmd.core.verbs import Drop, Seal


class CutThrough:
    """Uploads whose closing boundary is withheld."""

    def __init__(
        self, desk: Desk, children: Children, downloads: Downloads, uploads: Uploads
    ) -> None:
        self._desk = desk
        self._children = children
        self._downloads = downloads
        self._uploads = uploads
        self._objects = Objects(desk)
        self._landing: dict[int, Flight] = {}
        """GETs that may be followed, by task."""
        self._asked: dict[JobId, Sending] = {}
        """Of which the catalogue is being asked."""
        self._known: list[Sending] = []
        """Whose content is known to be new, in this turn."""

    # -- a beginning -----------------------------------------------------------------------------

    def landing(self, task: int, size_bytes: int) -> None:
        """Enough of an object is here to begin."""
        flight = self._downloads.fetching[task]
        if self._desk.policy.cut_through and not flight.dropped:
            flight.size_bytes = size_bytes
            self._landing[task] = flight

    def pump(self, now: float) -> bool:
        """Let uploads begin whose bots have nothing better to do; whether any did."""
        if not self._landing:
            return False
        desk, waiting = self._desk, list[tuple[int, int, int, Job, Flight]]()
        for task, flight in list(self._landing.items()):
            if task not in self._downloads.fetching or flight.dropped:
                del self._landing[task]
                continue
            for job in flight.waiters:
                bot = desk.bots[job.bot]
                if not bot.loaded.size and flight.size_bytes <= desk.policy.size_max[job.kind]:
                    level = desk.policy.score.level(job, now)
                    waiting.append((-level, bot.send_turn, job.id, job, flight))
        follows = False
        for *_, job, flight in sorted(waiting, key=lambda each: each[:3]):
            if desk.uploading.paid_at > now:
                break
            follows |= self._begin(job, flight, now)
        return follows

    def _begin(self, job: Job, flight: Flight, now: float) -> bool:
        bot, roster = self._desk.bots[job.bot], self._desk.roster
        if not self._children.may_take(flight.child):
            return False
        lane, at = bot.next_to_follow(now)
        if lane is not None:
            at = max(at, bot.spread.free_at(flight.size_bytes)) if bot.spread else at
        if lane is None or at > now:
            roster.park(bot, at)
            return False
        if lane.gate.code or bot.gate.code or bot.scope.in_doubt or bot.choosy:
            return False  # what is to be found out is found out quicker
        flight.waiters.remove(job)
        bot.send_turn = roster.next_turn()
        flight.trailing.append(self._uploads.follow(job, lane, flight, now))
        roster.touch(bot)
        return True

    # -- what is known at the end of the bytes ---------------------------------------------------

    def fetched(self, flight: Flight, sha256: str, now: float) -> None:
        """Its bytes are here, and each trailing job has pinned them."""
        for sending in flight.trailing:
            self._verified(sending, sha256, now)

    def passed(self, task: int, sha256: str, etag: str, now: float) -> None:
        """All bytes of a relay went through."""
        sending = self._uploads.sending[task]
        job = sending.job
        self._objects.saw(job, etag, sha256, job.size_bytes or 0, sending.began)
        self._verified(sending, sha256, now)

    def _verified(self, sending: Sending, sha256: str, now: float) -> None:
        desk, job = self._desk, sending.job
        desk.know(job, sha256, now)
        if desk.leaders.leader(job) not in (None, job):
            self._drop(sending)
            return
        desk.leaders.lead(job)
        if job.id in desk.recalled:
            self._known.append(sending)
        else:
            self._asked[job.id] = sending
            desk.out.append(Recall(job.id, job.bot, sha256, job.kind))

    def recalled(self, job: Job, *, ready: bool) -> None:
        """The catalogue's answer for a trailing job."""
        sending = self._asked.pop(job.id, None)
        if sending is None or sending.task not in self._uploads.sending:
            return
        if ready:
            sending.is_ready = True
            self._drop(sending)
        else:
            self._desk.recalled.add(job.id)
            self._known.append(sending)

    def seal(self, now: float) -> None:
        """Let those go whose content is known and new, now that all is heard that this turn brings:
        a flood may be among it."""
        if not self._known:
            return
        known, self._known = self._known, []
        for sending in known:
            if sending.task in self._uploads.sending:
                self._seal(sending, now)

    def _seal(self, sending: Sending, now: float) -> None:
        lane, scope = sending.lane, self._desk.bots[sending.job.bot].scope
        if lane.paused_until > now or not (sending.is_probe or scope.may_pass(now)):
            self._drop(sending)
            return
        sending.is_sealed, lane.is_trailing = True, False
        self._desk.enter(sending.job, Phase.UPLOADING)
        self._desk.out.append(Tell(sending.child.index, Seal(sending.task)))

    def _drop(self, sending: Sending) -> None:
        self._desk.out.append(Tell(sending.child.index, Drop(sending.task)))

    # -- an end before the end -------------------------------------------------------------------

    def unfollowed(self, flight: Flight) -> None:
        """A GET failed before its child heard of the uploads behind it."""
        for sending in flight.trailing:
            self._drop(sending)

    def stopped(self, task: int, now: float) -> None:
        """An upload is gone, unsent: its job is what it was before."""
        desk, sending = self._desk, self._uploads.stopped(task, now)
        job, flight = sending.job, sending.flight
        self._asked.pop(job.id, None)
        if sending.is_ready:
            desk.join_all(job, now)
        elif flight and flight.task in self._downloads.fetching and not flight.dropped:
            desk.enter(job, Phase.FETCHING)
            flight.waiters.append(job)
        else:
            desk.release(job, now)

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        trailing = [job for job in self._desk.jobs.values() if job.phase is Phase.TRAILING]
        unsealed = [each.job for each in self._uploads.sending.values() if not each.is_sealed]
        assert sorted(job.id for job in trailing) == sorted(job.id for job in unsealed)
        for flight in self._downloads.fetching.values():
            assert all(self._uploads.sending[each.task] is each for each in flight.trailing)
