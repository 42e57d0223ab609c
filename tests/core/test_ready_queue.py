"""The ready queue: highest level first, then first in, first out, and nobody waits for ever."""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prewarmd.core.ready_queue import FOREVER, STARVED, Alternation, Item, ReadyQueue

LEVEL = st.one_of(st.sampled_from([0, 99, 100, 255, STARVED]), st.integers(0, STARVED))
URGENT = 255


@dataclass(slots=True, eq=False, weakref_slot=True)
class Thing(Item):
    """What stands in the queues of this file."""

    name: str = ""


def filled(*pairs: tuple[str, int], starve_after_s: float = FOREVER) -> ReadyQueue[Thing]:
    """A queue of things of those names and levels, all pushed at 0."""
    queue: ReadyQueue[Thing] = ReadyQueue(starve_after_s)
    for name, level in pairs:
        queue.push(Thing(name), level, 0.0)
    return queue


def names(queue: ReadyQueue[Thing]) -> list[str]:
    return [thing.name for thing in queue]


def turn(queue: ReadyQueue[Thing], now: float = 0.0) -> str:
    """Who has the next turn; "" when nobody is left."""
    thing = queue.peek(now)
    if thing is None:
        return ""
    queue.serve(thing, now)
    return thing.name


# -- order -----------------------------------------------------------------------------------


def test_the_highest_level_goes_first_and_its_eldest_before_its_youngest() -> None:
    """A small photo would wait behind the videos that came before it."""
    queue = filled(("video", 90), ("photo 1", 150), ("document", 100), ("photo 2", 150))
    assert names(queue) == ["photo 1", "photo 2", "document", "video"]
    assert [turn(queue) for _ in range(5)] == ["photo 1", "photo 2", "document", "video", ""]


def test_what_is_put_back_in_front_goes_before_its_level() -> None:
    """A job whose turn had come would lose it to all that came meanwhile."""
    queue = filled(("a", 7), ("b", 7))
    queue.push(Thing("back again"), 7, 0.0, front=True)
    queue.push(Thing("alone"), 8, 0.0, front=True)
    assert names(queue) == ["alone", "back again", "a", "b"]
    queue.check()


def test_the_lowest_and_the_highest_level_are_levels() -> None:
    """A job with priority 0 or 255 would never run, or crash the daemon."""
    queue = filled(("low", 0), ("high", 255))
    assert (queue.level, turn(queue), queue.level, turn(queue)) == (255, "high", 0, "low")
    assert queue.level == -1
    queue.check()


def test_moving_to_its_own_level_keeps_its_turn() -> None:
    """A job that is looked at again would lose its place to the others of its level."""
    queue = filled(("a", 5), ("b", 5))
    a, _ = queue
    queue.move(a, 5)
    assert names(queue) == ["a", "b"]
    queue.move(a, 4)
    queue.move(a, 5)
    assert names(queue) == ["b", "a"]


def test_an_item_is_in_one_queue_once() -> None:
    """A job queued twice would be uploaded twice."""
    queue, other = filled(("a", 5)), filled(("b", 5))
    (a,) = queue
    for each in (queue, other):
        with pytest.raises(AssertionError, match="is queued already"):
            each.push(a, 9, 0.0)
    assert not other.remove(a)
    assert (names(queue), names(other)) == (["a"], ["b"])
    assert a.queue is queue
    assert queue.remove(a)
    assert not queue.remove(a)
    assert a not in queue


def test_it_can_be_emptied_while_one_looks_through_it() -> None:
    """A bot whose lanes are paused puts all its loaded jobs back: every other would stay."""
    queue = filled(*[(str(n), n % 3) for n in range(9)])
    for thing in queue:
        queue.remove(thing)
    assert names(queue) == []
    queue.check()


def test_it_shows_what_it_holds() -> None:
    """Whoever debugs it would see an address."""
    assert repr(filled(("a", 5), ("b", 9))) == "<ReadyQueue 2: {9: 1, 5: 1}>"


# -- starvation ------------------------------------------------------------------------------


def test_what_waited_too_long_goes_before_all_levels() -> None:
    """A large video would wait as long as photos come."""
    queue = filled(("video", 70), ("photo", 185), starve_after_s=600.0)
    assert queue.starves_at() == 600.0
    assert [thing.name for at in (599.9, 600.0) if (thing := queue.peek(at))] == ["photo", "video"]
    assert turn(queue, 600.0) == "video"


def test_what_is_urgent_waits_for_one_that_starves_not_for_all() -> None:
    """After an hour of trouble everything starves: an urgent photo would wait behind it all."""
    queue = filled(*[(f"old {n}", 70) for n in range(1000)], starve_after_s=600.0)
    queue.push(Thing("urgent"), URGENT, 700.0)
    assert "urgent" in [turn(queue, 700.0), turn(queue, 700.0)]


def test_it_says_who_went_because_it_starved() -> None:
    """It would wait a second time behind better ones, once its bytes are here."""
    queue = filled(("old", 70), ("older", 60), ("photo", 185), starve_after_s=600.0)
    said = []
    while (thing := queue.peek(700.0)) is not None:
        said.append((thing.name, queue.serve(thing, 700.0)))
    assert said == [("old", True), ("photo", False), ("older", True)]


def test_queues_that_take_turns_share_that_two_which_starve_never_follow() -> None:
    """What is urgent would wait for one old job of each bot, of which there are thousands."""
    alternation = Alternation()
    first = ReadyQueue[Thing](600.0, alternation)
    second = ReadyQueue[Thing](600.0, alternation)
    for queue in (first, second):
        queue.push(Thing("old"), 70, 0.0)
        queue.push(Thing("urgent"), URGENT, 700.0)
    said = [turn(queue, 700.0) for queue in (first, second, second, first)]
    assert said == ["old", "urgent", "old", "urgent"]


def test_a_turn_counts_when_the_item_left_before_it_was_served() -> None:
    """Whoever takes a job on takes it out at once: two that starve would go in a row."""
    queue = filled(("old", 70), ("older", 60), ("photo", 185), starve_after_s=600.0)
    old = queue.peek(700.0)
    assert old is not None
    queue.remove(old)
    assert queue.serve(old, 700.0)
    assert turn(queue, 700.0) == "photo"


@given(
    st.lists(st.tuples(LEVEL, st.booleans()), max_size=12),
    st.integers(0, 254),
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.sampled_from([0.0, 1.0, 700.0]),
)
def test_nobody_waits_longer_than_the_bound(
    before: list[tuple[int, bool]], level: int, coming: list[int], step_s: float
) -> None:
    """Under a flood of urgent work, all of it late, an old job would never have a turn: with `n`
    others before it, it has one at the latest 2 n + 2 turns after it starved."""
    queue: ReadyQueue[Thing] = ReadyQueue(600.0)
    for each, front in before:
        queue.push(Thing("before"), each, 0.0, front=front)
    mine = Thing("mine")
    queue.push(mine, level, 0.0)
    turns, now = 0, 600.0
    while mine.queue is not None:
        for _ in range(coming[turns % len(coming)]):
            queue.push(Thing("urgent"), URGENT, now)
        now += step_s
        turn(queue, now)
        turns += 1
        assert turns <= 2 * len(before) + 2
    queue.check()


# -- what it costs ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["serve", "remove", "by one of many", "move and remove"])
def test_it_keeps_nothing_of_what_left(how: str) -> None:
    """A finished job would stay in memory as long as its neighbours wait, and theirs with it."""
    queue = filled(*[(str(n), n % 2) for n in range(6 if how == "by one of many" else 1)])
    first = queue.peek(0.0)
    assert first is not None
    if how == "move and remove":
        queue.move(first, 9)
    if how == "serve":
        queue.serve(first, 0.0)
    else:
        queue.remove(first)
    gone = weakref.ref(first)
    del first
    assert gone() is None, "no collector should be needed either"
    queue.check()


@pytest.mark.parametrize("how", ["serve", "remove"])
def test_what_left_keeps_nothing_of_it(how: str) -> None:
    """One job under way for minutes would keep those in memory that were beside it."""
    queue = filled(("a", 1), ("b", 1), ("c", 1))
    a, b, c = queue
    queue.serve(a, 0.0)
    queue.remove(b) if how == "remove" else queue.serve(b, 0.0)
    assert [b.before, b.after, b.older, b.newer, b.queue] == [None] * 5
    assert b.level == -1
    queue.remove(c)


class Watched(Item):
    """Counts how often any of its kind is looked at or written to."""

    touched: ClassVar[Counter[str]] = Counter()

    def __getattribute__(self, name: str) -> object:
        Watched.touched[name] += 1
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: object) -> None:
        Watched.touched[name] += 1
        super().__setattr__(name, value)


VERBS: dict[str, Callable[[ReadyQueue[Watched], Watched], object]] = {
    "push": lambda queue, item: queue.push(Watched(), 3, 50.0),
    "push in front": lambda queue, item: queue.push(Watched(), 3, 50.0, front=True),
    "peek": lambda queue, item: queue.peek(50.0),
    "peek at what starves": lambda queue, item: queue.peek(700.0),
    "serve": lambda queue, item: queue.serve(item, 50.0),
    "remove": lambda queue, item: queue.remove(item),
    "move": lambda queue, item: queue.move(item, 200),
    "last": lambda queue, item: queue.last(),
    "level": lambda queue, item: queue.level,
    "starves_at": lambda queue, item: queue.starves_at(),
    "membership": lambda queue, item: item in queue,
    "length": lambda queue, item: len(queue),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_touches_more_of_a_long_queue(verb: str) -> None:
    """A backlog of a million would be walked through for one job: draining it would take days."""
    touched = []
    for length in (30, 3000):
        queue: ReadyQueue[Watched] = ReadyQueue(600.0)
        items = [Watched() for _ in range(length)]
        for number, item in enumerate(items):
            queue.push(item, number % 10, 0.0)
        Watched.touched.clear()
        VERBS[verb](queue, items[length // 2])
        touched.append(Watched.touched.total())
        queue.check()
    assert touched[0] == touched[1] <= 40


# -- any sequence ----------------------------------------------------------------------------


class AnyUse(RuleBasedStateMachine):
    """Beside the queue there is a plain list per level and one in the order of arrival."""

    @initialize(starve_after_s=st.sampled_from([10.0, 60.0, FOREVER]))
    def begin(self, starve_after_s: float) -> None:
        self.queue: ReadyQueue[Thing] = ReadyQueue(starve_after_s)
        self.other: ReadyQueue[Thing] = ReadyQueue()
        self.now = 0.0
        self.levels: dict[int, list[Thing]] = {}
        self.arrivals: list[Thing] = []
        self.since: dict[Thing, float] = {}
        self.starved_last = False
        self.left: list[Thing] = []

    # -- the model

    def ordered(self) -> list[Thing]:
        return [each for level in sorted(self.levels, reverse=True) for each in self.levels[level]]

    def level_of(self, thing: Thing) -> int:
        return next(level for level, things in self.levels.items() if thing in things)

    def starving(self) -> Thing | None:
        """Whose turn it is because it starves."""
        if not self.arrivals or self.starved_last:
            return None
        oldest = self.arrivals[0]
        return oldest if self.since[oldest] + self.queue.starve_after_s <= self.now else None

    def next(self) -> Thing | None:
        return self.starving() or next(iter(self.ordered()), None)

    def take_out(self, thing: Thing) -> None:
        self.levels[self.level_of(thing)].remove(thing)
        self.arrivals.remove(thing)
        self.left.append(thing)

    # -- what may happen

    @rule(seconds=st.floats(0.0, 40.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(level=LEVEL, front=st.booleans(), again=st.booleans())
    def push(self, level: int, front: bool, again: bool) -> None:
        thing = self.left.pop() if again and self.left else Thing(str(len(self.since)))
        self.queue.push(thing, level, self.now, front=front)
        self.levels.setdefault(level, []).insert(0 if front else len(self.levels[level]), thing)
        self.arrivals.append(thing)
        self.since[thing] = self.now

    @rule(out_first=st.booleans())
    def serve(self, out_first: bool) -> None:
        expected, starves = self.next(), self.starving() is not None
        thing = self.queue.peek(self.now)
        assert thing is expected
        if thing is not None:
            if out_first:
                self.queue.remove(thing)
            assert self.queue.serve(thing, self.now) is starves
            self.take_out(thing)
            self.starved_last = starves

    @precondition(lambda self: self.arrivals)
    @rule(pick=st.data())
    def remove(self, pick: Any) -> None:
        thing = pick.draw(st.sampled_from(self.arrivals))
        assert not self.other.remove(thing)
        assert self.queue.remove(thing)
        self.take_out(thing)

    @precondition(lambda self: self.arrivals)
    @rule(pick=st.data(), level=LEVEL)
    def move(self, pick: Any, level: int) -> None:
        thing = pick.draw(st.sampled_from(self.arrivals))
        self.queue.move(thing, level)
        if (was := self.level_of(thing)) != level:
            self.levels[was].remove(thing)
            self.levels.setdefault(level, []).append(thing)

    # -- what must be so

    @invariant()
    def is_like_the_lists(self) -> None:
        queue, ordered = self.queue, self.ordered()
        assert list(queue) == ordered
        assert len(queue) == len(ordered)
        assert queue.peek(self.now) is self.next()
        assert queue.last() is (ordered[-1] if ordered else None)
        highest = self.level_of(ordered[0]) if ordered else -1
        assert queue.level == highest
        oldest = min((self.since[each] for each in self.arrivals), default=FOREVER)
        assert queue.starves_at() == oldest + queue.starve_after_s

    @invariant()
    def everything_knows_where_it_stands(self) -> None:
        here = set(self.arrivals)
        for thing in self.since:
            assert (thing in self.queue) == (thing in here)
            assert thing.queue is (self.queue if thing in here else None)
            assert thing.level == (self.level_of(thing) if thing in here else -1)

    def teardown(self) -> None:
        self.queue.check()


TestAnyUse = AnyUse.TestCase
