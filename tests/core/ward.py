"""A world in which some objects kill whoever takes them."""

from collections.abc import Sequence

from prewarmd.core import events, verbs
from prewarmd.core.jobs import JobId, JobState
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.outside import Dies, Fate
from tests.core.world import World

POLICY = EnginePolicy(workers=2, slots=8, limits=LimitPolicy(paced=False))
WORK = verbs.Fetch | verbs.Upload | verbs.List | verbs.Head | verbs.AskChat
WAYS = {
    "at its GET": (verbs.Fetch, False),
    "at its upload": (verbs.Upload, False),
    "after its last byte": (verbs.Upload, True),
}


class Ward(World):
    """A world in which some objects kill, and which sees that no suspect has company."""

    def __init__(
        self, poison: Sequence[str] = (), way: str = "at its GET", policy: EnginePolicy = POLICY,
        bots: Sequence[BotSpec | str] = ("alpha", "beta"),
    ) -> None:  # fmt: skip
        self.poison = set(poison)
        self.verb, self.sent = WAYS[way]
        self.deaths = 0
        self.alone: list[JobId] = []
        """Suspects that had a child for themselves, in order."""
        self.is_uneven = False
        """Each task takes another time, so that slots are never all free at once."""
        super().__init__(bots, policy)
        self.fates = self._poisonous

    def put(self, event: events.Event) -> None:
        self.deaths += isinstance(event, events.ChildExited)
        super().put(event)

    def innocents(self, count: int, prefix: str = "") -> list[JobId]:
        """Jobs that harm nobody, of all bots in turn."""
        bots, jobs = list(self.engine.desk.bots), []
        for number in range(count):
            self.store_object(f"{prefix}{number}.jpg")
            jobs.append(self.submit(bots[number % len(bots)], f"{prefix}{number}.jpg"))
        return jobs

    def poisonous(self, bot: str = "alpha") -> list[JobId]:
        """A job for each poisonous object."""
        for key in self.poison:
            self.store_object(key)
        return [self.submit(bot, key) for key in sorted(self.poison)]

    def _poisonous(self, verb: verbs.Verb) -> Fate | None:
        named = getattr(verb, "key", getattr(verb, "file_name", ""))
        return Dies(self.sent) if isinstance(verb, self.verb) and named in self.poison else None

    def _is_suspect(self, verb: object) -> bool:
        job = self.engine.desk.jobs.get(JobId(getattr(verb, "job", -1)))
        return job is not None and job.suspect

    def _tell(self, index: int, verb: verbs.Verb) -> None:
        process = self._processes.get(index)
        if process is not None and isinstance(verb, WORK):
            company = [work.verb for work in process.works.values()]
            if self._is_suspect(verb):
                assert company == [], f"a suspect has {company} with it"
                self.alone.append(JobId(getattr(verb, "job", -1)))
            assert not any(self._is_suspect(each) for each in company), f"{verb} with a suspect"
        if self.is_uneven:
            self.get_s = self.upload_s = 0.02 + verb.task % 7 * 0.004
        super()._tell(index, verb)


def fetching(world: World, job: JobId) -> int:
    """The child that has the GET of a job in hand."""
    flights = world.engine.downloads.fetching.values()
    return next(flight.child.index for flight in flights if flight.owner.id == job)


def failed(world: World) -> dict[JobId, str]:
    """Who failed, and why."""
    return {job: row.code for job, row in world.rows.items() if row.state is JobState.FAILED}
