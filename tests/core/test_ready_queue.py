"""The ready queue: highest level first, then first in, first out, at any length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.ready_queue import ReadyQueue

LEVEL = st.integers(0, 255)
ITEM = st.integers(0, 12)
STEP = st.one_of(
    st.tuples(st.just("push"), ITEM, LEVEL),
    st.tuples(st.just("push front"), ITEM, LEVEL),
    st.tuples(st.just("move"), ITEM, LEVEL),
    st.tuples(st.just("remove"), ITEM, LEVEL),
    st.tuples(st.just("pop"), ITEM, LEVEL),
)


def test_the_highest_level_goes_first_and_its_eldest_before_its_youngest() -> None:
    """A small photo would wait behind the videos that came before it."""
    queue: ReadyQueue[str] = ReadyQueue()
    for item, level in [("video", 90), ("photo 1", 150), ("document", 100), ("photo 2", 150)]:
        queue.push(item, level)
    assert list(queue) == ["photo 1", "photo 2", "document", "video"]
    assert [queue.pop() for _ in range(5)] == ["photo 1", "photo 2", "document", "video", None]


def test_what_is_put_back_in_front_goes_before_its_level() -> None:
    """A job whose turn had come would lose it to all that came meanwhile."""
    queue: ReadyQueue[str] = ReadyQueue()
    queue.push("a", 7)
    queue.push("b", 7)
    queue.push("back again", 7, front=True)
    assert list(queue) == ["back again", "a", "b"]
    assert queue.peek() == ("back again", 7)


def test_the_lowest_and_the_highest_level_are_levels() -> None:
    """A job with priority 0 or 255 would never run, or crash the daemon."""
    queue: ReadyQueue[str] = ReadyQueue()
    queue.push("low", 0)
    queue.push("high", 255)
    assert [queue.pop(), queue.pop()] == ["high", "low"]
    queue.check()


def test_moving_to_its_own_level_keeps_its_turn() -> None:
    """A job that is looked at again would lose its place to the others of its level."""
    queue: ReadyQueue[str] = ReadyQueue()
    queue.push("a", 5)
    queue.push("b", 5)
    queue.move("a", 5)
    assert list(queue) == ["a", "b"]
    queue.move("a", 4)
    assert list(queue) == ["b", "a"]


def test_nothing_is_in_the_queue_twice() -> None:
    """A job queued twice would be uploaded twice."""
    queue: ReadyQueue[str] = ReadyQueue()
    queue.push("a", 5)
    with pytest.raises(AssertionError, match="is queued already"):
        queue.push("a", 9)
    assert list(queue) == ["a"]


def test_it_shows_what_it_holds() -> None:
    """Whoever debugs it would see an address."""
    queue: ReadyQueue[str] = ReadyQueue()
    queue.push("a", 5)
    queue.push("b", 9)
    assert repr(queue) == "<ReadyQueue 2: {9: 1, 5: 1}>"


@given(st.lists(STEP, max_size=60))
def test_it_behaves_like_a_sorted_list(steps: list[tuple[str, int, int]]) -> None:
    """Order, membership or the bitmap would go wrong after some sequence of operations."""
    queue: ReadyQueue[int] = ReadyQueue()
    model: list[tuple[int, int]] = []  # (item, level), in the order of pop

    def insert(item: int, level: int, *, front: bool) -> None:
        at = sum(other > level or (other == level and not front) for _, other in model)
        model.insert(at, (item, level))

    for verb, item, level in steps:
        known = dict(model)
        if verb.startswith("push") and item not in known:
            queue.push(item, level, front=verb == "push front")
            insert(item, level, front=verb == "push front")
        elif verb == "move" and item in known:
            queue.move(item, level)
            if known[item] != level:
                model.remove((item, known[item]))
                insert(item, level, front=False)
        elif verb == "remove":
            assert queue.remove(item) == (item in known)
            model = [pair for pair in model if pair[0] != item]
        elif verb == "pop":
            assert queue.pop() == (model.pop(0)[0] if model else None)
        queue.check()
        assert queue.peek() == (model[0] if model else None)
        assert list(queue) == [each for each, _ in model]
        assert len(queue) == len(model)
        assert all((each in queue) == (each in dict(model)) for each in range(13))
