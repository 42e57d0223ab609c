"""The parts of one object: where each begins and ends, which are still to be had.

An object is one part until the head of its answer tells that it is large; then that part is its
first, and others take the rest. Parts are taken from the front, so that what is there without a gap
grows quickly. Each is a sink of its own and is taken up where it broke, by Range and If-Match.

A store may not know ranges: what it then sends is not taken, and the object is asked for whole.
"""

import re
from collections import deque

from prewarmd.worker.http.answer import Place
from prewarmd.worker.http.head import Head
from prewarmd.worker.landing import Landing
from prewarmd.worker.refusals import ObjectError

RANGED_BYTES = 16 << 20
"""Objects from this size on come in parts. A store that bounds each connection would bring smaller
ones sooner, too; but their uploads follow them, and the places of a child's pool are few."""
AT_ONCE = 4
"""Parts of one object: a quarter of the time where a store bounds each connection."""
PART_BYTES = 8 << 20
"""At most: what is lost when the slowest comes last, and what a follower may have to wait for."""
_GRAIN_BYTES = 64 << 10
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NOTHING = memoryview(bytearray())


class RangelessError(Exception):
    """The store sent all of it when it was asked for a part."""


class Part:
    """A sink for a stretch of an object; where it ends may be unknown while the size is."""

    def __init__(self, parts: "Parts", start: int, end: int) -> None:
        self.at = start
        """What comes next."""
        self.waits = False
        """The head is in, and memory is wanted, or others are."""
        self._failure: tuple[str, str] | None = None
        """Why nothing of an answer was taken: a code, and a line for a person."""
        self._is_all = False
        """The answer was the whole object, where a part was asked for."""
        self._parts = parts
        self._start, self._end = start, end
        self._base = start
        """Where in the object the present answer begins."""
        self._asked_at = start

    @property
    def is_whole(self) -> bool:
        """Whether every byte is there."""
        return self.at == self._end

    @property
    def view(self) -> memoryview:
        """The memory of what is missing."""
        return self._parts.landing.stretch(self.at, self._end)

    @property
    def brought_bytes(self) -> int:
        """Since it was asked for the last time."""
        return self.at - self._asked_at

    def ask(self) -> dict[str, str]:
        """Headers that ask for what is missing; none while there is nothing to go on from."""
        self._failure = None
        self._is_all = self.waits = False
        if not self._parts.goes_on:
            self.at = self._asked_at = 0
            return {}
        self._asked_at = self.at
        etag = self._parts.landing.etag
        return {"if-match": f'"{etag}"', "range": f"bytes={self.at}-{self._end - 1}"}

    def end_at(self, end: int) -> None:
        """That far and no farther; what lies behind is another's."""
        self._end = end

    def place(self, head: Head) -> memoryview | Place:
        """See Sink."""
        if head.status == 206 and self._parts.goes_on:
            self._failure = self._mistake(head)
            self._base = self.at
            return _NOTHING if self._failure else self.view
        if head.status != 200 or head.length is None:
            return Place.COLLECT
        if self._parts.goes_on:
            self._is_all, self._base = True, self.at
            return _NOTHING
        try:
            self._parts.begin(head.length, _etag(head))
        except ObjectError as error:
            self._failure, self._base = (error.code, error.detail), self.at
            return _NOTHING
        self._base = 0
        self._end = head.length
        self.waits = not self._parts.landing.has_memory or self._parts.are_many(head)
        return Place.WAIT if self.waits else self.view

    def _mistake(self, head: Head) -> tuple[str, str] | None:
        """What is wrong with the part that comes, if anything is."""
        landing = self._parts.landing
        found = _RANGE.fullmatch(head.get(b"content-range"))
        wanted = (self.at, self._end - 1, landing.size_bytes)
        is_it = found is not None and tuple(map(int, found.groups())) == wanted
        if not is_it or head.length != self._end - self.at:
            return "StoreError", "the store sends another range than it was asked for"
        if _etag(head) not in ("", landing.etag):  # it may not know If-Match
            return "ObjectChanged", "the object changed while it came"
        return None

    def check(self) -> None:
        """Raises ObjectError or RangelessError when nothing of an answer was taken."""
        if self._is_all:
            raise RangelessError
        if self._failure is not None:
            raise ObjectError(*self._failure)

    def landed(self, done_bytes: int) -> None:
        """See Sink."""
        before, self.at = self.at, self._base + done_bytes
        if self.at > before:
            self._parts.landing.landed(self._start, before, self.at)


class Parts:
    """Of one object."""

    def __init__(self, landing: Landing, ranged_bytes: int = RANGED_BYTES) -> None:
        self.landing = landing
        self._ranged_bytes = ranged_bytes
        self._takes_ranges = True
        self._left: deque[Part] = deque()
        self.begin_anew()

    def begin_anew(self, *, takes_ranges: bool = True) -> None:
        """Nothing of it is there: it is one part again."""
        self._takes_ranges = takes_ranges
        self._has_begun = False
        self._left.clear()
        self._left.append(Part(self, 0, -1))

    def begin(self, size_bytes: int, etag: str) -> None:
        """It comes, from its first byte on. Raises ObjectError."""
        self.landing.begin(size_bytes, etag)
        self._has_begun = True

    @property
    def goes_on(self) -> bool:
        """Whether the rest can be asked for alone: of something that began, and can be told from
        any other."""
        landing = self.landing
        return self._has_begun and self._takes_ranges and landing.is_pinned and landing.has_memory

    @property
    def left(self) -> int:
        """How many nobody has taken."""
        return len(self._left)

    def take(self) -> Part | None:
        """The first that nobody has taken."""
        return self._left.popleft() if self._left else None

    def give_back(self, part: Part) -> None:
        """Another may finish it: before all others, for it is nearer to the front than they are."""
        self._left.appendleft(part)

    def are_many(self, head: Head) -> bool:
        """Whether the object that a head announces comes in several."""
        knows = self._takes_ranges and head.get(b"accept-ranges").lower() != "none"
        return knows and self.landing.is_pinned and self.landing.size_bytes >= self._ranged_bytes

    def divide(self, first: Part, head: Head) -> None:
        """Its head is in, and its memory is there: `first` has begun, the rest may be taken."""
        if not self.are_many(head):
            return
        size_bytes = self.landing.size_bytes
        rounds = -(-size_bytes // (PART_BYTES * AT_ONCE))
        step = -(-size_bytes // (rounds * AT_ONCE))
        step = -(-step // _GRAIN_BYTES) * _GRAIN_BYTES
        first.end_at(step)
        for start in range(step, size_bytes, step):
            self._left.append(Part(self, start, min(start + step, size_bytes)))


def _etag(head: Head) -> str:
    return head.get(b"etag").strip('"')
