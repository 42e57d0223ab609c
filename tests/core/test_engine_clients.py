"""What clients ask of jobs under way: taken back while that is true, woken, forgotten."""

import pytest

from prewarmd.core import events, records, verbs
from prewarmd.core.jobs import Job, JobId, JobState, Kind, Phase
from prewarmd.core.policy import EnginePolicy
from tests.core.outside import Refused, fates_of
from tests.core.world import World


def in_phase(phase: Phase) -> tuple[World, JobId]:
    """A world in which one of its jobs is in that phase, and will be for a while."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=4))
    match phase:
        case Phase.QUEUED:
            world.get_s = 5.0
            *_, job = [world.submit("alpha", f"{n}.jpg") for n in range(9)]
        case Phase.SLEEPING:
            world.fates = fates_of(Refused("NoAnswer"), of=verbs.Upload)
            job = world.submit("alpha", "0.jpg")
        case Phase.FETCHING:
            world.get_s = 5.0
            job = world.submit("alpha", "0.jpg")
        case Phase.RECALLING:
            world.commit_s = 5.0
            job = world.submit("alpha", "0.jpg", sha256=world.store_object("0.jpg"))
        case Phase.JOINED:
            world.upload_s = 5.0
            world.store_object("0.jpg", "the same")
            world.submit("alpha", "0.jpg")
            world.store_object("copy.jpg", "the same")
            job = world.submit("alpha", "copy.jpg")
        case Phase.LOADED:
            *_, job = [world.submit("alpha", f"{n}.jpg") for n in range(6)]
        case Phase.TRAILING:
            world.get_s, world.landing_from_bytes = 3.0, 1
            job = world.submit("alpha", "0.jpg", size_bytes=5000)
        case Phase.UPLOADING:
            world.upload_s = 5.0
            job = world.submit("alpha", "0.jpg")
    for number in range(9):
        if ("m", f"{number}.jpg") not in world.objects:
            world.store_object(f"{number}.jpg")
    world.run(1.0)
    world.commit_s = 0.001
    assert world.engine.desk.jobs[job].phase is phase
    return world, job


CANCELLABLE = [Phase.QUEUED, Phase.SLEEPING, Phase.JOINED, Phase.LOADED]


@pytest.mark.parametrize("phase", CANCELLABLE)
def test_a_job_that_no_child_holds_can_be_taken_back(phase: Phase) -> None:
    """A client that changed its mind would get the message all the same."""
    world, job = in_phase(phase)
    reply = world.ask(events.CancelAsked, job)
    assert (reply.known, reply.refused_by) == (True, None)
    assert world.state(job) is JobState.CANCELLED
    world.finish()
    assert job not in [message.job for message in world.messages]
    world.check_quiet()


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in CANCELLABLE])
def test_a_job_in_a_childs_hands_cannot(phase: Phase) -> None:
    """A client would be told that nothing was sent, and it was."""
    world, job = in_phase(phase)
    assert world.ask(events.CancelAsked, job).refused_by is JobState.RUNNING
    world.finish()
    assert world.state(job) is JobState.READY
    world.check_quiet()


def test_taking_back_the_first_does_not_take_back_those_who_joined_it() -> None:
    """Another client's job would be lost with it."""
    world, leader = in_phase(Phase.LOADED)
    content = world.objects["m", world.engine.desk.jobs[leader].key]
    world.objects["m", "copy.jpg"] = content
    follower = world.submit("alpha", "copy.jpg", sha256=content[0])
    world.run(0.1)
    assert world.engine.desk.jobs[follower].phase is Phase.JOINED
    assert world.ask(events.CancelAsked, leader).refused_by is None
    world.finish()
    assert world.state(follower) is JobState.READY
    world.check_quiet()


@pytest.mark.parametrize("make", [events.CancelAsked, events.WakeAsked])
def test_a_job_that_is_not_held_is_the_stores_to_decide(
    make: type[events.CancelAsked | events.WakeAsked],
) -> None:
    """A finished job would be cancelled, or a client be left without an answer."""
    world = World()
    reply = world.ask(make, JobId(999))
    assert (reply.known, reply.refused_by) == (False, None)


def test_a_waiting_job_can_be_had_now() -> None:
    """After a repair one would wait for the end of the back-off."""
    world, job = in_phase(Phase.SLEEPING)
    start = world.now
    assert world.ask(events.WakeAsked, job).refused_by is None
    world.finish()
    assert world.state(job) is JobState.READY
    assert world.now - start < 1
    woken = [r for r in world.rows[job].history if isinstance(r, records.Wake)]
    assert len(woken) == 1
    world.run(60.0)  # its old alarm rings for nobody
    world.check_quiet()


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.SLEEPING])
def test_only_a_waiting_job_can_be_woken(phase: Phase) -> None:
    """A job would be in the queue twice."""
    world, job = in_phase(phase)
    refused_by = world.ask(events.WakeAsked, job).refused_by
    assert refused_by is (JobState.QUEUED if phase is Phase.QUEUED else JobState.RUNNING)
    world.finish()
    assert world.state(job) is JobState.READY


@pytest.mark.parametrize("phase", list(Phase))
def test_a_job_that_the_store_cancelled_leaves_no_trace(phase: Phase) -> None:
    """A cancel that races with an admission would crash the daemon when the child answers."""
    world, job = in_phase(phase)
    world.forget(job)
    world.run(0.01)
    is_sent = phase in (Phase.TRAILING, Phase.UPLOADING)
    assert (job in world.engine.desk.jobs) == is_sent, "only an upload runs its course"
    world.finish()
    world.run(10.0)
    world.check_quiet()


def test_a_job_is_held_once() -> None:
    """A page that is read twice would upload everything twice."""
    world = World()
    world.store_object("a.jpg")
    job = world.submit("alpha", "a.jpg")
    world.put(events.Admitted([Job(job, "alpha", "m", "a.jpg", Kind.PHOTO, world.now)]))
    world.finish()
    assert world.uploads == [job]


def test_jobs_of_a_bot_that_is_not_configured_stay_in_the_store() -> None:
    """A bot taken out of the configuration would crash the daemon."""
    world = World(["alpha"])
    job = world.submit("gone", "a.jpg")
    world.run(1.0)
    assert world.state(job) is JobState.QUEUED
    assert world.engine.desk.jobs == {}


def test_a_job_that_waits_for_its_time_waits_across_a_restart() -> None:
    """A restart would try everything at once that had been put off."""
    world = World()
    world.store_object("a.jpg")
    job = world.submit("alpha", "a.jpg")
    (admitted,) = world._inbox
    assert isinstance(admitted, events.Admitted)
    admitted.jobs[0].state = world.rows[job].state = JobState.WAITING
    admitted.jobs[0].not_before = world.now + 50.0
    world.run(49.0)
    assert world.gets == []
    world.finish()
    assert world.state(job) is JobState.READY


def test_room_is_what_the_capacity_leaves() -> None:
    """A full queue would drop jobs, or grow without end."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=1, capacity=3))
    world.get_s = 9.0
    for key in ("a.jpg", "b.jpg"):
        world.store_object(key)
        world.submit("alpha", key)
    world.run(0.1)
    assert world.engine.has_room_for(1)
    assert not world.engine.has_room_for(2)
