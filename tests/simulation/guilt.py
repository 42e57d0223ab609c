"""Guilt: which child died of what, and of whom nobody could know better than that he was to blame.

Counted by job, and in downloads by object, because all who want an object meet the same bytes. What
an object did is told together as long as the engine may remember it: until a GET of it lands, and
for `ttl_s` after the last death. It is the world's own count: the engine's is not looked at.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prewarmd.core import verbs
from tests.simulation import invariants

if TYPE_CHECKING:
    from tests.simulation.children import Child, Work

Place = tuple[str, str]
"""Bucket and key."""
FOREVER = 1 << 62


@dataclass(slots=True)
class Murders:
    """Children that died of one object, one after the other."""

    deaths: int = 0
    at: float = 0.0
    known: int = FOREVER
    """The last task that was told before the engine heard of the last one: until then it could know
    no better than to ask once more."""


@dataclass(slots=True)
class Presence:
    """Children that died with a GET of one object and nothing else in hand, of whatever."""

    crashes: int = 0
    kills: int = 0
    at: float = 0.0


class Guilt:
    """In one life of the engine."""

    def __init__(self, ttl_s: float, slack_s: float) -> None:
        self._ttl_s, self._slack_s = ttl_s, slack_s
        self.begin_anew()

    def begin_anew(self) -> None:
        """An engine that knows of nothing."""
        self.crashed_alone: dict[int, int] = {}
        """job -> children that died with it and nothing else in hand..."""
        self.killed_alone: dict[int, int] = {}
        """...and such that somebody killed."""
        self.killed: dict[int, int] = {}
        """job -> children that died of it."""
        self._murders: dict[Place, Murders] = {}
        self._killers: dict[int, tuple[int, Place | None]] = {}
        """task -> job and object, of those that are counted."""
        self._present: dict[Place, Presence] = {}
        self._seemed: dict[Place, bool] = {}
        """Objects that could be taken for poisonous at some time: a record may be late."""

    def seems(self, job: int, place: Place) -> bool:
        """Whether job or object was there alone, time and again, when a child died: it may be
        innocent, but nobody could know better."""
        crashes, kills = self.crashed_alone.get(job, 0), self.killed_alone.get(job, 0)
        return place in self._seemed or _suffices(crashes, kills)

    def died_of(self, work: "Work", now: float) -> None:
        """A task killed its child."""
        job, task = work.verb.job, work.verb.task
        self.killed[job] = self.killed.get(job, 0) + (not work.is_left)
        invariants.poison_dies_soon(f"job {job}", self.killed[job])
        place = _place_of(work.verb)
        if place is not None:
            murders = self._murders.get(place)
            if murders is None or work.began >= murders.at + self._ttl_s:
                murders = self._murders[place] = Murders()
            if task <= murders.known and murders.deaths:
                place = None  # it was under way by the time that the last one was known
            else:
                murders.deaths += 1
                murders.at, murders.known = now, FOREVER
                invariants.poison_dies_soon(f"object {place}", murders.deaths)
        self._killers[task] = 0 if work.is_left else job, place

    def miss(self, task: int) -> None:
        """It was given up by the time that its child's death was known: it counts for nothing."""
        job, place = self._killers.pop(task, (0, None))
        if job in self.killed:
            self.killed[job] -= 1
        if place in self._murders:
            self._murders[place].deaths -= 1

    def exited(self, child: "Child", *, killed: bool, last_task: int, now: float) -> None:
        """The engine hears of a death, before it tells anybody anything more."""
        for work in child.works.values():
            place = _place_of(work.verb)
            murders = self._murders.get(place) if place else None
            if murders is not None and murders.known == FOREVER:
                murders.known = last_task
        if len(child.works) != 1:
            return
        work = next(iter(child.works.values()))
        alone = self.killed_alone if killed else self.crashed_alone
        job = getattr(work.verb, "job", 0)
        alone[job] = alone.get(job, 0) + 1
        if place := _place_of(work.verb):
            self._was_present(place, work, killed, now)

    def _was_present(self, place: Place, work: "Work", killed: bool, now: float) -> None:
        present = self._present.get(place)
        if present is None or work.began >= present.at + self._ttl_s + self._slack_s:
            present = self._present[place] = Presence()
        present.at = now
        present.crashes += not killed
        present.kills += killed
        if _suffices(present.crashes, present.kills):
            self._seemed[place] = True

    def landed(self, verb: verbs.Fetch) -> None:
        """A GET brought all its bytes: its object kills nobody, as far as anyone can tell."""
        self._present.pop((verb.bucket, verb.key), None)
        self._murders.pop((verb.bucket, verb.key), None)

    def forgive(self, job: int) -> None:
        """A person wants the job tried once more: what it did is forgotten."""
        self.crashed_alone.pop(job, None)
        self.killed_alone.pop(job, None)
        self.killed.pop(job, None)


def _suffices(crashes: int, kills: int) -> bool:
    return crashes >= invariants.POISON_DEATHS - 1 or kills >= invariants.POISON_KILLS


def _place_of(verb: Any) -> Place | None:
    """The object of a download."""
    return (verb.bucket, verb.key) if type(verb) is verbs.Fetch else None
