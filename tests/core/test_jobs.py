"""A job's six states: what may follow what, and the text by which clients know it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.jobs import (
    FINISHED,
    TRANSITIONS,
    UNFINISHED,
    Job,
    JobEvent,
    JobId,
    JobState,
    Kind,
    advance,
    parse_public_id,
    public_id,
    states_before,
)
from prewarmd.core.transitions import IllegalTransitionError

LEGAL = """
    queued  started   running    running started   -          waiting started   -
    queued  completed ready      running completed ready      waiting completed ready
    queued  failed    failed     running failed    failed     waiting failed    failed
    queued  snoozed   waiting    running snoozed   waiting    waiting snoozed   -
    queued  released  queued     running released  queued     waiting released  -
    queued  woken     -          running woken     -          waiting woken     queued
    queued  cancelled cancelled  running cancelled cancelled  waiting cancelled cancelled
    queued  retried   -          running retried   -          waiting retried   -
    queued  orphaned  -          running orphaned  queued     waiting orphaned  -
    failed  retried   queued     cancelled retried queued
"""
WORDS = iter(LEGAL.split())
TABLE = {
    (JobState(before), JobEvent(event)): after
    for before, event, after in zip(WORDS, WORDS, WORDS, strict=True)
}
EVERY_PAIR = [(state, event) for state in JobState for event in JobEvent]


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR)
def test_every_event_in_every_state(state: JobState, event: JobEvent) -> None:
    """A ready job would fall back to the queue, or a failed one be ready without a file_id."""
    after = TABLE.get((state, event), "-")
    job = Job(JobId(1), "alpha", "media", "k", Kind.PHOTO, created=0.0, state=state)
    if after == "-":
        with pytest.raises(IllegalTransitionError, match=rf"a {state} job cannot be {event}"):
            job.happen(event)
        assert job.state is state
    else:
        job.happen(event)
        assert job.state is JobState(after)


def test_a_ready_job_is_ready_for_ever() -> None:
    """A row that is ready would fall back to warming."""
    assert TRANSITIONS[JobState.READY] == {}


def test_finished_and_unfinished_are_all_there_is() -> None:
    """A job in neither would not be loaded at a start, and be lost."""
    assert frozenset(JobState) == UNFINISHED | FINISHED
    assert not UNFINISHED & FINISHED


@pytest.mark.parametrize("event", JobEvent)
def test_the_precondition_of_a_write_is_where_its_event_may_happen(event: JobEvent) -> None:
    """A late record would overwrite what came after it."""
    allowed = set()
    for state in JobState:
        try:
            advance(state, event)
        except IllegalTransitionError:
            continue
        allowed.add(state)
    assert states_before(event) == allowed


@given(st.integers(0, (1 << 63) - 1))
def test_a_public_id_comes_back(number: int) -> None:
    """A client could not ask for the job that it was just given."""
    assert parse_public_id(public_id(JobId(number))) == number


def test_a_public_id_reads_like_this() -> None:
    """Ids in clients' logs would stop working after an upgrade."""
    assert public_id(JobId(255)) == "j000000ff"


@pytest.mark.parametrize(
    "text",
    ["", "j", "255", "j255", "x000000ff", "J000000ff", "j000000fF", "j0000000g", "j 00000ff",
     "j-00000ff", "j+00000ff", "j0x0000ff", "j0_0000ff", "j000000ff\n", " j000000ff",
     "j" + "0" * 17, "j" + "\N{ARABIC-INDIC DIGIT ZERO}" * 8, "j../../etc"],
)  # fmt: skip
def test_what_is_no_id_of_ours_is_none(text: str) -> None:
    """A typing error would fetch somebody else's job, or crash the API."""
    assert parse_public_id(text) is None


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Some text in a URL would be an error 500."""
    job = parse_public_id(text)
    assert job is None or int(text[1:], 16) == job


@given(st.integers(1 << 63, (1 << 64) - 1))
def test_an_id_that_no_row_can_have_is_none_of_ours(number: int) -> None:
    """SQLite's integers end at 2^63 - 1: a larger one would be an OverflowError, an error 500."""
    assert parse_public_id(f"j{number:016x}") is None
