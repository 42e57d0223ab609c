"""Leaders: of jobs that want the same content for the same bot under the same kind, one leads.

It is the first that knows its content; who comes later joins it and shares the outcome, so nothing
is uploaded twice. Whoever leaves the lead sets its followers free: each is on its own again.

Invariants, kept by `check`: at most one leads per (bot, content, kind); who follows is joined.
Costs: O(1), and O(followers) for one that stops following.
"""

from prewarmd.core.jobs import Job, JobId, Kind, Phase


class Leaders:
    """Who leads, and who follows whom."""

    def __init__(self) -> None:
        self._leaders: dict[tuple[str, str, Kind], Job] = {}
        self._followers: dict[JobId, list[Job]] = {}

    def lead(self, job: Job) -> bool:
        """Whether `job` leads now; else it follows whoever is ahead."""
        assert job.sha256 is not None
        leader = self._leaders.setdefault((job.bot, job.sha256, job.kind), job)
        if leader is job:
            return True
        self._followers.setdefault(leader.id, []).append(job)
        return False

    def leader(self, job: Job) -> Job | None:
        """Who leads with its content; None when nobody does."""
        assert job.sha256 is not None
        return self._leaders.get((job.bot, job.sha256, job.kind))

    def take_followers(self, job: Job) -> list[Job]:
        """Who followed it, in the order in which they came; theirs to be decided now."""
        return self._followers.pop(job.id, [])

    def leave(self, job: Job) -> list[Job]:
        """It leads nobody and follows nobody any more: who is on its own again."""
        if job.sha256 is None:
            return []
        content = (job.bot, job.sha256, job.kind)
        leader = self._leaders.get(content)
        if leader is job:
            del self._leaders[content]
            return self._followers.pop(job.id, [])
        if leader is not None and job in self._followers.get(leader.id, ()):
            self._followers[leader.id].remove(job)
        return []

    def __len__(self) -> int:
        return len(self._leaders)

    def check(self, jobs: dict[JobId, Job]) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        followers = [job for some in self._followers.values() for job in some]
        assert all(job.phase is Phase.JOINED for job in followers)
        assert len(followers) == sum(job.phase is Phase.JOINED for job in jobs.values())
        for content, leader in self._leaders.items():
            assert jobs[leader.id] is leader
            assert (leader.bot, leader.sha256, leader.kind) == content
