"""The arena's free list: nothing overlaps, nothing is lost, neighbours merge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.extents import PAGE, Extent, Extents, page_round

PAGES = 32
STEP = st.one_of(
    st.tuples(st.just("allocate"), st.integers(0, 12 * PAGE)),
    st.tuples(st.just("free"), st.integers(0, 1000)),
)


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


@given(st.lists(STEP, max_size=120))
def test_any_order_of_allocating_and_freeing(steps: list[tuple[str, int]]) -> None:
    """Media would overwrite each other, or the arena shrink until a restart."""
    extents = Extents(PAGES * PAGE)
    owner: dict[int, Extent] = {}  # page -> who holds it
    held: list[Extent] = []
    for verb, argument in steps:
        if verb == "allocate":
            longest = max((free.size_bytes for free in extents.ranges()), default=0)
            extent = extents.allocate(argument)
            assert (extent is not None) == (page_round(argument) <= longest)
            if extent is not None:
                pages = range(extent.offset // PAGE, extent.end // PAGE)
                assert extent.size_bytes == page_round(argument)
                assert not owner.keys() & set(pages)
                owner |= dict.fromkeys(pages, extent)
                held.append(extent)
        elif held:
            extent = held.pop(argument % len(held))
            extents.free(extent)
            owner = {page: one for page, one in owner.items() if one is not extent}
        extents.check()  # sorted, disjoint, coalesced
        free = {page for f in extents.ranges() for page in range(f.offset // PAGE, f.end // PAGE)}
        assert free == set(range(PAGES)) - owner.keys()
        assert extents.free_bytes == len(free) * PAGE
    for extent in held:
        extents.free(extent)
    assert extents.ranges() == [Extent(0, PAGES * PAGE)]
