"""The order of eviction: what was wanted once, what was wanted again, and what was missed."""

from collections import OrderedDict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prewarmd.core.eviction import Entry, Idle
from prewarmd.core.extents import PAGE, Extent


def idle(pages: int = 10, items_max: int = 100) -> Idle:
    return Idle(pages * PAGE, items_max)


def come(order: Idle, name: str, now: float, pages: int = 1) -> Entry:
    """A download that one job used."""
    entry = Entry(name, Extent(0, pages * PAGE), pages * PAGE, used=now)
    order.welcome(entry)
    order.rest(entry)
    use(order, entry, now)
    return entry


def use(order: Idle, entry: Entry, now: float) -> None:
    order.take(entry)
    entry.uses += 1
    entry.used = now
    order.rest(entry)


def going(order: Idle) -> str:
    """Evict everything; the names as they go."""
    names = ""
    while (entry := order.first()) is not None:
        order.evict(entry)
        names += entry.sha256
    return names


def test_what_nobody_asked_for_again_goes_first() -> None:
    """One pass of a backfill would cost every bot the pictures it shares with the others."""
    order = idle()
    wanted = come(order, "w", 0.0)
    use(order, wanted, 1.0)
    for number, name in enumerate("abc"):
        come(order, name, 2.0 + number)
    assert going(order) == "abcw"


def test_the_download_itself_is_no_second_use() -> None:
    """Everything would count as popular, and nothing as passing through."""
    order = idle()
    come(order, "a", 0.0)
    come(order, "b", 1.0)
    assert going(order) == "ab"
    assert order.remembers("a")


def test_what_was_dropped_too_early_counts_as_wanted_again() -> None:
    """Media that bots want minutes apart would be downloaded for each of them."""
    order = idle()
    first = come(order, "a", 0.0)
    order.evict(first)
    again = come(order, "a", 1.0)
    assert again.uses == 2
    assert order.once_bytes == PAGE
    come(order, "b", 2.0)
    come(order, "c", 3.0)
    assert going(order) == "bac"  # the once used may keep a page now


def test_what_is_missed_of_the_other_list_takes_the_share_back() -> None:
    """After one broadcast the cache would stay bad at everything else."""
    order = idle()
    once, again = come(order, "a", 0.0), come(order, "b", 0.0)
    use(order, again, 1.0)
    order.evict(once)
    order.evict(again)
    come(order, "a", 2.0)
    assert order.once_bytes == PAGE
    come(order, "b", 3.0)
    assert order.once_bytes == 0.0


def test_a_large_miss_counts_for_its_size() -> None:
    """A thumbnail would move as much of the cache as a video."""
    order = idle()
    for name, pages in (("a", 1), ("v", 4)):
        order.evict(come(order, name, 0.0, pages))
    come(order, "v", 1.0, pages=4)
    assert order.once_bytes == 4 * PAGE


def test_what_grew_too_old_is_not_missed() -> None:
    """Last week's post would be taken for one that was dropped too early."""
    order = idle()
    entry = come(order, "a", 0.0)
    order.take(entry)
    assert not order.remembers("a")
    assert come(order, "a", 500.0).uses == 1


def test_what_has_been_idle_longest_is_found_in_either_list() -> None:
    """One of the lists would never expire."""
    order = idle()
    assert order.oldest() is None
    once = come(order, "a", 0.0)
    assert order.oldest() is once
    again = come(order, "b", 1.0)
    use(order, again, 2.0)
    assert order.oldest() is once
    use(order, once, 3.0)
    use(order, once, 4.0)
    assert order.oldest() is again
    order.take(again)
    assert order.oldest() is once


def test_names_of_what_went_are_bounded() -> None:
    """A month of backfill would fill the supervisor's memory with names."""
    order = idle(pages=10, items_max=6)
    for number in range(50):
        order.evict(come(order, f"{number}", float(number)))
    assert [number for number in range(50) if order.remembers(f"{number}")] == [47, 48, 49]
    order = idle(pages=10)
    for number in range(50):
        order.evict(come(order, f"{number}", float(number), pages=2))
    assert [number for number in range(50) if order.remembers(f"{number}")] == [48, 49]


class AnyOrder(RuleBasedStateMachine):
    """Against the two lists and two lists of ghosts, written down as plainly as it goes."""

    names = st.sampled_from("abcdefghijkl")
    PAGES, ITEMS = 10, 8

    def __init__(self) -> None:
        super().__init__()
        self.order = idle(self.PAGES, self.ITEMS)
        self.now = 0.0
        self.entries: dict[str, Entry] = {}
        self.in_use: list[str] = []
        self.lists: tuple[list[str], list[str]] = ([], [])
        self.ghosts: tuple[OrderedDict[str, int], OrderedDict[str, int]] = (
            OrderedDict(),
            OrderedDict(),
        )
        self.once_bytes = 0.0

    def _first(self) -> str | None:
        once, again = self.lists
        size = sum(self.entries[name].extent.size_bytes for name in once)
        return next(iter(once if size > self.once_bytes or not again else again), None)

    @rule(name=names, pages=st.integers(1, 4))
    def come(self, name: str, pages: int) -> None:
        if name in self.entries:
            return
        entry = Entry(name, Extent(0, pages * PAGE), pages * PAGE, used=self.now)
        expected = 0
        for index, sign in ((0, 1), (1, -1)):
            mine, other = self.ghosts[index], self.ghosts[1 - index]
            if name in mine:
                rarity = max(1.0, sum(other.values()) / sum(mine.values()))
                step = sign * mine.pop(name) * rarity
                self.once_bytes = min(self.PAGES * PAGE, max(0.0, self.once_bytes + step))
                expected = 1
                break
        self.order.welcome(entry)
        self.order.rest(entry)
        assert entry.uses == expected
        self.entries[name] = entry
        self.lists[0].append(name)

    @precondition(lambda self: any(self.lists))
    @rule(which=st.integers(0, 99))
    def take(self, which: int) -> None:
        names = [*self.lists[0], *self.lists[1]]
        name = names[which % len(names)]
        self.order.take(self.entries[name])
        self.entries[name].uses += 1
        for each in self.lists:
            if name in each:
                each.remove(name)
        self.in_use.append(name)

    @precondition(lambda self: self.in_use)
    @rule(which=st.integers(0, 99), seconds=st.floats(0, 10))
    def rest(self, which: int, seconds: float) -> None:
        self.now += seconds
        name = self.in_use.pop(which % len(self.in_use))
        entry = self.entries[name]
        entry.used = self.now
        self.order.rest(entry)
        self.lists[entry.uses > 1].append(name)

    @precondition(lambda self: any(self.lists))
    @rule(in_turn=st.booleans(), which=st.integers(0, 99))
    def evict(self, in_turn: bool, which: int) -> None:
        names = [*self.lists[0], *self.lists[1]]
        name = self._first() if in_turn else names[which % len(names)]
        assert name is not None
        entry = self.entries.pop(name)
        self.order.evict(entry)
        index = int(name in self.lists[1])
        self.lists[index].remove(name)
        ghosts = self.ghosts[index]
        ghosts[name] = entry.extent.size_bytes
        while sum(ghosts.values()) > self.PAGES * PAGE // 2 or len(ghosts) > self.ITEMS // 2:
            ghosts.popitem(last=False)

    @invariant()
    def it_is_as_written_down(self) -> None:
        self.order.check()
        first, name = self.order.first(), self._first()
        assert (first and first.sha256) == name
        assert sorted(entry.sha256 for entry in self.order.in_order()) == sorted(
            [*self.lists[0], *self.lists[1]]
        )
        assert next(self.order.in_order(), None) is first
        assert abs(self.order.once_bytes - self.once_bytes) < 1e-6
        ghosts = {*self.ghosts[0], *self.ghosts[1]}
        assert {name for name in "abcdefghijkl" if self.order.remembers(name)} == ghosts
        oldest = self.order.oldest()
        used = [self.entries[name].used for name in (*self.lists[0], *self.lists[1])]
        assert (oldest.used if oldest else None) == min(used, default=None)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
