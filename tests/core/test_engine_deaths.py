"""What dies, hangs, stalls or stops: no job is lost, and only what may have arrived is a doubt."""

from dataclasses import replace

import pytest

from prewarmd.core import commands, events, records, reports, verbs
from prewarmd.core.backoff import RetryPolicy
from prewarmd.core.jobs import JobId, JobState, Phase
from prewarmd.core.policy import EnginePolicy
from tests.core.outside import Dies, NoMemory, Refused, fates_of
from tests.core.world import World

POLICY = EnginePolicy(workers=2, slots=4)


def submit(world: World, count: int, bot: str = "alpha", prefix: str = "") -> list[JobId]:
    keys = [f"{prefix}{number}.jpg" for number in range(count)]
    for key in keys:
        world.store_object(key)
    return [world.submit(bot, key) for key in keys]


def ready(world: World, *jobs: JobId) -> None:
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    world.check_quiet()


def words(world: World, job: JobId) -> list[str]:
    """What was written down about a job, with its code."""
    return [
        " ".join([type(r).__name__, *filter(None, [getattr(r, "code", "")])])
        for r in world.rows[job].history
    ]


def duplicates(world: World) -> int:
    return sum(row.duplicates for row in world.catalogue.values() if row)


# -- a child dies ----------------------------------------------------------------------------


def test_a_death_before_the_last_byte_costs_nothing() -> None:
    """Telegram cannot have it: waiting or counting an attempt would be for nothing."""
    world = World()
    world.fates = fates_of(Dies(sent=False), of=verbs.Upload)
    (job,) = submit(world, 1)
    start = world.now
    ready(world, job)
    assert words(world, job) == ["Start", "Release ChildDied", "Start", "Complete"]
    assert world.now - start < 1
    assert len(world.messages) == 1
    assert duplicates(world) == 0
    assert world.gets == ["0.jpg"]


def test_a_death_after_the_last_byte_is_a_doubt() -> None:
    """It would be sent twice at once, and nobody be told."""
    world = World()
    world.fates = fates_of(Dies(sent=True), of=verbs.Upload)
    (job,) = submit(world, 1)
    ready(world, job)
    assert words(world, job) == ["Start", "Snooze MaybeSent", "Wake", "Start", "Complete"]
    assert world.rows[job].maybe_sent
    first, second = [message.at for message in world.messages]
    assert second - first >= POLICY.retry.late_s
    assert duplicates(world) == 1


def test_an_upload_without_an_answer_is_a_doubt_and_an_attempt() -> None:
    """Telegram in trouble would get duplicate after duplicate."""
    world = World()
    world.fates = fates_of(Refused("NoAnswer", arrived=True), of=verbs.Upload)
    (job,) = submit(world, 1)
    ready(world, job)
    assert words(world, job) == ["Start", "Snooze NoAnswer", "Wake", "Start", "Complete"]
    assert world.rows[job].attempt == 1
    assert len(world.messages) == 2
    assert duplicates(world) == 1


def test_what_the_last_daemon_may_have_sent_is_counted() -> None:
    """After a crash of the daemon duplicates would be there that no figure shows."""
    world = World()
    world.store_object("a.jpg")
    ready(world, world.submit("alpha", "a.jpg", maybe_sent=True))
    assert duplicates(world) == 1


def test_a_death_during_a_get_frees_its_memory_and_its_jobs() -> None:
    """Jobs of all bots that waited for this GET would wait for ever."""
    world = World(policy=replace(POLICY, cache_bytes=8192))
    world.fates = fates_of(Dies(), of=verbs.Into)
    world.store_object("a.jpg")
    jobs = [world.submit(bot, "a.jpg") for bot in ("alpha", "beta")]
    ready(world, *jobs)
    assert words(world, jobs[1])[:2] == ["Start", "Release ChildDied"]
    assert world.gets == ["a.jpg", "a.jpg"]


def test_a_death_right_after_its_question_for_memory() -> None:
    """The refusal of memory comes when the GET is over already: the daemon would crash."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=4))
    world.store_object("a.jpg")
    job = world.submit("alpha", "a.jpg")
    world.run(0.005)
    (task,) = world.engine.downloads.fetching
    world.fates = fates_of(NoMemory(), of=verbs.Into)
    world.put(events.ChildReported(0, 1, reports.Opened(task, 5000, '"e"')))
    world.kill(0)
    ready(world, job)


def test_the_others_go_on_while_a_child_is_started_again() -> None:
    """One death would stop everything."""
    world = World(policy=EnginePolicy(workers=2, slots=2))
    jobs = submit(world, 12)
    world.run(0.005)
    world.boot_s = 15.0
    world.kill(0)
    world.run(0.5)
    assert len(world.messages) >= 3
    ready(world, *jobs)


@pytest.mark.parametrize("sent", [False, True])
def test_a_job_that_kills_its_child_every_time_is_given_up(sent: bool) -> None:
    """One poisonous object would keep the children dying until somebody finds it."""
    world = World()
    poison = Dies(sent=sent)
    world.store_object("poison.jpg")
    world.fates = lambda v: (
        poison if isinstance(v, verbs.Upload) and v.file_name == "poison.jpg" else None
    )
    job = world.submit("alpha", "poison.jpg")
    others = submit(world, 5, bot="beta")
    world.finish(limit_s=24 * 3600.0)
    assert world.state(job) is JobState.FAILED
    assert {world.state(other) for other in others} == {JobState.READY}


def test_a_chat_full_of_uploads_goes_on_after_their_child_died() -> None:
    """All ten places in flight are free again, and nobody would look for seconds."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=32))
    world.upload_s = 100.0
    jobs = submit(world, 20)
    world.run(60.0)
    assert len(world.uploads) == 10
    for process in world._processes.values():
        for work in process.works.values():
            work.sent = True
    world.upload_s = 0.05
    world.kill(0)
    world.run(1.0)
    assert len(world.uploads) > 10
    ready(world, *jobs)


@pytest.mark.parametrize("code", ["NoAnswer", "BadAnswer"])
def test_who_is_given_up_after_a_doubt_says_so(code: str) -> None:
    """A user would send it by hand although the chat has it, or count on its not being there."""
    world = World(policy=replace(POLICY, retry=RetryPolicy(attempts=2)))
    world.fates = lambda v: Refused(code, arrived=True) if isinstance(v, verbs.Upload) else None
    (job,) = submit(world, 1)
    world.finish()
    assert (world.state(job), world.rows[job].code) == (JobState.FAILED, code)
    assert world.rows[job].maybe_sent
    world.fates = lambda v: None
    (never,) = submit(world, 1, prefix="missing-")
    del world.objects["m", "missing-0.jpg"]
    world.finish()
    assert (world.state(never), world.rows[never].maybe_sent) == (JobState.FAILED, False)


# -- it fails again --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "verb"), [("StoreError", verbs.Fetch), ("UploadCut", verbs.Upload)]
)
def test_retries_are_charged_and_end(code: str, verb: type[verbs.Verb]) -> None:
    """A broken object would be tried for ever, or given up without a word. It is the one that is
    broken, for others are served meanwhile."""
    world = World(policy=replace(POLICY, retry=RetryPolicy(attempts=3)))
    (job, *_) = submit(world, 1)
    world.fates = lambda v: (
        Refused(code) if isinstance(v, verb) and getattr(v, "job", None) == job else None
    )
    for number in range(40):
        submit(world, 1, prefix=f"other-{number}-")
        world.run(1.0)
    world.finish()
    said = words(world, job)
    assert said[:4] == ["Start", f"Snooze {code}", "Wake", "Start"]
    assert said[-1] == f"Fail {code}"
    attempts = [r.attempt for r in world.rows[job].history if isinstance(r, records.Snooze)]
    assert attempts == sorted(attempts)
    assert (set(attempts), world.rows[job].attempt) == ({0, 1, 2}, 3)
    world.check_quiet()


@pytest.mark.parametrize(
    ("code", "verb"),
    [("StoreError", verbs.Fetch), ("StoreTimeout", verbs.Fetch), ("TelegramError", verbs.Upload)],
)
def test_an_outage_burns_nobodys_attempts(code: str, verb: type[verbs.Verb]) -> None:
    """An hour of R2's trouble would fail every job that was tried meanwhile."""
    world = World(policy=replace(POLICY, retry=RetryPolicy(attempts=3)))
    world.fates = lambda v: Refused(code) if isinstance(v, verb) else None
    jobs = submit(world, 30)
    world.run(3600.0)
    asked = len(world.all_of(verb))
    assert asked < 300, "it was hammered"
    assert [code for code, _ in world.engine.readiness(world.now)] == [code]
    world.fates = lambda v: None
    ready(world, *jobs)
    assert {world.engine.desk.jobs.get(job) for job in jobs} == {None}
    assert {r.attempt for j in jobs for r in world.rows[j].history
            if isinstance(r, records.Snooze)} <= {0}  # fmt: skip


def test_a_retry_goes_through_when_the_trouble_is_over() -> None:
    """A hiccup would cost a media."""
    world = World()
    world.fates = fates_of(Refused("StoreTimeout"), Refused("ShortBody"), of=verbs.Fetch)
    ready(world, *submit(world, 1))


# -- a child hangs ---------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_a_hung_child_is_killed_and_its_jobs_go_on(workers: int) -> None:
    """Its jobs would wait for ever; with one child there is nobody else whose beat wakes us."""
    world = World(policy=EnginePolicy(workers=workers, slots=4))
    jobs = submit(world, 3)
    world.run(0.001)
    world.hang(0)
    start = world.now
    world.finish(limit_s=120.0)
    assert world.now - start < 30
    assert [c.reason for _, c in world.out if isinstance(c, commands.Kill)] == ["silent for 10 s"]
    ready(world, *jobs)


def test_what_an_earlier_life_said_is_not_believed() -> None:
    """An answer to an old attempt would complete a new one with a wrong file_id."""
    world = World()
    world.upload_s = 2.0
    (job,) = submit(world, 1)
    world.run(0.2)
    (task,) = world.engine.uploads.sending
    child = world.engine.uploads.sending[task].child
    uploaded = reports.Uploaded(task, "stale", "stale", "photo", 1, 0.1)
    world.kill(child.index)
    world.run(0.5)
    before = world.engine.stale_reports
    world.put(events.ChildReported(child.index, child.generation - 1, uploaded))
    world.put(events.ChildReported(child.index, child.generation, uploaded))
    world.put(events.ChildExited(child.index, child.generation - 1, "an old death"))
    world.run(0.1)
    assert world.engine.stale_reports == before + 2
    assert world.state(job) is JobState.RUNNING
    ready(world, job)
    assert all(row and row.file_id != "stale" for row in world.catalogue.values())


# -- the daemon stops ------------------------------------------------------------------------


def drain(world: World, seconds: float = 30.0) -> float:
    """Ask for it, and see that nothing begins any more; when it was asked."""
    asked, told = world.now, len(world.told)
    world.put(events.DrainAsked(asked + seconds))
    world.run(seconds + 5)
    begun = [v for _, v in world.told[told:] if not isinstance(v, verbs.Into | verbs.Drop)]
    assert begun == [], "something began while it was to stop"
    assert world.finished == commands.Finish()
    assert world.engine.children.all_stopped
    return asked


def finished_at(world: World) -> float:
    return next(at for at, command in world.out if isinstance(command, commands.Finish))


def test_a_drain_finishes_what_is_being_uploaded_and_starts_nothing() -> None:
    """A restart would cost doubts, or never come to an end."""
    world = World(["alpha"], EnginePolicy(workers=2, slots=2))
    world.upload_s = 3.0
    jobs = submit(world, 20)
    world.run(1.0)
    in_flight = world.uploads
    assert in_flight
    asked = drain(world)
    assert 1 < finished_at(world) - asked < 4
    assert {world.state(job) for job in in_flight} == {JobState.READY}
    left = {world.state(job) for job in jobs if job not in in_flight}
    assert left == {JobState.QUEUED}
    assert not any(
        isinstance(r, records.Snooze) for row in world.rows.values() for r in row.history
    )


def test_a_drain_ends_at_its_deadline() -> None:
    """`systemctl stop` would hang until systemd loses patience."""
    world = World()
    world.upload_s = 100.0
    (job,) = submit(world, 1)
    world.run(1.0)
    asked = drain(world, 5.0)
    assert finished_at(world) - asked == pytest.approx(5.0, abs=0.1)
    assert words(world, job)[-1] == "Release ChildDied"
    assert world.state(job) is JobState.QUEUED


def test_a_second_signal_means_now() -> None:
    """Whoever is in a hurry would have to kill, and have doubts afterwards."""
    world = World()
    world.upload_s = 100.0
    submit(world, 1)
    world.run(1.0)
    world.put(events.DrainAsked(world.now + 1000.0))
    world.run(1.0)
    assert world.finished is None
    world.put(events.DrainAsked(world.now))
    world.run(0.1)
    assert world.finished == commands.Finish()


def test_a_drain_of_an_idle_daemon_is_immediate() -> None:
    """Every restart would take its whole grace."""
    world = World()
    asked = drain(world)
    assert finished_at(world) - asked < 0.1


def test_a_drain_does_not_spin_while_a_child_is_in_back_off() -> None:
    """The last upload would share its processor with a loop that does nothing."""
    world = World(["alpha"], EnginePolicy(workers=2, slots=4))
    world.upload_s = 5.0
    submit(world, 1)
    world.run(0.5)
    (sending,) = world.engine.uploads.sending.values()
    idle = 1 - sending.child.index
    world.boot_s = 0.001
    for _ in range(4):
        world.kill(idle)
        world.run(0.3)
    world.kill(idle)
    drain(world)


def test_a_drain_starts_nothing_for_an_answer_of_the_catalogue() -> None:
    """A question that was asked before would begin a download, and the stop wait for it."""
    world = World()
    world.commit_s, world.upload_s = 1.0, 5.0
    world.store_object("b.jpg")
    sha256 = world.store_object("a.jpg")
    uploading = world.submit("beta", "b.jpg")
    world.run(1.2)
    job = world.submit("alpha", "a.jpg", sha256=sha256)
    world.run(0.5)
    assert world.engine.desk.jobs[uploading].phase is Phase.UPLOADING
    assert world.engine.desk.jobs[job].phase is Phase.RECALLING
    drain(world)
    assert world.state(uploading) is JobState.READY
    assert world.state(job) is JobState.QUEUED


# -- the store stalls ------------------------------------------------------------------------


def test_a_stalled_store_starts_nothing_new_and_loses_nothing() -> None:
    """Uploads would pile up whose file_ids nobody may ever write down."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=4))
    jobs = submit(world, 30)
    world.run(0.09)
    in_flight = [sending.job.id for sending in world.engine.uploads.sending.values()]
    assert in_flight
    world.stall()
    told = len(world.told)
    world.run(60.0)
    begun = [v for _, v in world.told[told:] if isinstance(v, verbs.Fetch | verbs.Upload)]
    assert begun == []
    assert world.engine.readiness(world.now) == [("StoreStalled", "disk full")]
    assert {world.state(job) for job in in_flight} == {JobState.RUNNING}
    world.recover()
    ready(world, *jobs)


def test_a_stalled_store_starts_nothing_for_an_answer_of_the_catalogue() -> None:
    """A download would begin although nothing about it can be written."""
    world = World()
    world.commit_s = 1.0
    sha256 = world.store_object("a.jpg")
    job = world.submit("alpha", "a.jpg", sha256=sha256)
    world.run(0.5)
    world.put(events.StoreStalled("disk full"))
    world.put(events.Recalled(job, sha256, ready=False))
    world.run(0.1)
    assert world.gets == []
    world.put(events.StoreRecovered())
    ready(world, job)
