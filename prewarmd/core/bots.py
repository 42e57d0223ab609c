"""A bot: its lanes, which of them may send next, and its jobs that wait.

A lane stands in one of three places: among the free (it may send now, as far as anyone knows), in
a heap of the parked by the time at which it may, or aside, when only an event can tell. So the next
lane is found in O(log lanes) however many are parked; a free lane that turns out not to be is put
where it belongs when it comes up. Free lanes take turns.

How far ahead of its lanes a bot's objects may be fetched is its allowance: what its lanes can send
within the horizon. A lane that is paused beyond the horizon counts for nothing until it comes near.

Invariants, kept by `check`: a lane stands in one place; `_rate` is the sum of what counts.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain

from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Job, Kind, Phase
from prewarmd.core.lanes import UPLOADS_MAX, Lane
from prewarmd.core.pace import Pace
from prewarmd.core.ready_queue import FOREVER, Alternation, ReadyQueue
from prewarmd.core.scope import Scope
from prewarmd.core.spread import Spread

FREE = -1.0
"""`Lane.parked_at` of one that stands among the free; FOREVER stands aside."""
CROWDED_S = 60.0
"""How long a bot keeps to less at once after its server said that it was too much."""


class Backlog(ReadyQueue[Job]):
    """A bot's jobs that wait for bytes out of one bucket: one that refuses us holds back its own
    jobs alone. Suspects, which want a child `alone`, have backlogs of their own."""

    __slots__ = ("alone", "bot", "bucket")

    def __init__(self, bot: "Bot", bucket: str, *, alone: bool = False) -> None:
        if alone:
            super().__init__()
        else:
            super().__init__(bot.starve_after_s, bot.loading)
        self.bot = bot
        self.bucket = bucket
        self.alone = alone


@dataclass(slots=True, eq=False)
class Bot:
    """A bot and all that is its own."""

    slug: str
    lanes: list[Lane]
    pace: Pace
    horizon_s: float
    starve_after_s: float = FOREVER
    in_flight_max: int = UPLOADS_MAX
    spread: Spread = field(default_factory=Spread)
    loading: Alternation = field(default_factory=Alternation)
    """Of its turns to fetch, shared with the other bots..."""
    sending: Alternation = field(default_factory=Alternation)
    """...and of those to send."""
    gate: Gate = field(default_factory=lambda: Gate(first_s=5.0, cap_s=900.0))
    scope: Scope = field(default_factory=Scope)
    in_flight: int = 0
    backlogs: dict[str, Backlog] = field(default_factory=dict)
    loaded: ReadyQueue[Job] = field(init=False)
    """Jobs whose bytes are here. Each waits at most about a horizon behind better ones."""
    backlogs_alone: dict[str, Backlog] = field(default_factory=dict)
    """Of its suspects..."""
    loaded_alone: ReadyQueue[Job] = field(default_factory=ReadyQueue)
    """...and those of them whose bytes are here."""
    under_way: int = 0
    """Jobs taken from the backlogs and not yet uploading: what fetching ahead is bounded by."""
    load_turn: int = 0
    """When it last had its turn to fetch, as a number that rises with each turn of anybody."""
    send_turn: int = 0
    alone_turn: int = 0
    """When a suspect of it last got a child for itself."""
    alarm: float = FOREVER
    """When it will be looked at although nothing happened."""
    _free: deque[Lane] = field(default_factory=deque)
    _parked: list[tuple[float, int, Lane]] = field(default_factory=list)
    _rate: int = 0
    """Sends per hour of all lanes that count."""
    _number: int = 0
    choosy: int = 0
    """So many of its lanes refuse some kind of media."""
    _crowded_max: int = 0
    """As many at once while its server is crowded; 0 when it is not."""
    _crowded_at: float = -FOREVER
    _crowded_until: float = 0.0

    def __post_init__(self) -> None:
        self.loaded = ReadyQueue(self.horizon_s, self.sending)
        for lane in self.lanes:
            self._put(lane, 0.0, 0.0)

    def backlog(self, bucket: str) -> Backlog:
        """Its jobs that wait for bytes out of one bucket."""
        found = self.backlogs.get(bucket)
        if found is None:
            found = self.backlogs[bucket] = Backlog(self, bucket)
        return found

    def pile(self, job: Job) -> ReadyQueue[Job] | None:
        """Where a job of it lies in the phase that it is in; None where that lies nowhere."""
        match job.phase:
            case Phase.QUEUED if not job.suspect:
                return self.backlog(job.bucket)
            case Phase.QUEUED:
                found = self.backlogs_alone.get(job.bucket)
                if found is None:
                    found = self.backlogs_alone[job.bucket] = Backlog(self, job.bucket, alone=True)
                return found
            case Phase.LOADED:
                return self.loaded_alone if job.suspect else self.loaded
            case _:
                return None

    # -- lanes -----------------------------------------------------------------------------------

    def next_lane(self, now: float) -> tuple[Lane | None, float]:
        """The lane that may send soonest, if one may as soon as the bot may, and when to look (at
        the latest; FOREVER: only an event can tell)."""
        at = self._shut_until(now)
        if at > now:
            return None, at
        parked, free = self._parked, self._free
        if parked and parked[0][0] <= now:
            self._wake(now)
        while free:
            lane = free[0]
            at = lane.next_at(now)
            if at <= now:
                return lane, max(now, self.pace.next_at)
            free.popleft()
            self._put(lane, at, now)
        while parked and parked[0][2].parked_at != parked[0][0]:
            heappop(parked)
        return None, parked[0][0] if parked else FOREVER

    def next_to_follow(self, now: float) -> tuple[Lane | None, float]:
        """As `next_lane`, of those without an upload that follows already. O(lanes)."""
        free = self._free
        for _ in range(len(free)):
            if not free[0].is_trailing:
                break
            free.rotate(-1)
        lane, at = self.next_lane(now)
        if lane is None or not lane.is_trailing:
            return lane, at
        others = (each.next_at(now) for each in self.lanes if not each.is_trailing)
        return None, max(at, min(others, default=FOREVER))

    def _wake(self, now: float) -> None:
        """Parked lanes whose time has come stand where they belong."""
        parked = self._parked
        while parked and parked[0][0] <= now:
            at, _, lane = heappop(parked)
            if lane.parked_at == at:
                self._put(lane, lane.next_at(now), now)

    def _shut_until(self, now: float) -> float:
        """When the bot itself may send, whatever its lanes say."""
        gate, scope = self.gate, self.scope
        if gate.code and not gate.may_pass(now):
            return FOREVER if gate.probing else gate.until
        if scope.probing or scope.until > now:
            return FOREVER if scope.probing else scope.until
        if self._crowded_max and now >= self._crowded_until:
            self._crowded_max *= 2
            self._crowded_until = now + CROWDED_S
            if self._crowded_max >= self.in_flight_max:
                self._crowded_max = 0
        return FOREVER if self.in_flight >= (self._crowded_max or self.in_flight_max) else now

    def crowd(self, began: float, now: float) -> bool:
        """Its server is busy with what it sends at once, as a send that began at `began` was told:
        half of that, for a while. False when it has been one at a time already."""
        if began < self._crowded_at:
            return True  # another of the same crowd
        was_one = self._crowded_max == 1 and self.in_flight <= 1
        self._crowded_max = max(1, (self.in_flight + 1) // 2)
        self._crowded_at, self._crowded_until = now, now + CROWDED_S
        return not was_one

    def _put(self, lane: Lane, at: float, now: float) -> None:
        """Let `lane`, which may send at `at`, stand where it belongs."""
        near = at - self.horizon_s <= now  # as it is parked below: the same to the last bit
        if at <= now:
            lane.parked_at = FREE
            self._free.append(lane)
        elif at == FOREVER:
            lane.parked_at = at
            near = lane.is_full or lane.gate.probing  # an upload's end will tell, and that is near
        else:
            # One that is far off is looked at once it comes near, for its bytes to be fetched.
            lane.parked_at = at if near else at - self.horizon_s
            self._number += 1
            heappush(self._parked, (lane.parked_at, self._number, lane))
        counts = lane.pace.per_hour if near else 0
        self._rate += counts - lane.counted_per_hour
        lane.counted_per_hour = counts

    def stir(self, lane: Lane, now: float) -> None:
        """Something happened to `lane`: it may stand elsewhere now."""
        at = lane.next_at(now)
        if lane.parked_at == FREE:
            if at <= now:
                return
            self._free.remove(lane)  # a pause or a refusal: rare
        self._put(lane, at, now)

    def enter(self, lane: Lane, size_bytes: int, now: float) -> bool:
        """The lane that `next_lane` gave begins an upload; whether it is a probe of `scope`."""
        taken = self._free.popleft()
        assert taken is lane
        lane.enter(now)
        self.pace.spend(now)
        self.spread.spend(size_bytes, now)
        if self.gate.code:
            self.gate.enter(now)
        self.in_flight += 1
        self._put(lane, lane.next_at(now), now)
        return self.scope.in_doubt and self.scope.enter()

    def leave(self, lane: Lane, now: float) -> None:
        """An upload of `lane` ended; what its answer meant has been noted already."""
        lane.in_flight -= 1
        self.in_flight -= 1
        self.stir(lane, now)

    # -- lanes that do not take every kind --------------------------------------------------------

    def refuse_kind(
        self, lane: Lane, kind: Kind, code: str, detail: str, now: float, *, began: float
    ) -> None:
        """The chat of `lane` does not take that kind."""
        self.choosy += not lane.refusals
        lane.refusals.refuse(kind, code, detail, now, began=began)

    def accept_kind(self, lane: Lane, kind: Kind) -> None:
        """It does take it."""
        if lane.refusals.pop(kind, None) is not None:
            self.choosy -= not lane.refusals

    def refusal(self, kind: Kind, now: float) -> tuple[Lane, float] | None:
        """If no lane takes that kind: the one that is asked again first, and when."""
        if any(lane.refusals.take(kind, now) for lane in self.lanes):
            return None
        return min(
            ((lane, lane.refusals.asked_again_at(kind, now)) for lane in self.lanes),
            key=lambda each: each[1],
        )

    def refused_by_all(self) -> list[tuple[str, str]]:
        """The kinds that no chat takes, as reasons not to be ready: (code, message)."""
        first, *others = self.lanes
        return [
            (gate.code, f"bot {self.slug}, every {kind}: {gate.detail}")
            for kind, gate in first.refusals.items()
            if all(kind in lane.refusals for lane in others)
        ]

    def match(self, pile: ReadyQueue[Job], now: float) -> Job | None:
        """The best job that a free lane takes; that lane is the next one then. O(free lanes x jobs
        whose bytes are here), but only a bot that is choosy asks."""
        first = pile.peek(now)
        assert first is not None
        for job in chain((first,), pile):
            if self.spread.free_at(job.size_bytes or 0) > now:
                continue
            place = self._place_for(job.kind, now)
            if place >= 0:
                self._free.rotate(-place)
                return job
        return None

    def _place_for(self, kind: Kind, now: float) -> int:
        """Where among the free stands the first lane that takes that kind; -1 when none does."""
        for place, lane in enumerate(self._free):
            if lane.next_at(now) <= now and lane.refusals.take(kind, now):
                return place
        return -1

    def may_send(self, kind: Kind, now: float) -> bool:
        """Whether a media of that kind could be sent at once."""
        is_open = self.next_lane(now)[1] <= now
        return is_open and (not self.choosy or self._place_for(kind, now) >= 0)

    def match_at(self, pile: Iterable[Job], now: float) -> float:
        """When to look for a match again, if nothing happens before. O(lanes + jobs)."""
        gates = (gate for lane in self.lanes for gate in lane.refusals.values())
        times = [lane.next_at(now) for lane in self.lanes]
        times += [gate.until for gate in gates if not gate.probing]
        times += [self.spread.free_at(job.size_bytes or 0) for job in pile]
        return min((at for at in times if at > now), default=FOREVER)

    @property
    def next_free(self) -> Lane:
        """The lane that `match` found."""
        return self._free[0]

    # -- how much to fetch -----------------------------------------------------------------------

    def allowance(self) -> float:
        """How many jobs may be under way: what can be sent within the horizon, and a little."""
        if self._rate <= 0:
            return 0
        if not self.lanes[0].pace.interval_s:
            return FOREVER
        per_hour = min(self._rate, self.pace.per_hour)
        return 1 + len(self._free) + per_hour * self.horizon_s / 3600

    def has_room(self, now: float) -> bool:
        """Whether one more job may be taken under way: its upload could start in time."""
        if self._parked and self._parked[0][0] <= now:
            self._wake(now)  # a lane that has come near counts
        if self.gate.code and not self.gate.may_pass(now):
            return False
        near = self.scope.until - self.horizon_s <= now  # as in `fetch_at`, to the last bit
        return near and self.under_way < self.allowance()

    def fetch_at(self, now: float) -> float:
        """When to look whether it has room, if it has none now although nothing is under way."""
        at = self.next_lane(now)[1]
        if now < at - self.horizon_s < FOREVER:
            return at - self.horizon_s
        # Near, and shut until then; a lane of it may come near meanwhile.
        return min(at, self._parked[0][0]) if self._parked and self._parked[0][0] > now else at

    def is_far(self, now: float) -> bool:
        """Whether nothing can be sent within the horizon, so that no bytes need be kept."""
        shut = not self.gate.may_pass(now) and not self.gate.probing
        until = max(self.gate.until if shut else now, self.scope.until)
        return self._rate <= 0 or until - self.horizon_s > now

    def is_due(self, now: float) -> bool:
        """Whether a job that is taken now could be sent at once, not only ahead of its time; as
        far as is known without asking each lane."""
        if self._parked and self._parked[0][0] <= now:
            self._wake(now)
        free = self._free
        if not free or self.under_way >= free[0].pace.burst * len(free):
            return False
        return self._shut_until(now) <= now and self.pace.next_at <= now

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        assert self.in_flight == sum(lane.in_flight for lane in self.lanes)
        assert self._rate == sum(lane.counted_per_hour for lane in self.lanes)
        assert self.choosy == sum(bool(lane.refusals) for lane in self.lanes)
        parked = {(at, id(lane)) for at, _, lane in self._parked}
        for lane in self.lanes:
            places = [
                self._free.count(lane),
                int((lane.parked_at, id(lane)) in parked),
                int(lane.parked_at == FOREVER),
            ]
            assert sum(places) == 1, f"{lane.chat_id} stands in {places}"
        for backlog in self.backlogs.values():
            backlog.check()
        for backlog in self.backlogs_alone.values():
            backlog.check()
        self.loaded.check()
        self.loaded_alone.check()
