"""What children send to Telegram: out of memory, behind a download, through a window, or without
any bytes.

An upload that follows, or is relayed, keeps its last byte until it is sealed: nobody knows before
what it sends.
"""

from collections.abc import Callable
from random import Random

from prewarmd.core import events, reports, verbs
from tests.simulation.bucket import Bucket
from tests.simulation.children import Child, Children, Work
from tests.simulation.invariants import Violation
from tests.simulation.memory import Memory
from tests.simulation.messages import file_id_of
from tests.simulation.swarm import Swarm
from tests.simulation.telegram import BEFORE_THE_LAST_BYTE, Letter, Telegram
from tests.simulation.timeline import Timeline
from tests.simulation.ways import Ways


class Sends:
    """Every upload of every child."""

    def __init__(
        self,
        swarm: Swarm,
        timeline: Timeline,
        put: Callable[[events.Event], None],
        memory: Memory,
        children: Children,
        bucket: Bucket,
        telegram: Telegram,
        ways: Ways,
        dice: Random,
        meet_fate: Callable[[Work, float, str], float],
    ) -> None:
        self.swarm = swarm
        self._timeline, self._put, self._memory = timeline, put, memory
        self._children, self._bucket, self._telegram = children, bucket, telegram
        self._ways = ways
        self.content_of: Callable[[int], str]
        """Set by the world: what the engine takes a job for."""
        self._dice, self._random = dice, dice.random
        self._meet_fate = meet_fate
        telegram.answered, telegram.fetch = self._answered, self._behind
        children.lose = telegram.lose

    # -- beginnings ------------------------------------------------------------------------------

    def upload(self, child: Child, verb: verbs.Upload) -> None:
        """Out of memory, where all bytes are or will be."""
        self._telegram.send_begins(verb)
        if verb.behind:
            self._follow(child, verb)
            return
        span, content = self._memory.read(verb.offset, verb.size_bytes)
        try:
            if verb.size_bytes != self._bucket.sizes[content]:
                raise Violation("memory_holds_the_object", f"{verb} sends {content}")
            work = self._children.take(child, verb, (verb.bot, content, verb.kind))
        except Violation:
            self._memory.let_go(span)
            raise
        if not work.is_alive:
            self._memory.let_go(span)
            return
        work.span, work.reads, work.content = span, True, content
        if not child.is_hung:
            self._finish(work)

    def _follow(self, child: Child, verb: verbs.Upload) -> None:
        fetch = child.works.get(verb.behind)
        if fetch is not None and not isinstance(fetch.verb, verbs.Fetch):
            raise Violation("upload_follows_a_fetch", f"{verb} follows {fetch.verb}")
        work = self._children.take(child, verb)
        if not work.is_alive or child.is_hung:
            return
        if fetch is not None:
            fetch.trailing.append(work)
            work.behind = fetch
            self._meet_fate(work, self.swarm.send_s, fetch.content)
        self._may_be_cut(work)

    def relay(self, child: Child, verb: verbs.Relay) -> None:
        """Through a window of the child's own."""
        self._telegram.send_begins(verb)
        work = self._children.take(child, verb)
        if not work.is_alive or child.is_hung:
            return
        found = self._bucket.objects.get((verb.bucket, verb.key))
        took_s = (self.swarm.get_s + self.swarm.send_s) * (0.5 + self._random())
        work.code = self._bucket.head_fault(verb, found, self._dice)
        if work.code:
            self._timeline.after(took_s, self._store_fails, work)
            return
        assert found is not None
        work.content, work.size_bytes, work.etag = found.content, found.size_bytes, found.etag
        took_s = self._meet_fate(work, took_s, found.content)
        if found.size_bytes != verb.size_bytes:
            self._timeline.after(took_s, self._opened, work)
        elif verb.sha256 not in ("", found.content):
            work.code = "Sha256Mismatch"
            self._bucket.told.add((verb.bucket, verb.key, work.code))
            self._timeline.after(took_s, self._store_fails, work)
        else:
            self._timeline.after(took_s, self._passed, work)
            self._may_be_cut(work)

    def light(self, child: Child, verb: verbs.Light) -> None:
        """Without bytes."""
        self._telegram.send_begins(verb)
        content = self._telegram.messages.content(verb) or self.content_of(verb.job)
        work = self._children.take(child, verb, (verb.bot, content, verb.kind))
        if not work.is_alive or child.is_hung:
            return
        work.content = content
        self._finish(work)

    def _behind(self, verb: verbs.Link) -> str:
        """What Telegram finds behind a URL; "" when it finds nothing."""
        found = self._bucket.objects.get((verb.bucket, verb.key))
        return "" if found is None or verb.bucket in self._bucket.outages else found.content

    # -- on the way ------------------------------------------------------------------------------

    def _may_be_cut(self, work: Work) -> None:
        """Before the end, which is not known yet."""
        if self._random() < self.swarm.upload_faults:
            self._timeline.after(self.swarm.send_s * self._random(), self._cut_early, work)

    def _cut_early(self, work: Work) -> None:
        if work.may_speak and work.letter is None:
            self._telegram.charge(work.verb.job)
            letter = work.letter = Letter(work.verb, work.content, self._timeline.now, work)
            letter.code = self._dice.choice(BEFORE_THE_LAST_BYTE)
            self._answered(letter)

    def _store_fails(self, work: Work) -> None:
        if work.may_speak:
            self._children.say(work, reports.FetchFailed(work.verb.task, work.code, ""))

    def _opened(self, work: Work) -> None:
        if work.may_speak:
            self._go_on(work, reports.Opened(work.verb.task, work.size_bytes, work.etag))

    def _passed(self, work: Work) -> None:
        if work.may_speak:
            if work.verb.bucket in self._bucket.outages:
                self._bucket.serve_late(work.verb.bucket)
            task, size_bytes = work.verb.task, work.size_bytes
            self._go_on(work, reports.Passed(task, size_bytes, work.content, work.etag))

    def _go_on(self, work: Work, report: reports.Report) -> None:
        self._put(events.ChildReported(work.child.index, work.child.generation, report))

    def land_behind(self, fetch: Work) -> None:
        """All bytes of a download are here: who follows it reads them to the end."""
        for work in fetch.trailing:
            if work.is_alive and work.letter is None and not work.is_dropped:
                self._hold(work)

    def _hold(self, work: Work) -> None:
        verb = work.verb
        work.span, work.content = self._memory.read(verb.offset, verb.size_bytes)
        work.reads = True

    def stop_behind(self, fetch: Work) -> None:
        """A download failed: who follows it ends before that is told."""
        for work in fetch.trailing:
            if work.may_speak:
                self._stopped(work)

    def drop(self, work: Work) -> None:
        """An upload is to be given up, unsent."""
        if work.letter is not None:
            raise Violation("sealed_is_final", f"{work.verb} is dropped")
        self._children.drop(work)
        self._timeline.after(0.001, self._stopped, work)

    def _stopped(self, work: Work) -> None:
        if work.may_speak:
            self._children.say(work, reports.UploadFailed(work.verb.task, "Stopped", "", 0, 0))

    def seal(self, child: Child, verb: verbs.Seal) -> None:
        """Its content is known, and wanted: an upload may end."""
        work = child.works.get(verb.task)
        if work is None or not work.may_speak:
            return
        if work.letter is not None or work.is_dropped:
            raise Violation("sealed_is_final", f"{work.verb} is sealed again")
        if isinstance(work.verb, verbs.Upload) and work.span is None:
            self._hold(work)
        if work.verb.size_bytes != self._bucket.sizes[work.content]:
            raise Violation("memory_holds_the_object", f"{work.verb} sends {work.content}")
        self._children.claim(work, (work.verb.bot, work.content, work.verb.kind))
        self._finish(work)

    # -- ends ------------------------------------------------------------------------------------

    def _finish(self, work: Work) -> None:
        took_s = self.swarm.send_s * (0.5 + self._random())
        touched = "" if isinstance(work.verb, verbs.Light) else work.content
        took_s = self._meet_fate(work, took_s, touched)
        work.letter = Letter(work.verb, work.content, self._timeline.now, work)
        if self._random() < self.swarm.upload_faults:
            work.letter.code = self._dice.choice(BEFORE_THE_LAST_BYTE)
            self._telegram.charge(work.verb.job)
            self._timeline.after(took_s * self._random(), self._cut, work)
        else:
            self._timeline.after(took_s * 0.8, self._hand_over, work)

    def _cut(self, work: Work) -> None:
        if work.letter is not None:
            self._answered(work.letter)

    def _hand_over(self, work: Work) -> None:
        if work.may_speak and work.letter is not None:
            work.is_sent = True
            self._telegram.receive(work.letter)

    def _answered(self, letter: Letter) -> bool:
        """Telegram's answer arrives; whether somebody is there to hear it."""
        work = letter.work
        assert isinstance(work, Work)
        if not work.may_speak:
            return False
        task = letter.verb.task
        if isinstance(letter.verb, verbs.Light):
            self._ways.answered(letter.verb, letter.code)
        answer_s = self._timeline.now - letter.received if letter.received else 0.0
        if not letter.code:
            self._telegram.serve_late()
            name = file_id_of(letter.message)
            self._children.say(work, reports.Uploaded(
                task, name, name, letter.verb.kind, letter.message, answer_s
            ))  # fmt: skip
        else:
            if work.behind is not None and work.behind.verb.job == letter.verb.job:
                work.behind.is_left = True
            self._children.say(work, reports.UploadFailed(
                task, letter.code, "as the world wants", letter.retry_after_s, letter.moved_to,
                answer_s,
            ))  # fmt: skip
        return True
