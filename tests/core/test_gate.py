"""A gate: refusals, and failures in a row, close it, longer each time; one probe finds out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.gate import FAILURES_MAX, Gate

LAST = 1e9
"""When a request began: so late that it is the probe, if there is one."""
STEP = st.tuples(
    st.sampled_from(["pass", "refuse", "fail", "accept", "leave"]),
    st.floats(0, 40, allow_nan=False),
)


def refused(times: int = 1) -> Gate:
    gate = Gate(first_s=1.0, cap_s=30.0)
    for _ in range(times):
        gate.refuse("BadCredentials", "no", now=gate.until, began=LAST)
    return gate


def test_an_open_gate_lets_everybody_pass() -> None:
    """One slow answer would serialise all work on a bucket."""
    gate = Gate()
    for _ in range(5):
        assert gate.may_pass(0.0)
        gate.enter(0.0)
    assert gate.is_open


def test_a_refusal_closes_it_and_says_why() -> None:
    """Readiness could not say what is wrong."""
    gate = refused()
    assert not gate.is_open
    assert (gate.code, gate.detail) == ("BadCredentials", "no")
    assert not gate.may_pass(0.999)
    assert gate.may_pass(1.0)


def test_only_one_probe_passes() -> None:
    """Everything that waited would run into the same refusal at once."""
    gate = refused()
    gate.enter(0.0)
    assert not gate.may_pass(100.0)


@pytest.mark.parametrize("late", ["refuse", "fail", "leave"])
def test_a_late_answer_lets_no_second_probe_pass(late: str) -> None:
    """What was on its way when a bucket went down is answered one by one: each would send another
    probe into the outage."""
    gate = refused()
    gate.enter(5.0)
    match late:
        case "refuse":
            gate.refuse("BadCredentials", "no", 6.0, began=0.5)
        case "fail":
            gate.fail("StoreError", "500", 6.0, began=0.5)
        case _:
            assert not gate.leave(began=0.5)
    assert gate.probing
    assert not gate.may_pass(1000.0)
    gate.refuse("BadCredentials", "no", 7.0, began=5.0)
    assert gate.until == 7.0 + 2.0, "the late one does not count"
    assert gate.may_pass(gate.until)


def test_a_late_answer_may_open_it() -> None:
    """A bucket that works again would be kept waiting for its probe."""
    gate = refused()
    gate.enter(5.0)
    assert gate.accept()
    assert gate.may_pass(5.0)


def test_a_probe_is_under_way_from_its_start_to_its_end_and_at_no_other_time() -> None:
    """Who waits for a probe waits for an event; who takes a closed gate for one that is being
    probed would wait for an event that never comes."""
    gate = refused()
    seen = [gate.probing]
    for step in (
        lambda: gate.enter(5.0),
        lambda: gate.leave(began=5.0),
        lambda: gate.enter(6.0),
        gate.accept,
        lambda: gate.enter(7.0),
    ):
        step()
        seen.append(gate.probing)
    assert seen == [False, True, False, True, False, False]
    assert not Gate().probing


def test_a_probe_that_tells_nothing_makes_room_for_another() -> None:
    """The gate would stay closed for ever after a probe's child died."""
    gate = refused()
    gate.enter(0.0)
    gate.leave(began=LAST)
    assert gate.may_pass(1.0)
    assert not gate.is_open


def test_it_closes_twice_as_long_each_time_up_to_its_cap() -> None:
    """A dead bucket would be asked every second, or not for days."""
    gate, waits = Gate(first_s=1.0, cap_s=30.0), []
    for _ in range(8):
        before = gate.until
        gate.refuse("BadCredentials", "no", now=before, began=LAST)
        waits.append(gate.until - before)
        gate.enter(0.0)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_the_refusals_of_one_volley_count_once() -> None:
    """Sixty-four GETs in flight, refused together, would close a bucket for its longest time."""
    gate = Gate(first_s=1.0, cap_s=30.0)
    for _ in range(64):
        gate.refuse("BadCredentials", "no", now=0.5, began=LAST)
    assert (gate.until, gate.refusals) == (1.5, 1)


def test_an_acceptance_opens_it_and_forgets_the_past() -> None:
    """After a repaired credential the next hiccup would cost half a minute."""
    gate = refused(times=5)
    gate.enter(0.0)
    assert gate.accept()
    assert gate.is_open
    assert gate.may_pass(0.0)
    assert not gate.accept()
    gate.refuse("BadCredentials", "again", now=100.0, began=LAST)
    assert gate.until == 101.0


# -- failures, which may be the request's own -------------------------------------------------


def failed(times: int) -> Gate:
    gate = Gate(first_s=1.0, cap_s=30.0)
    for number in range(times):
        gate.fail("StoreError", "500", now=float(number), began=LAST)
    return gate


def test_a_few_failures_leave_it_open() -> None:
    """One broken object would hold back a whole bucket."""
    assert failed(FAILURES_MAX - 1).may_pass(100.0)


def test_so_many_failures_in_a_row_close_it() -> None:
    """An outage would be met with a request for each of a million jobs."""
    gate = failed(FAILURES_MAX)
    assert (gate.code, gate.detail) == ("StoreError", "500")
    assert gate.until == FAILURES_MAX - 1 + 1.0
    assert not gate.may_pass(gate.until - 0.001)
    assert gate.may_pass(gate.until)


def test_failures_count_in_a_row_only() -> None:
    """A busy bucket with one broken object in a thousand would close every few minutes."""
    gate = Gate()
    for _ in range(100):
        for _ in range(FAILURES_MAX - 1):
            gate.fail("StoreError", "500", now=0.0, began=LAST)
        assert gate.is_open
        gate.accept()


def test_a_probe_that_fails_closes_it_longer_at_once() -> None:
    """Each probe of an outage would let five more requests through."""
    gate = failed(FAILURES_MAX)
    waits = []
    for _ in range(7):
        now = gate.until
        assert gate.may_pass(now)
        gate.enter(0.0)
        gate.fail("StoreError", "500", now, began=LAST)
        waits.append(gate.until - now)
    assert waits == [2, 4, 8, 16, 30, 30, 30]
    assert gate.accept()
    gate.fail("StoreError", "500", now=1000.0, began=LAST)
    assert gate.is_open


def test_the_failures_of_one_volley_close_it_once() -> None:
    """Sixty-four GETs in flight at the start of an outage would close it for its longest time."""
    gate = Gate(first_s=1.0, cap_s=30.0)
    for _ in range(64):
        gate.fail("StoreError", "500", now=0.5, began=LAST)
    assert (gate.until, gate.refusals) == (1.5, 1)


def test_it_counts_what_worked() -> None:
    """Whether a job or its bucket is broken could not be told: good jobs fail in an outage, or a
    broken one is tried for ever."""
    gate = Gate()
    for number in range(3):
        assert gate.served == number
        gate.accept()
        gate.fail("StoreError", "500", now=0.0, began=LAST)
        gate.refuse("BadCredentials", "no", now=0.0, began=LAST)
        gate.leave(began=LAST)
    assert gate.served == 3


@given(st.lists(STEP, max_size=60))
def test_a_closed_gate_never_passes_early_and_never_for_good(
    steps: list[tuple[str, float]],
) -> None:
    """Some order of answers would let a crowd through, or close the gate until a restart."""
    gate, now = Gate(first_s=1.0, cap_s=30.0), 0.0
    for verb, step in steps:
        now += step
        match verb:
            case "pass" if gate.may_pass(now):
                assert gate.is_open or (now >= gate.until and not gate.probing)
                gate.enter(0.0)
            case "refuse":
                gate.refuse("BadCredentials", "no", now, began=LAST)
                assert not gate.may_pass(now)
            case "fail":
                was_open = gate.is_open
                gate.fail("StoreError", "500", now, began=LAST)
                assert gate.is_open == (was_open and gate.failures < FAILURES_MAX)
                assert gate.is_open or not gate.may_pass(now)
            case "accept":
                gate.accept()
            case "leave":
                gate.leave(began=LAST)
        assert gate.until - now <= gate.cap_s + 1e-6
        assert gate.probing or gate.may_pass(now + gate.cap_s + 1e-6)
