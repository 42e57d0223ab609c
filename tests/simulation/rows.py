"""What the store's tables hold: a row of `jobs`, a row of `batches`, a submit.

Slots and plain attributes: rows are made and read millions of times.
"""

from prewarmd.core.jobs import FINISHED, Job, JobId, JobState, Kind

Name = tuple[str, str, str, Kind]
"""(bot, bucket, key, kind): what a submit means."""


class NewJob:
    """A submit for one job, as the API judged it."""

    __slots__ = ("etag", "is_probe", "name", "priority", "sha256", "size_bytes")

    def __init__(
        self,
        name: Name,
        sha256: str | None = None,
        size_bytes: int | None = None,
        etag: str | None = None,
        priority: int | None = None,
        *,
        is_probe: bool = False,
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self.etag = etag
        self.priority = priority
        self.is_probe = is_probe


class Row:
    """A job as the store has it."""

    __slots__ = (
        "attempt", "claimed", "code", "created", "forgotten", "id", "is_probe", "is_put_back",
        "is_retried", "life", "maybe_sent", "name", "not_before", "priority", "sha256",
        "size_bytes", "state",
    )  # fmt: skip

    def __init__(self, job_id: JobId, new: NewJob, now: float, life: int) -> None:
        self.id = job_id
        self.name = new.name
        self.sha256 = new.sha256
        self.claimed = new.sha256 is not None
        self.size_bytes = new.size_bytes
        self.priority = new.priority
        self.is_probe = new.is_probe
        """It finds out whether a file_id that is ready is still good."""
        self.created = now
        self.state = JobState.QUEUED
        self.attempt = 0
        self.maybe_sent = False
        self.not_before = 0.0
        self.code = ""
        self.life = life
        """In which life of the engine it was admitted last."""
        self.forgotten = False
        """The store cancelled it beside the engine, whose records may come late."""
        self.is_retried = False
        """A person wanted it tried again at least once."""
        self.is_put_back = False
        """It went back to the front of its backlog at least once."""

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.state in FINISHED

    @property
    def is_steady(self) -> bool:
        """Whether it stands in its backlog by its arrival and its age, and nothing else."""
        return self.priority is None and self.size_bytes is not None and not self.is_put_back

    def job(self, etag: str | None, etag_sha256: str | None, not_before: float) -> Job:
        """For the engine."""
        bot, bucket, key, kind = self.name
        return Job(
            self.id, bot, bucket, key, kind, self.created, self.priority,
            self.sha256 if self.claimed else None, self.claimed, self.size_bytes,
            etag, etag_sha256, self.attempt, self.maybe_sent,
            is_probe=self.is_probe, not_before=not_before, state=self.state,
        )  # fmt: skip

    def fresh_job(self) -> Job:
        """For an engine of its own, that is only asked what it believes."""
        return self.job(None, None, self.not_before)

    def facts(self) -> tuple[object, ...]:
        """What a recovery must bring back."""
        return self.id, str(self.state), self.attempt, self.maybe_sent, self.not_before

    def __repr__(self) -> str:
        bot, bucket, key, kind = self.name
        return f"<job {self.id} {bot} {bucket}/{key} {kind} {self.state}, attempt {self.attempt}>"


class Batch:
    """A prefix being listed."""

    __slots__ = ("after", "bot", "bucket", "done", "id", "keys", "kind", "life", "listed",
        "prefix")  # fmt: skip

    def __init__(
        self, batch_id: int, bot: str, bucket: str, prefix: str, kind: Kind, keys: int, life: int
    ) -> None:
        self.id = batch_id
        self.bot = bot
        self.bucket = bucket
        self.prefix = prefix
        self.kind = kind
        self.keys = keys
        """How many keys it had at its beginning."""
        self.life = life
        """In which life of the engine it was opened."""
        self.after = ""
        self.listed = 0
        self.done = False
