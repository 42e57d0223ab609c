"""The object store as a world: objects, their pasts, and how it fails.

A content is a name such as `c17` with a size; an ETag names one writing of it. An object keeps when
it held what, because "which content may this job become ready with" is a question about the past.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from random import Random

from prewarmd.core.extents import PAGE
from prewarmd.core.verbs import Fetch, Relay
from tests.simulation.swarm import PAGES, Swarm

HEAD_FAULTS = (
    "StoreUnreachable", "StoreError", "StoreTimeout", "BadCredentials", "NoSuchBucket",
)  # fmt: skip
"""Answered instead of a head."""
BODY_FAULTS = ("StoreError", "StoreTimeout", "ShortBody", "ObjectChanged", "Bug")
"""Met when part of the body is in memory."""
OUTAGES = ("StoreUnreachable", "StoreUnreachable", "StoreError", "StoreTimeout", "BadCredentials")
PAGE_KEYS = 7
"""Keys on a page of a listing: fewer than S3 gives, so that there are many pages."""
FOLDER_KEYS_MAX = 25
LATELY = 50
"""What is overwritten is one of the last so many objects."""


class Object:
    """What lies under one key now, and what did before."""

    __slots__ = ("bucket", "content", "etag", "key", "past", "size_bytes")

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket = bucket
        self.key = key
        self.content = self.etag = ""
        self.size_bytes = 0
        self.past: list[tuple[float, str]] = []
        """(until, content), rising."""


class Bucket:
    """All buckets."""

    def __init__(self, swarm: Swarm, like: Callable[[str], None], dice: Random) -> None:
        self.swarm = swarm
        self.names = [f"m{number}" for number in range(swarm.buckets)]
        self.objects: dict[tuple[str, str], Object] = {}
        self.order: list[Object] = []
        """In order of creation."""
        self.sizes: dict[str, int] = {}
        """Of contents."""
        self.poison: dict[str, bool] = {}
        """Contents that kill who touches them."""
        self.etags: dict[str, str] = {}
        """The content that each ETag ever named."""
        self.outages: dict[str, str] = {}
        """bucket -> the code it answers with; only while it is out."""
        self.told: set[tuple[str, str, str]] = set()
        """(bucket, key, code): refusals for good that children were given."""
        self._like = like
        self._outages_met = dict.fromkeys(self.names, 0)
        self._charges: dict[tuple[str, str], int] = {}
        self._dice = dice
        self._keys: dict[str, list[str]] = {name: [] for name in self.names}
        self._folders = 0

    def head_fault(self, verb: Fetch | Relay, found: Object | None, dice: Random) -> str:
        """Why a GET gets no body; mostly ""."""
        if self.outages and verb.bucket in self.outages:
            return self.outages[verb.bucket]
        if dice.random() < self.swarm.fetch_faults:
            self.charge(verb.bucket, verb.key)
            return dice.choice(HEAD_FAULTS)
        code = "NoSuchKey" if found is None else "" if found.size_bytes else "EmptyObject"
        if code:
            self.told.add((verb.bucket, verb.key, code))
        return code

    # -- objects ---------------------------------------------------------------------------------

    def content(self) -> str:
        """A new content, or (a twin) one that is there already."""
        dice, swarm = self._dice, self.swarm
        if self.sizes and dice.random() < swarm.twins:
            twin = self.order[int(dice.random() * len(self.order))].content
            if twin:
                return twin
        name = f"c{len(self.sizes)}"
        pages = PAGES[int(dice.random() * len(PAGES))]
        self.sizes[name] = pages * PAGE - int(dice.random() * 999)
        if swarm.poison and dice.random() < swarm.poison:
            self.poison[name] = True
        self._like(name)
        return name

    def write(self, bucket: str, key: str, content: str, now: float) -> Object:
        """Put an object, or another one in its place; content "" is an empty object."""
        found = self.objects.get((bucket, key))
        if found is None:
            found = self.objects[bucket, key] = Object(bucket, key)
            self.order.append(found)
            insort(self._keys[bucket], key)
        else:
            found.past.append((now, found.content))
        found.content, found.size_bytes = content, self.sizes.get(content, 0)
        found.etag = f"e{len(self.etags)}"
        self.etags[found.etag] = content
        return found

    def create(self, now: float) -> Object:
        """A new object under a new key."""
        bucket = self.names[int(self._dice.random() * len(self.names))]
        return self.write(bucket, f"k/{len(self.objects)}.jpg", self.content(), now)

    def create_folder(self, now: float) -> tuple[str, str]:
        """Some new objects under a common prefix: its bucket, and the prefix."""
        self._folders += 1
        bucket = self.names[int(self._dice.random() * len(self.names))]
        for number in range(1 + int(self._dice.random() * FOLDER_KEYS_MAX)):
            self.write(bucket, f"p{self._folders}/{number:02}.mp4", self.content(), now)
        return bucket, f"p{self._folders}/"

    def overwrite(self, now: float) -> None:
        """Another content under a key that was used lately."""
        if self.order:
            back = int(self._dice.random() * min(LATELY, len(self.order)))
            old = self.order[-1 - back]
            self.write(old.bucket, old.key, self.content(), now)

    def held(self, bucket: str, key: str, content: str, since: float) -> bool:
        """Whether an object held a content at some time from `since` on."""
        found = self.objects.get((bucket, key))
        if found is None:
            return False
        if found.content == content:
            return True
        return any(until >= since and was == content for until, was in found.past)

    # -- listings --------------------------------------------------------------------------------

    def page(self, bucket: str, prefix: str, after: str) -> tuple[list[tuple[str, int, str]], str]:
        """One page of a listing, as (key, size, ETag), and where the next one begins; "" at the
        end."""
        keys = self._keys[bucket]
        first = bisect_right(keys, max(after, prefix))
        page: list[tuple[str, int, str]] = []
        for key in keys[first : first + PAGE_KEYS + 1]:
            if not key.startswith(prefix):
                return page, ""
            if len(page) == PAGE_KEYS:
                return page, page[-1][0]
            found = self.objects[bucket, key]
            page.append((key, found.size_bytes, found.etag))
        return page, ""

    def count(self, bucket: str, prefix: str) -> int:
        """How many keys begin so."""
        keys = self._keys[bucket]
        return bisect_right(keys, prefix + "\x7f") - bisect_right(keys, prefix)

    # -- faults ----------------------------------------------------------------------------------

    def go_out(self, bucket: str, code: str) -> None:
        """From now on it answers everything with `code`; `outages` says until when."""
        self.outages[bucket] = code
        self._outages_met[bucket] += 1

    def serve_late(self, bucket: str) -> None:
        """What was on its way when an outage began is served in it, which makes those look guilty
        that fail now and before."""
        self._outages_met[bucket] += 1

    def charge(self, bucket: str, key: str) -> None:
        """A fault that may be charged to whoever waits for that object."""
        self._charges[bucket, key] = self._charges.get((bucket, key), 0) + 1

    def charges(self, bucket: str, key: str) -> int:
        """How many such faults there were; an outage counts as one, too."""
        return self._charges.get((bucket, key), 0) + self._outages_met.get(bucket, 0)
