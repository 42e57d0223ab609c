"""The index of the shared cache: what is in use stays, the rest goes in order of last use."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prewarmd.core.cache import CacheIndex, Entry
from prewarmd.core.extents import PAGE, Extent

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
    cache.forget_key("media", "k")
    cache.forget_key("media", "k")
    assert cache.believed("media", "k", 10.0) is None


def test_it_shows_what_it_holds() -> None:
    """Whoever debugs it would see an address."""
    cache = index()
    put(cache, "a", 0.0)
    assert repr(cache) == f"<CacheIndex 1 items, {PAGE} bytes, 1 idle, 0 hits, 0 misses>"


class AnyUse(RuleBasedStateMachine):
    """Downloads, users and time in any order, against a list in order of last use."""

    names = st.sampled_from("abcdefgh")

    def __init__(self) -> None:
        super().__init__()
        self.cache = index(pages=10, items_max=4)
        self.now = 0.0
        self.users: list[str] = []
        self.idle: list[tuple[str, float]] = []
        self.reserved: list[tuple[Extent, int]] = []

    def _check_evictions(self) -> None:
        """Whatever is gone was idle, and all that is still idle was used later."""
        gone = [name for name, _ in self.idle if not self.cache.holds(name)]
        assert gone == [name for name, _ in self.idle[: len(gone)]]
        self.idle = self.idle[len(gone) :]

    @rule(size_bytes=st.integers(1, 5 * PAGE))
    def reserve(self, size_bytes: int) -> None:
        extent = self.cache.reserve(size_bytes)
        self._check_evictions()
        if extent is not None:
            self.reserved.append((extent, size_bytes))
        else:
            assert not self.idle, "refused although something could go"

    @precondition(lambda self: self.reserved)
    @rule(name=names)
    def land(self, name: str) -> None:
        """A download is verified, and its job uses it at once."""
        extent, size_bytes = self.reserved.pop()
        self.cache.admit(name, extent, size_bytes, self.now)
        self._check_evictions()
        self.pin(name)
        assert name in self.users

    @precondition(lambda self: self.reserved)
    @rule()
    def fail(self) -> None:
        self.cache.give_back(self.reserved.pop()[0])

    @rule(name=names)
    def pin(self, name: str) -> None:
        entry = self.cache.pin(name)
        if entry is not None:
            assert entry.sha256 == name
            self.users.append(name)
            self.idle = [(other, used) for other, used in self.idle if other != name]

    @precondition(lambda self: self.users)
    @rule(which=st.integers(0, 99))
    def unpin(self, which: int) -> None:
        name = self.users.pop(which % len(self.users))
        self.cache.unpin(name, self.now)
        if name not in self.users:
            self.idle.append((name, self.now))
        self._check_evictions()
        assert self.cache.items <= 4 or not self.idle or name in self.users

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.cache.expire(self.now)
        self._check_evictions()
        assert all(self.now < used + TTL_S for _, used in self.idle)

    @invariant()
    def what_is_used_is_here(self) -> None:
        self.cache.check()
        assert all(self.cache.holds(name) for name in self.users)
        assert self.cache.items == len(set(self.users)) + len(self.idle)

    @invariant()
    def bytes_add_up(self) -> None:
        reserved = sum(extent.size_bytes for extent, _ in self.reserved)
        entries = {name: self.cache.pin(name) for name in {*self.users}}
        for name in entries:
            self.cache.unpin(name, self.now)
        pinned = sum(entry.extent.size_bytes for entry in entries.values() if entry)
        assert reserved + pinned <= self.cache.used_bytes <= self.cache.extents.size_bytes
        if not self.idle:
            assert self.cache.used_bytes == reserved + pinned


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
