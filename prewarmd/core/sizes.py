"""Sizes nobody told: asked of the store ahead of a job's turn, because a job's level depends on its
size, and memory can be reserved before the GET.

Only while more jobs wait than slots are free: else a job is started sooner than asked about. A slot
that comes free goes to a question before it goes to a download, or else large downloads would keep
small jobs from being known as such. At most BATCHES_MAX questions of KEYS_MAX keys each are under
way, and half of the slots at the most unless there is only one; each job is asked about once, and
an answer that says nothing changes nothing: the GET will tell.

Costs: O(1) a job.
"""

from dataclasses import dataclass

from prewarmd.core import verbs
from prewarmd.core.children import Children
from prewarmd.core.commands import Tell
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.gate import NO_PROBE
from prewarmd.core.jobs import JobId, Phase

BATCHES_MAX = 2
KEYS_MAX = 32


@dataclass(slots=True, eq=False)
class Question:
    """One batch of keys of a bucket, under way."""

    bucket: str
    jobs: list[JobId]


class Sizes:
    """Questions under way."""

    def __init__(self, desk: Desk, children: Children) -> None:
        self.asking: dict[int, Question] = {}
        self._desk = desk
        self._children = children
        self._asking_max = min(BATCHES_MAX, max(1, desk.policy.workers * desk.policy.slots // 2))

    def pump(self, now: float) -> None:
        """Ask what is worth asking."""
        desk, children = self._desk, self._children
        while desk.sizeless:
            bucket = self._bucket_of(desk.sizeless[0])
            if bucket is None:
                desk.sizeless.popleft()
                continue
            waiting = len(desk.jobs) - children.tasks
            if waiting <= children.free_slots or len(self.asking) >= self._asking_max:
                return
            child, gate = children.pick(), desk.buckets.gate(bucket)
            if child is None or not gate.is_open:
                return
            jobs: list[JobId] = []
            while desk.sizeless and len(jobs) < KEYS_MAX:
                next_bucket = self._bucket_of(desk.sizeless[0])
                if next_bucket not in (None, bucket):
                    break
                job_id = desk.sizeless.popleft()
                if next_bucket:
                    jobs.append(job_id)
            task = desk.next_task()
            children.begin(child, task)
            self.asking[task] = Question(bucket, jobs)
            keys = [desk.jobs[job].key for job in jobs]
            desk.out.append(Tell(child.index, verbs.Head(task, bucket, keys)))

    def _bucket_of(self, job_id: JobId) -> str | None:
        """Where to ask about a job; None when there is nothing to ask any more."""
        job = self._desk.jobs.get(job_id)
        wanted = job is not None and job.phase is Phase.QUEUED and job.size_bytes is None
        return job.bucket if job and wanted else None

    def headed(self, task: int, sizes: list[int], now: float) -> None:
        """Sizes in the order of the keys; -1 where the store had nothing to say."""
        desk, question = self._desk, self.asking.pop(task)
        desk.buckets.open(question.bucket)
        for job_id, size_bytes in zip(question.jobs, sizes, strict=True):
            job = desk.jobs.get(job_id)
            if job is not None and job.size_bytes is None and size_bytes >= 0:
                desk.learn_size(job, size_bytes)
                desk.relevel(job, now)

    def failed(self, task: int, code: str, detail: str, now: float) -> None:
        """No answer: the jobs go on without."""
        question = self.asking.pop(task)
        if FAULTS[code].remedy is Remedy.CLOSE_BUCKET or FAULTS[code].strains:
            self._desk.buckets.close(question.bucket, code, detail, now, NO_PROBE)

    def orphaned(self, task: int) -> None:
        """Its child died."""
        del self.asking[task]
