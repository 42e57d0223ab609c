"""What children do with a verb: downloads, uploads, listings, questions.

A verb's fate is drawn when it is told: how long it takes, whether the store or Telegram fails it,
whether its child hangs over it or dies of it.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from prewarmd.core import commands, events, reports, verbs
from tests.simulation.bucket import BODY_FAULTS, HEAD_FAULTS, Bucket
from tests.simulation.children import Child, Children, Work
from tests.simulation.invariants import Violation
from tests.simulation.memory import Memory
from tests.simulation.sends import Sends
from tests.simulation.swarm import Swarm
from tests.simulation.telegram import Telegram
from tests.simulation.timeline import Timeline
from tests.simulation.ways import Ways

SLOW_FACTOR = 100.0


class UnknownVerbError(Exception):
    """The engine says something that this world was not taught."""


class Transfers:
    """Every task of every child, from its verb to its report."""

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
    ) -> None:
        self.swarm = swarm
        self._timeline, self._put, self._memory = timeline, put, memory
        self._children, self._bucket, self._telegram = children, bucket, telegram
        self._dice, self._random = dice, dice.random
        self.sends = Sends(
            swarm, timeline, put, memory, children, bucket, telegram, ways, dice, self._meet_fate
        )
        self._begin: dict[type, Callable[[Child, Any], None]] = {
            verbs.Fetch: self._fetch,
            verbs.Into: self._into,
            verbs.Drop: self._drop,
            verbs.Upload: self.sends.upload,
            verbs.Relay: self.sends.relay,
            verbs.Forward: self.sends.light,
            verbs.Resend: self.sends.light,
            verbs.Link: self.sends.light,
            verbs.Seal: self.sends.seal,
            verbs.List: self._list,
            verbs.Head: self._head,
            verbs.AskChat: self._ask_chat,
        }

    def tell(self, command: commands.Tell) -> None:
        """A verb is sent to a child."""
        verb = command.verb
        begin = self._begin.get(type(verb))
        if begin is None:
            raise UnknownVerbError(
                f"transfers.py was not taught {type(verb).__name__}: add it to Transfers._begin"
            )
        child = self._children.living[command.index]
        if child is None or not child.is_up:
            if command.index in self._children.gone:
                self._children.miss(verb)
                return
            raise Violation("only_who_is_up_is_told", f"child {command.index}: {verb}")
        begin(child, verb)

    def _meet_fate(self, work: Work, took_s: float, content: str) -> float:
        """What else befalls a transfer that would take `took_s`; how long it takes."""
        swarm, random = self.swarm, self._random
        if content in self._bucket.poison:
            self._timeline.after(took_s * random() * 0.99, self._poisoned, work)
        elif random() < swarm.deaths:
            self._timeline.after(took_s * random() * 1.2, self._children.die_of_itself, work.child)
        elif random() < swarm.hangs:
            self._timeline.after(took_s * random(), self._children.hang, work.child)
        return took_s * SLOW_FACTOR if random() < swarm.slow else took_s

    def _poisoned(self, work: Work) -> None:
        if work.is_alive:
            self._children.die_of(work)

    # -- downloads -------------------------------------------------------------------------------

    def _fetch(self, child: Child, verb: verbs.Fetch) -> None:
        if verb.offset >= 0 and self._random() < self.swarm.no_memory:
            self._children.skip(verb.task)
            self._put(events.MemoryRefused(verb.task, "the system has none", False))
            return
        key = (verb.sha256,) if verb.sha256 else (verb.bucket, verb.key)
        work = self._children.take(child, verb, key)
        if not work.is_alive or child.is_hung:
            return
        bucket = self._bucket
        took_s = self.swarm.get_s * (0.5 + self._random())
        found = bucket.objects.get((verb.bucket, verb.key))
        work.code = bucket.head_fault(verb, found, self._dice)
        if work.code:
            self._timeline.after(took_s, self._fetch_fails, work)
            return
        assert found is not None
        if verb.etag and verb.etag == found.etag:
            self._timeline.after(took_s, self._unchanged, work)
            return
        work.content, work.size_bytes, work.etag = found.content, found.size_bytes, found.etag
        took_s = self._meet_fate(work, took_s, found.content)
        if verb.offset >= 0 and verb.size_bytes == found.size_bytes:
            self._land(work, verb.offset, took_s)
        else:
            self._timeline.after(took_s * 0.5, self._opened, work)

    def _opened(self, work: Work) -> None:
        if work.may_speak and work.span is None:
            opened = reports.Opened(work.verb.task, work.size_bytes, work.etag)
            self._put(events.ChildReported(work.child.index, work.child.generation, opened))

    def _into(self, child: Child, verb: verbs.Into) -> None:
        if self._random() < self.swarm.no_memory:
            self._put(events.MemoryRefused(verb.task, "the system has none", True))
            return
        work = child.works.get(verb.task)
        if work is None or work.size_bytes != verb.size_bytes or work.span is not None:
            raise Violation("into_fits", f"{verb}")
        if work.is_alive and not child.is_hung:
            self._land(work, verb.offset, self.swarm.get_s * 0.5)

    def _land(self, work: Work, offset: int, took_s: float) -> None:
        """The body goes into its extent."""
        work.span = self._memory.write(offset, work.size_bytes)
        if self._random() < self.swarm.fetch_faults:
            self._bucket.charge(work.verb.bucket, work.verb.key)
            work.code = self._dice.choice(BODY_FAULTS)
            self._timeline.after(took_s * self._random(), self._fetch_fails, work)
        else:
            self._timeline.after(took_s, self._fetched, work)
        self._timeline.after(took_s * 0.5 * self._random(), self._first_bytes, work)

    def _first_bytes(self, work: Work) -> None:
        if work.may_speak and work.span is not None:
            landing = reports.Landing(work.verb.task, work.size_bytes)
            self._put(events.ChildReported(work.child.index, work.child.generation, landing))

    def _fetched(self, work: Work) -> None:
        if not work.may_speak:
            return
        verb, span = work.verb, work.span
        if verb.sha256 and verb.sha256 != work.content:
            self._bucket.told.add((verb.bucket, verb.key, "Sha256Mismatch"))
            self.sends.stop_behind(work)
            self._children.say(work, reports.FetchFailed(verb.task, "Sha256Mismatch", ""))
            return
        assert span is not None
        if verb.bucket in self._bucket.outages:
            self._bucket.serve_late(verb.bucket)
        work.span = None
        self._memory.written(span, work.content)
        self.sends.land_behind(work)
        self._children.say(
            work, reports.Fetched(verb.task, work.size_bytes, work.content, work.etag)
        )

    def _fetch_fails(self, work: Work) -> None:
        if work.may_speak:
            self.sends.stop_behind(work)
            self._children.say(
                work, reports.FetchFailed(work.verb.task, work.code, "as the world wants")
            )

    def _unchanged(self, work: Work) -> None:
        if work.may_speak:
            if work.verb.bucket in self._bucket.outages:
                self._bucket.serve_late(work.verb.bucket)
            self._children.say(work, reports.Unchanged(work.verb.task))

    def _drop(self, child: Child, verb: verbs.Drop) -> None:
        work = child.works.get(verb.task)
        if child.is_dead:
            self._children.miss(verb)
        elif work is not None and isinstance(work.verb, verbs.Fetch):
            self._children.drop(work)
            self._timeline.after(0.001, self._dropped, work)
        elif work is not None:
            self.sends.drop(work)

    def _dropped(self, work: Work) -> None:
        if work.may_speak:
            self.sends.stop_behind(work)
            self._children.say(work, reports.FetchFailed(work.verb.task, "Stopped", ""))

    # -- questions -------------------------------------------------------------------------------

    def _list(self, child: Child, verb: verbs.List) -> None:
        work = self._children.take(child, verb)
        if not child.is_hung:
            self._timeline.after(self.swarm.get_s, self._listed, work)

    def _listed(self, work: Work) -> None:
        if not work.may_speak:
            return
        verb = work.verb
        if code := self._refusal(verb.bucket):
            self._children.say(work, reports.ListFailed(verb.task, code, ""))
        else:
            page, after = self._bucket.page(verb.bucket, verb.prefix, verb.after)
            self._children.say(work, reports.Listed(verb.task, page, after))

    def _head(self, child: Child, verb: verbs.Head) -> None:
        work = self._children.take(child, verb)
        if not child.is_hung:
            self._timeline.after(self.swarm.get_s, self._headed, work)

    def _headed(self, work: Work) -> None:
        if not work.may_speak:
            return
        verb = work.verb
        if code := self._refusal(verb.bucket):
            self._children.say(work, reports.HeadFailed(verb.task, code, ""))
            return
        found = (self._bucket.objects.get((verb.bucket, key)) for key in verb.keys)
        sizes = [-1 if one is None else one.size_bytes for one in found]
        self._children.say(work, reports.Headed(verb.task, sizes))

    def _refusal(self, bucket: str) -> str:
        """Why a question about the bucket gets no answer; mostly ""."""
        code = self._bucket.outages.get(bucket, "")
        if not code and self._random() < self.swarm.fetch_faults:
            code = self._dice.choice(HEAD_FAULTS)
        return code

    def _ask_chat(self, child: Child, verb: verbs.AskChat) -> None:
        work = self._children.take(child, verb)
        if not child.is_hung:
            self._timeline.after(0.02, self._chat_told, work)

    def _chat_told(self, work: Work) -> None:
        if not work.may_speak:
            return
        verb = work.verb
        kind, code = self._telegram.ask_chat(verb.bot, verb.chat_id)
        if code:
            self._children.say(work, reports.ChatUnknown(verb.task, code, ""))
        else:
            self._children.say(work, reports.ChatKnown(verb.task, kind))
