"""The arena's free ranges: nothing overlaps, nothing is lost, neighbours merge."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prewarmd.core.extents import PAGE, Extent, Extents, page_round

PAGES = 32


@pytest.mark.parametrize(
    ("size_bytes", "rounded"),
    [(0, PAGE), (1, PAGE), (PAGE, PAGE), (PAGE + 1, 2 * PAGE), (10 * PAGE, 10 * PAGE)],
)
def test_memory_comes_in_whole_pages(size_bytes: int, rounded: int) -> None:
    """Two media would share a page, and returning one would zero the other."""
    assert page_round(size_bytes) == rounded


def test_the_tightest_place_is_taken() -> None:
    """Small photos would break up the place that a video needs."""
    extents = Extents(PAGES * PAGE)
    taken = [extents.allocate(size * PAGE) for size in (4, 1, 2, 1, PAGES - 8)]
    assert all(taken)
    for index in (0, 2):
        extent = taken[index]
        assert extent is not None
        extents.free(extent)
    assert extents.allocate(2 * PAGE) == Extent(5 * PAGE, 2 * PAGE)
    assert extents.ranges() == [Extent(0, 4 * PAGE)]


def test_the_whole_arena_may_be_one_extent() -> None:
    """A video as large as the cache would wait for ever."""
    extents = Extents(PAGES * PAGE)
    whole = extents.allocate(PAGES * PAGE)
    assert whole == Extent(0, PAGES * PAGE)
    assert extents.allocate(1) is None
    extents.free(whole)
    assert extents.ranges() == [whole]


def test_a_full_arena_says_so_and_changes_nothing() -> None:
    """A refused allocation would leak."""
    extents = Extents(4 * PAGE)
    assert extents.allocate(5 * PAGE) is None
    assert extents.free_bytes == 4 * PAGE
    extents.check()


def test_an_arena_of_nothing_holds_nothing() -> None:
    """A cache switched off would crash the daemon at its start."""
    extents = Extents(0)
    assert extents.allocate(1) is None
    assert extents.ranges() == []


def test_freeing_twice_is_refused() -> None:
    """Two downloads would be written into the same memory."""
    extents = Extents(4 * PAGE)
    first, second = extents.allocate(PAGE), extents.allocate(PAGE)
    assert first is not None
    assert second is not None
    extents.free(first)
    with pytest.raises(AssertionError, match="is free already"):
        extents.free(first)


def test_freeing_twice_is_refused_although_neighbours_merged() -> None:
    """The same, and nothing of it would be left in the free ranges to show it."""
    extents = Extents(4 * PAGE)
    taken = [extents.allocate(PAGE) for _ in range(3)]
    for extent in taken:
        assert extent is not None
        extents.free(extent)
    assert taken[1] is not None
    with pytest.raises(AssertionError, match="is free already"):
        extents.free(taken[1])
    extents.check()


def test_only_what_was_taken_is_freed() -> None:
    """Half of an object's memory would go to another while it is still being sent."""
    extents = Extents(4 * PAGE)
    taken = extents.allocate(2 * PAGE)
    assert taken is not None
    assert extents.has_taken(taken)
    part = Extent(taken.offset, PAGE)
    assert not extents.has_taken(part)
    with pytest.raises(AssertionError, match="is free already"):
        extents.free(part)


def test_what_is_free_beside_an_extent_is_known() -> None:
    """Eviction would clear more neighbours than a video needs."""
    extents = Extents(8 * PAGE)
    taken = [extents.allocate(size * PAGE) for size in (1, 2, 3)]
    assert None not in taken
    first, second, third = (extent for extent in taken if extent is not None)
    assert (extents.free_before(first.offset), extents.free_behind(third.end)) == (0, 2 * PAGE)
    extents.free(second)
    assert extents.free_behind(first.end) == extents.free_before(third.offset) == 2 * PAGE
    assert extents.longest_bytes == 2 * PAGE
    extents.free(third)
    assert extents.longest_bytes == 7 * PAGE


class AnyOrder(RuleBasedStateMachine):
    """Allocating and freeing in any order, against a list of pages: media would overwrite each
    other, or the arena shrink until a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.extents = Extents(PAGES * PAGE)
        self.held: list[Extent] = []

    def _free(self) -> list[Extent]:
        """The runs of pages that nobody holds."""
        pages = [True] * PAGES + [False]
        for extent in self.held:
            for page in range(extent.offset // PAGE, extent.end // PAGE):
                assert pages[page], "two hold one page"
                pages[page] = False
        runs, begin = [], 0
        for page, is_free in enumerate(pages):
            if not is_free:
                if page > begin:
                    runs.append(Extent(begin * PAGE, (page - begin) * PAGE))
                begin = page + 1
        return runs

    @rule(size_bytes=st.integers(0, 12 * PAGE))
    def allocate(self, size_bytes: int) -> None:
        wanted = page_round(size_bytes)
        fitting = [run for run in self._free() if run.size_bytes >= wanted]
        extent = self.extents.allocate(size_bytes)
        if extent is None:
            assert not fitting
            return
        assert extent.size_bytes == wanted
        tightest = min(run.size_bytes for run in fitting)
        assert extent.offset in {run.offset for run in fitting if run.size_bytes == tightest}
        self.held.append(extent)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 1000))
    def free(self, which: int) -> None:
        extent = self.held.pop(which % len(self.held))
        self.extents.free(extent)
        with pytest.raises(AssertionError, match="is free already"):
            self.extents.free(extent)

    @invariant()
    def what_nobody_holds_is_free(self) -> None:
        self.extents.check()
        free = self._free()
        assert self.extents.ranges() == free
        assert self.extents.free_bytes == sum(run.size_bytes for run in free)
        assert self.extents.longest_bytes == max((run.size_bytes for run in free), default=0)
        assert all(self.extents.has_taken(extent) for extent in self.held)

    def teardown(self) -> None:
        for extent in self.held:
            self.extents.free(extent)
        assert self.extents.ranges() == [Extent(0, PAGES * PAGE)]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
