"""A rotation: the highest level first, then who was served longest ago."""

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from prewarmd.core.ready_queue import STARVED, Item, ReadyQueue
from prewarmd.core.roster import DUE
from prewarmd.core.rotation import _SPARE, Rotation, Turns

LEVEL = st.one_of(st.integers(0, 2), st.integers(0, 600))
MEMBER = st.integers(0, 7)


def turns(rotation: Rotation[str], level: int, count: int) -> list[str]:
    """Who is served, each put back at its level."""
    served = []
    for turn in range(1, count + 1):
        head = rotation.peek()
        assert head is not None
        served.append(head[0])
        rotation.place(head[0], level, turn)
    return served


def test_members_at_one_level_take_turns_as_they_came() -> None:
    """A bot with a backfill of a million would keep all others waiting."""
    rotation: Rotation[str] = Rotation()
    for name in ("alpha", "beta", "gamma"):
        rotation.place(name, 5, 0)
    assert turns(rotation, 5, 7) == ["alpha", "beta", "gamma", "alpha", "beta", "gamma", "alpha"]
    rotation.check()


def test_a_higher_level_goes_first_whoever_was_served() -> None:
    """A bot's photos would wait for the videos of all others."""
    rotation: Rotation[str] = Rotation()
    rotation.place("videos", 70, 0)
    rotation.place("photos", 185, 99)
    assert rotation.peek() == ("photos", 185)
    rotation.place("photos", 60, 100)
    assert rotation.peek() == ("videos", 70)
    assert rotation.remove("videos")
    assert rotation.peek() == ("photos", 60)


def test_who_comes_back_has_not_lost_its_turn() -> None:
    """A bot whose lanes were paused for a second would be served last, or twice."""
    rotation: Rotation[str] = Rotation()
    for number, name in enumerate(["alpha", "beta", "gamma"]):
        rotation.place(name, 5, number)
    assert rotation.remove("alpha")
    assert not rotation.remove("alpha")
    assert rotation.peek() == ("beta", 5)
    rotation.place("alpha", 5, 0)
    assert rotation.peek() == ("alpha", 5)


def test_who_is_looked_at_again_keeps_its_turn() -> None:
    """A bot would lose its turn to a new one with every job that comes in for it."""
    rotation: Rotation[str] = Rotation()
    for name in ("alpha", "beta", "alpha"):
        rotation.place(name, 5, 0)
    assert rotation.peek() == ("alpha", 5)


def test_cleaning_up_changes_nobodys_turn() -> None:
    """Once in a while the bots would be served in another order, or not at all."""
    rotation: Rotation[str] = Rotation()
    for name, served in (("gamma", 30), ("alpha", 10), ("beta", 20)):
        rotation.place(name, 5, served)
    entries = []
    for turn in range(2 * _SPARE):
        rotation.place("delta", turn % 3, turn)
        entries.append(rotation._entries)
    assert entries != sorted(entries), "there was something to clean up"
    assert turns(rotation, 4, 3) == ["alpha", "beta", "gamma"]
    for turn in range(2 * _SPARE):  # now nobody is left at some levels
        rotation.place("delta", 1, 1000 + turn)
    for name in ("alpha", "beta", "gamma", "delta"):
        rotation.remove(name)
    assert rotation.peek() is None
    rotation.check()


def test_an_empty_one_has_no_next() -> None:
    """The daemon would crash when the last job is done."""
    rotation: Rotation[str] = Rotation()
    assert rotation.peek() is None
    rotation.place("alpha", 5, 0)
    rotation.remove("alpha")
    assert rotation.peek() is None
    assert "alpha" not in rotation
    assert repr(rotation) == "<Rotation of 0>"
    rotation.check()


def test_it_keeps_nothing_of_who_left_for_long() -> None:
    """Memory would grow with every turn that anybody ever had."""

    class Member:
        pass

    rotation: Rotation[Member] = Rotation()
    member = Member()
    rotation.place(member, 5, 0)
    rotation.remove(member)
    gone, stays = weakref.ref(member), Member()
    del member
    for turn in range(_SPARE + 3):
        rotation.place(stays, 5, turn)
    assert gone() is None


@pytest.mark.parametrize("members", [1, 100])
def test_its_size_follows_its_members_not_its_turns(members: int) -> None:
    """Ten thousand turns would leave ten thousand entries to skip."""
    rotation: Rotation[int] = Rotation()
    for turn in range(10_000):
        rotation.place(turn % members, turn % 7, turn)
        assert rotation._entries <= 2 * len(rotation) + _SPARE
    rotation.check()


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["serve", "out", "in", "again", "else"]), MEMBER)),
)
def test_nobody_is_served_twice_before_everybody_was_once(
    members: int, steps: list[tuple[str, int]]
) -> None:
    """Moving a bot, taking it out or putting it back would give it a turn that is another's."""
    rotation: Rotation[int] = Rotation()
    last = dict.fromkeys(range(members), 0)
    overtaken: dict[int, list[int]] = {}  # who is here: who was served since it was, or came
    for member in last:
        rotation.place(member, 5, 0)
        overtaken[member] = []
    for turn, (verb, pick) in enumerate(steps, start=1):
        member = pick % members
        match verb:
            case "serve":
                head = rotation.peek()
                if head is None:
                    continue
                served = head[0]
                for waiting, before in overtaken.items():
                    if waiting != served:
                        assert served not in before, f"{served} twice before {waiting}"
                        before.append(served)
                overtaken[served] = []
                last[served] = turn
                rotation.place(served, 5, turn)
            case "out":
                rotation.remove(member)
                overtaken.pop(member, None)
            case "in":
                rotation.place(member, 5, last[member])
                overtaken.setdefault(member, [])
            case "again" if member in rotation:
                rotation.remove(member)
                rotation.place(member, 5, last[member])
            case "else" if member in rotation:
                rotation.place(member, 9, last[member])
                rotation.place(member, 5, last[member])
    rotation.check()


def queue_of(level: int, came: float) -> ReadyQueue[Item]:
    """One item, which starves ten seconds after it came."""
    queue: ReadyQueue[Item] = ReadyQueue(10.0)
    queue.push(Item(), level, came)
    return queue


def test_who_starves_has_every_other_turn_and_who_starves_longest_has_it_first() -> None:
    """A bot whose jobs are all of the worst kind would never have a turn beside busy ones."""
    turns: Turns[str] = Turns()
    for name, level, came in (("photos", 185, 40.0), ("videos", 184, 20.0), ("archive", 183, 10.0)):
        turns.place(name, queue_of(level, came), 0, 0, now=40.0)
    said = []
    for starved in (True, False, True, False):
        head = turns.peek()
        assert head is not None
        said.append(head)
        turns.alternation.starved_last = starved
        if starved:
            turns.place(head[0], queue_of(100, 40.0), 0, 0, now=40.0)
    assert said == [("archive", STARVED), ("photos", 185), ("videos", STARVED), ("photos", 185)]
    turns.check()


def test_who_starves_goes_before_its_own_sort_only() -> None:
    """A bot that is paused would have its old jobs fetched before those that can be sent now."""
    turns: Turns[str] = Turns()
    turns.place("free", queue_of(70, 40.0), DUE, 0, now=40.0)
    turns.place("paused", queue_of(185, 10.0), 0, 0, now=40.0)
    assert turns.peek() == ("free", DUE + 70)
    assert turns.remove("free")
    assert turns.peek() == ("paused", STARVED)
    assert turns.remove("paused")
    assert "paused" not in turns
    assert len(turns) == 0
    assert turns.peek() is None
    turns.check()


class AnyUse(RuleBasedStateMachine):
    """Beside the rotation there is a plain dict: level, turn served, and when it was placed so."""

    @initialize(spare=st.booleans())
    def begin(self, spare: bool) -> None:
        self.rotation: Rotation[int] = Rotation()
        self.where: dict[int, tuple[int, int, int]] = {}
        self.placed = 0
        if not spare:  # so that rebuilding comes soon
            self.rotation.place(-1, 0, 0)
            for turn in range(_SPARE):
                self.rotation.place(-1, 0, turn + 1)
            self.rotation.remove(-1)

    def next(self) -> tuple[int, int] | None:
        order = sorted((-level, served, at, who) for who, (level, served, at) in self.where.items())
        return (order[0][3], -order[0][0]) if order else None

    @rule(member=MEMBER, level=LEVEL, served=st.integers(0, 2))
    def place(self, member: int, level: int, served: int) -> None:
        self.rotation.place(member, level, served)
        if self.where.get(member, ())[:2] != (level, served):
            self.placed += 1
            self.where[member] = (level, served, self.placed)
        assert self.rotation._entries <= 2 * len(self.where) + _SPARE

    @rule(member=MEMBER)
    def remove(self, member: int) -> None:
        assert self.rotation.remove(member) == (member in self.where)
        self.where.pop(member, None)

    @rule(turns=st.integers(1, 80))
    def go_on(self, turns: int) -> None:
        """Serve as the engine does: whoever is next, and place it anew."""
        for _ in range(turns):
            head = self.rotation.peek()
            assert head == self.next()
            if head is None:
                return
            member, level = head
            self.place(member, level, 10 + self.placed)
        self.rotation.check()

    @invariant()
    def is_like_the_dict(self) -> None:
        assert self.rotation.peek() == self.next()
        assert len(self.rotation) == len(self.where)
        assert all((who in self.rotation) == (who in self.where) for who in range(8))

    def teardown(self) -> None:
        self.rotation.check()


TestAnyUse = AnyUse.TestCase
