"""A scope: whether a flood is the chat's or the bot's, found by one probe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.scope import Scope

STEP = st.tuples(
    st.sampled_from(["begin", "accepted", "failed", "flooded"]),
    st.integers(0, 9),
    st.floats(0, 60),
)


def in_doubt(until: float = 30.0) -> Scope:
    """A chat of its bot was flooded; there are others."""
    scope = Scope()
    scope.flooded(until, is_probe=False, has_others=True)
    return scope


def test_nobody_waits_for_anybody_while_there_was_no_flood() -> None:
    """A bot would send one upload at a time for ever."""
    scope = Scope()
    for _ in range(5):
        assert scope.may_pass(0.0)
        assert not scope.enter()


def test_after_a_flood_one_upload_goes_and_no_more() -> None:
    """All chats of a punished bot would be sent to, and each earn a longer pause."""
    scope = in_doubt()
    assert scope.may_pass(0.0)
    assert scope.enter()
    assert not scope.may_pass(0.0)
    assert not scope.may_pass(1e9)


def test_a_probe_that_is_accepted_frees_the_others() -> None:
    """One punished chat would slow its whole bot down."""
    scope = in_doubt()
    scope.enter()
    scope.answered(is_probe=True, accepted=True)
    assert scope.may_pass(0.0)
    assert not scope.enter()


@pytest.mark.parametrize(("chat_until", "probe_until"), [(30.0, 31.0), (60.0, 10.0)])
def test_a_probe_that_is_refused_pauses_the_bot_until_both_are_over(
    chat_until: float, probe_until: float
) -> None:
    """The bot would fire into the longer of the two, and be banned for longer."""
    scope = in_doubt(chat_until)
    scope.enter()
    scope.flooded(probe_until, is_probe=True, has_others=True)
    over = max(chat_until, probe_until)
    assert not scope.may_pass(over - 0.001)
    assert scope.may_pass(over)


def test_after_a_pause_of_the_bot_it_probes_again() -> None:
    """All chats at once would find out that the flood goes on."""
    scope = in_doubt()
    scope.enter()
    scope.flooded(40.0, is_probe=True, has_others=True)
    assert scope.may_pass(40.0)
    assert scope.enter()
    assert not scope.may_pass(40.0)
    scope.answered(is_probe=True, accepted=True)
    assert scope.may_pass(40.0)
    assert not scope.enter()


def test_a_flood_of_the_past_is_forgotten() -> None:
    """Hours after a long pause of one chat the bot would be paused for what is over."""
    scope = in_doubt(3600.0)
    scope.enter()
    scope.answered(is_probe=True, accepted=True)
    scope.flooded(30.0, is_probe=False, has_others=True)
    scope.enter()
    scope.flooded(31.0, is_probe=True, has_others=True)
    assert scope.may_pass(31.0)


def test_a_bot_with_one_chat_has_nothing_to_find_out() -> None:
    """It would crawl, one upload at a time, after every flood."""
    scope = Scope()
    scope.flooded(30.0, is_probe=False, has_others=False)
    assert scope.may_pass(0.0)
    assert not scope.enter()


def test_a_probe_that_tells_nothing_makes_room_for_another() -> None:
    """A child that dies with the probe would stop its bot for good."""
    scope = in_doubt()
    scope.enter()
    scope.answered(is_probe=True, accepted=False)
    assert scope.may_pass(0.0)
    assert scope.enter(), "still in doubt"


def test_what_had_begun_before_the_flood_says_nothing() -> None:
    """An upload that was let through before would be taken for the all-clear."""
    scope = in_doubt()
    scope.enter()
    scope.answered(is_probe=False, accepted=True)
    scope.answered(is_probe=False, accepted=False)
    scope.flooded(50.0, is_probe=False, has_others=True)
    assert not scope.may_pass(0.0)
    scope.answered(is_probe=True, accepted=False)
    assert scope.enter(), "still in doubt"


@given(st.lists(STEP, max_size=60))
def test_in_doubt_there_is_one_probe_at_a_time_and_never_none_for_good(
    steps: list[tuple[str, int, float]],
) -> None:
    """Some order of answers would let a crowd through, or stop the bot until a restart."""
    scope, now = Scope(), 0.0
    flying: list[bool] = []  # uploads in flight: whether each is a probe
    for what, which, seconds in steps:
        now += seconds / 10
        if what == "begin":
            if scope.may_pass(now):
                assert now >= scope.until
                flying.append(scope.enter())
        elif flying:
            is_probe = flying.pop(which % len(flying))
            if what == "flooded":
                scope.flooded(now + seconds, is_probe=is_probe, has_others=True)
                assert scope.in_doubt
                assert not is_probe or not scope.may_pass(now + seconds - 0.001)
            else:
                scope.answered(is_probe=is_probe, accepted=what == "accepted")
        assert flying.count(True) <= 1
        assert scope.probing == (True in flying)
        assert scope.probing or scope.may_pass(max(now, scope.until))
        assert scope.until <= now + 60
