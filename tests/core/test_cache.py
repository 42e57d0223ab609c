"""The index of the shared cache: what is in use stays, the rest makes room, and no more than it
must."""

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prewarmd.core.cache import IN_ORDER, CacheIndex, Entry
from prewarmd.core.extents import PAGE, Extent, page_round

TTL_S = 300.0


def index(pages: int = 8, items_max: int = 100) -> CacheIndex:
    return CacheIndex(pages * PAGE, items_max, TTL_S)


def put(cache: CacheIndex, sha256: str, now: float, pages: int = 1) -> Entry:
    """A download that nobody waits for: content, idle since `now`."""
    extent = cache.reserve(pages * PAGE)
    assert extent is not None
    cache.admit(sha256, extent, pages * PAGE, now)
    entry = cache.pin(sha256)
    assert entry is not None
    cache.unpin(sha256, now)
    return entry


def held(cache: CacheIndex, names: str) -> str:
    return "".join(name for name in names if cache.holds(name))


def _offset(cache: CacheIndex, name: str) -> int:
    entry = cache.find(name)
    assert entry is not None
    return entry.extent.offset


def test_the_least_recently_used_goes_first() -> None:
    """The picture that every bot wants would be downloaded again and again."""
    cache = index(pages=3)
    for at, name in enumerate("abc"):
        put(cache, name, float(at))
    cache.pin("a")
    cache.unpin("a", 5.0)
    put(cache, "d", 6.0)
    assert held(cache, "abcd") == "acd"
    assert cache.evictions == 1


def test_as_many_go_as_a_large_object_takes() -> None:
    """A video would wait although nobody uses what is in its way."""
    cache = index(pages=4)
    for at, name in enumerate("abcd"):
        put(cache, name, float(at))
    put(cache, "v", 5.0, pages=3)
    assert held(cache, "abcdv") == "dv"


def test_what_was_asked_for_again_outlives_a_backfill() -> None:
    """A walk over the bucket would flush what every bot wants."""
    cache = index(pages=4)
    put(cache, "a", 0.0)
    cache.pin("a")
    cache.unpin("a", 1.0)
    for at, name in enumerate("bcdefghijklm"):
        put(cache, name, 2.0 + at)
    assert held(cache, "abcdefghijklm") == "aklm"


def test_what_is_in_use_never_goes() -> None:
    """An upload would send another object's bytes."""
    cache = index(pages=2)
    first = put(cache, "a", 0.0)
    put(cache, "b", 0.0)
    assert cache.pin("a") is first
    assert cache.pin("b")
    assert cache.reserve(1) is None
    assert cache.expire(1e9) == 0
    cache.unpin("b", 1.0)
    assert cache.reserve(1) is not None
    assert held(cache, "ab") == "a"


def test_what_pins_make_impossible_evicts_nothing() -> None:
    """A video that cannot come in yet would empty the cache at every try."""
    cache = index(pages=4)
    for at, name in enumerate("abcd"):
        put(cache, name, float(at))
    cache.pin("a")
    cache.pin("d")
    assert cache.reserve(3 * PAGE) is None
    assert held(cache, "abcd") == "abcd"
    assert cache.reserve(2 * PAGE) is not None
    assert held(cache, "abcd") == "ad"


def test_room_in_pieces_is_no_room_and_evicts_nothing() -> None:
    """The same, when enough is idle but what is in use lies between: the bytes would go in vain."""
    cache = index(pages=8)
    for at, name in enumerate("abcdefgh"):
        put(cache, name, float(at))
    middle = [name for name in "abcdefgh" if _offset(cache, name) in (2 * PAGE, 5 * PAGE)]
    for name in middle:
        cache.pin(name)
    assert cache.reserve(3 * PAGE) is None
    assert held(cache, "abcdefgh") == "abcdefgh"
    cache.unpin(middle[0], 9.0)
    assert cache.reserve(3 * PAGE) is not None
    cache.check()


def test_free_memory_on_both_sides_counts() -> None:
    """A photo would wait although it fits into what one idle entry and its neighbours leave."""
    cache = index(pages=3)
    for at, name in enumerate("abc"):
        put(cache, name, float(at))
    low, middle, high = sorted("abc", key=lambda name: _offset(cache, name))
    cache.pin(middle)
    cache.pin(high)
    assert cache.expire(TTL_S + 9.0) == 1
    assert not cache.holds(low)
    cache.unpin(middle, 9.0)
    assert cache.reserve(2 * PAGE) is not None
    assert cache.holds(high)
    cache.check()


def test_a_run_is_found_wherever_it_begins() -> None:
    """A video would wait for ever, because what should go first lies too high in its place."""
    cache = index(pages=4)
    for at, name in enumerate("abcd"):
        put(cache, name, float(at))
    first, second, third, last = sorted("abcd", key=lambda name: _offset(cache, name))
    cache.pin(last)
    for at, name in enumerate((second, third, first)):
        cache.pin(name)
        cache.unpin(name, 10.0 + at)
    assert cache.reserve(3 * PAGE) is not None
    assert cache.holds(last)
    cache.check()


def test_neighbours_nobody_asked_for_again_make_room_first() -> None:
    """A large object would cost pictures that every bot wants, though others lie in one piece."""
    cache = index(pages=10)
    for at, name in enumerate("abcdefghij"):
        put(cache, name, float(at))
    by_place = sorted("abcdefghij", key=lambda name: _offset(cache, name))
    again = "".join(sorted(by_place[place] for place in (0, 2, 4, 6, 9)))
    for name in again:
        cache.pin(name)
        cache.unpin(name, 20.0)
    assert cache.reserve(2 * PAGE) is not None  # places 7 and 8
    assert held(cache, "abcdefghij") == again


def test_a_large_object_takes_neighbours_instead_of_the_whole_cache() -> None:
    """Photos of all ages lie side by side: going by age alone, one video would evict nearly all."""
    cache = index(pages=64)
    names = [f"{number:02}" for number in range(64)]
    for number, name in enumerate(names):
        put(cache, name, float(number))
    for number in range(64):  # an order that jumps about
        cache.pin(names[number * 27 % 64])
        cache.unpin(names[number * 27 % 64], 100.0 + number)
    assert cache.reserve(8 * PAGE) is not None
    assert cache.items >= 64 - (IN_ORDER + 1) * 8
    cache.check()


def test_memory_in_use_and_promised_is_counted() -> None:
    """Whoever looks at the cache could not tell memory that uploads hold from what may go."""
    cache = index(pages=8)
    put(cache, "a", 0.0, pages=2)
    assert (cache.pinned_bytes, cache.reserved_bytes, cache.used_bytes) == (0, 0, 2 * PAGE)
    cache.pin("a")
    cache.pin("a")
    extent = cache.reserve(3 * PAGE - 1)
    assert extent is not None
    assert (cache.pinned_bytes, cache.reserved_bytes) == (2 * PAGE, 3 * PAGE)
    cache.admit("b", extent, 3 * PAGE - 1, 1.0)
    cache.unpin("a", 2.0)
    assert (cache.pinned_bytes, cache.reserved_bytes) == (2 * PAGE, 0)
    cache.unpin("a", 2.0)
    assert (cache.pinned_bytes, cache.used_bytes) == (0, 5 * PAGE)


def test_looking_is_not_using() -> None:
    """A status page or a check would keep content in memory, or pin it for ever."""
    cache = index(pages=2)
    put(cache, "a", 0.0)
    put(cache, "b", 1.0)
    entry = cache.find("a")
    assert entry is not None
    assert (entry.sha256, entry.pins) == ("a", 0)
    assert cache.find("c") is None
    put(cache, "c", 2.0)
    assert held(cache, "abc") == "bc"


def test_two_users_are_two_users() -> None:
    """The first bot's upload to end would take the bytes from the second's."""
    cache = index(pages=1)
    put(cache, "a", 0.0)
    cache.pin("a")
    cache.pin("a")
    cache.unpin("a", 1.0)
    assert cache.reserve(1) is None
    cache.unpin("a", 2.0)
    assert cache.reserve(1) is not None


def test_one_user_cannot_leave_twice() -> None:
    """A bug in counting would show up as a corrupt upload, much later."""
    cache = index()
    put(cache, "a", 0.0)
    with pytest.raises(AssertionError, match="a is not pinned"):
        cache.unpin("a", 1.0)


def test_idle_content_expires_after_its_ttl() -> None:
    """Memory would stay taken by what nobody asked for since last week."""
    cache = index()
    assert cache.expires_at() is None
    put(cache, "a", 0.0)
    put(cache, "b", 10.0)
    assert cache.expires_at() == TTL_S
    assert cache.expire(TTL_S - 0.001) == 0
    assert cache.expire(TTL_S) == 1
    assert held(cache, "ab") == "b"
    assert cache.expires_at() == TTL_S + 10
    assert cache.used_bytes == PAGE


def test_no_more_items_than_allowed() -> None:
    """A million thumbnails would grow the index without end."""
    cache = index(pages=8, items_max=2)
    for at, name in enumerate("abcd"):
        put(cache, name, float(at))
    assert held(cache, "abcd") == "cd"
    assert cache.items == 2


def test_a_new_item_takes_the_place_of_an_idle_one() -> None:
    """While uploads are slow, the bound on items would be passed by all that is in use."""
    cache = index(pages=8, items_max=2)
    put(cache, "a", 0.0)
    put(cache, "b", 1.0)
    extent = cache.reserve(PAGE)
    assert extent is not None
    cache.admit("c", extent, PAGE, 2.0)
    assert cache.pin("c")
    assert held(cache, "abc") == "bc"


def test_what_was_too_many_goes_once_it_may() -> None:
    """All being in use at once, the bound on items would stay passed for good."""
    cache = index(pages=8, items_max=2)
    for name in "abc":
        extent = cache.reserve(PAGE)
        assert extent is not None
        cache.admit(name, extent, PAGE, 0.0)
        cache.pin(name)
    assert held(cache, "abc") == "abc"
    cache.unpin("b", 1.0)
    assert held(cache, "abc") == "ac"
    cache.check()


def test_a_second_copy_gives_its_memory_back() -> None:
    """The same picture under two keys would lie in memory twice."""
    cache = index(pages=2)
    entry = put(cache, "a", 0.0)
    second = cache.reserve(PAGE)
    assert second is not None
    assert cache.admit("a", second, PAGE, 1.0) is entry
    assert cache.used_bytes == PAGE
    cache.check()


def test_a_download_that_failed_gives_its_memory_back() -> None:
    """Each failed GET would shrink the cache."""
    cache = index(pages=1)
    extent = cache.reserve(1)
    assert extent is not None
    cache.give_back(extent)
    assert cache.used_bytes == 0
    assert cache.reserve(PAGE) == extent


def test_a_key_is_believed_for_its_ttl() -> None:
    """An overwritten object would be taken for the old one, or asked about at every job."""
    cache = index()
    assert cache.believed("media", "k", 0.0) is None
    cache.see("media", "k", '"e1"', "a", 0.0)
    assert cache.believed("media", "k", TTL_S - 0.001) == "a"
    assert cache.believed("media", "k", TTL_S) is None
    assert cache.believed("other", "k", 0.0) is None
    alias = cache.alias("media", "k")
    assert alias is not None
    assert (alias.etag, alias.sha256) == ('"e1"', "a")


def test_the_store_has_the_last_word_on_a_key() -> None:
    """The old content would be uploaded although the store told of the new one."""
    cache = index()
    cache.see("media", "k", '"e1"', "a", 0.0)
    cache.see("media", "k", '"e2"', "b", 10.0)
    assert cache.believed("media", "k", TTL_S + 5) == "b"
    assert not cache.see("media", "k", '"e1"', "a", 5.0), "an answer that was overtaken"
    assert cache.believed("media", "k", TTL_S + 5) == "b"
    cache.forget_key("media", "k")
    cache.forget_key("media", "k")
    assert cache.believed("media", "k", 10.0) is None


def test_it_shows_what_it_holds() -> None:
    """Whoever debugs it would see an address."""
    cache = index()
    put(cache, "a", 0.0)
    assert repr(cache) == f"<CacheIndex 1 items, {PAGE} bytes, 1 idle, 0 hits, 0 misses>"


class AnyUse(RuleBasedStateMachine):
    """Downloads, users and time in any order; whatever goes was idle, and had to go."""

    names = st.sampled_from("abcdefghij")
    ITEMS = 6

    def __init__(self) -> None:
        super().__init__()
        self.cache = index(pages=10, items_max=self.ITEMS)
        self.now = 0.0
        self.users: list[str] = []
        self.idle: dict[str, tuple[float, Extent]] = {}
        self.reserved: list[tuple[Extent, int]] = []

    def _gone(self) -> list[Extent]:
        """What is not here any more; it was idle."""
        names = [name for name in self.idle if not self.cache.holds(name)]
        return [self.idle.pop(name)[1] for name in names]

    def _longest_run(self) -> int:
        """Bytes between what is in use, whoever else lies there."""
        fixed = [extent for extent, _ in self.reserved]
        fixed += [entry.extent for name in {*self.users} if (entry := self.cache.find(name))]
        borders = sorted([*fixed, Extent(self.cache.extents.size_bytes, 0)])
        begins = [0, *(extent.end for extent in borders)]
        return max(extent.offset - begin for begin, extent in zip(begins, borders, strict=False))

    @rule(size_bytes=st.integers(1, PAGE) | st.integers(1, 5 * PAGE))
    def reserve(self, size_bytes: int) -> None:
        wanted = page_round(size_bytes)
        longest, had_room = self._longest_run(), self.cache.extents.longest_bytes >= wanted
        extent = self.cache.reserve(size_bytes)
        gone = self._gone()
        note(f"of {longest} bytes: {extent}, evicted {gone}")
        assert (extent is not None) == (wanted <= longest)
        if extent is None or had_room:
            assert not gone, "evicted in vain"
        else:
            in_order_and_run = (IN_ORDER + 1) * wanted + 2 * 4 * PAGE  # the last of each: too long
            assert sum(one.size_bytes for one in gone) <= in_order_and_run
        if extent is not None:
            self.reserved.append((extent, size_bytes))

    @precondition(lambda self: self.reserved)
    @rule(name=names)
    def land(self, name: str) -> None:
        """A download is verified, and its job uses it at once."""
        extent, size_bytes = self.reserved.pop()
        entry = self.cache.admit(name, extent, size_bytes, self.now)
        if name not in self.users:
            self.idle[name] = (self.now, entry.extent)
        self._gone()
        self.pin(name)
        assert name in self.users

    @precondition(lambda self: self.reserved)
    @rule()
    def fail(self) -> None:
        self.cache.give_back(self.reserved.pop()[0])

    @rule(name=names)
    def pin(self, name: str) -> None:
        entry = self.cache.pin(name)
        assert (entry is not None) == (name in self.users or name in self.idle)
        if entry is not None:
            assert entry.sha256 == name
            self.users.append(name)
            self.idle.pop(name, None)

    @precondition(lambda self: self.users)
    @rule(which=st.integers(0, 99))
    def unpin(self, which: int) -> None:
        name = self.users.pop(which % len(self.users))
        entry = self.cache.find(name)
        assert entry is not None
        self.cache.unpin(name, self.now)
        if name not in self.users:
            self.idle[name] = (self.now, entry.extent)
        assert len(self._gone()) <= 1

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        count = self.cache.expire(self.now)
        assert count == len(self._gone())
        assert all(self.now < used + TTL_S for used, _ in self.idle.values())

    @invariant()
    def what_is_used_is_here(self) -> None:
        self.cache.check()
        assert all(self.cache.holds(name) for name in self.users)
        assert self.cache.items == len(set(self.users)) + len(self.idle)
        assert self.cache.items <= self.ITEMS or not self.idle
        oldest = min((used for used, _ in self.idle.values()), default=None)
        assert self.cache.expires_at() == (None if oldest is None else oldest + TTL_S)

    @invariant()
    def bytes_add_up(self) -> None:
        entries = [entry for name in {*self.users} if (entry := self.cache.find(name))]
        assert self.cache.reserved_bytes == sum(extent.size_bytes for extent, _ in self.reserved)
        assert self.cache.pinned_bytes == sum(entry.extent.size_bytes for entry in entries)
        idle_bytes = sum(extent.size_bytes for _, extent in self.idle.values())
        counted = self.cache.reserved_bytes + self.cache.pinned_bytes + idle_bytes
        assert self.cache.used_bytes == counted


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
