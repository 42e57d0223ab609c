"""A governor: finds the rate that a chat is permitted, from how Telegram answers."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.governor import CEILING, FLOOR, PATIENCE_S_MAX, SOON_S, Governor
from prewarmd.core.lanes import LimitPolicy
from prewarmd.sandbox.flood import Flood, Send
from prewarmd.sandbox.flood_policy import FloodPolicy

USUAL_S, LATE_S = 0.3, 3.0
PHOTO_BYTES = 100_000
Answer = float | Callable[[float], float]
"""Seconds from the last byte to the answer; may depend on when the send began."""


class Chat:
    """One that always has more to send than its pace permits."""

    def __init__(self, kind: str = "private", limits: LimitPolicy | None = None) -> None:
        self.governor = Governor((limits or LimitPolicy()).pace(kind))
        self.pace = self.governor.pace
        self.now = 1000.0
        self.history: list[tuple[float, float]] = [(self.now, 1.0)]
        """(time, factor) of each change."""
        self._flying: list[tuple[float, float, float]] = []

    @property
    def factor(self) -> float:
        return self.pace.factor

    def run(
        self, seconds: float, answer_s: Answer = USUAL_S, *, size_bytes: int = PHOTO_BYTES,
        least_gap_s: float = 0.0,
    ) -> None:  # fmt: skip
        """Send as fast as may be for so long (but never two within `least_gap_s`), and hear every
        answer that comes meanwhile."""
        end, free_at = self.now + seconds, self.now
        while True:
            sent = max(self.pace.next_at, free_at)
            if self._flying and self._flying[0][0] <= min(sent, end):
                self.now, began, taken_s = heappop(self._flying)
                self.governor.answered(began, taken_s, size_bytes, self.now)
                if self.factor != self.history[-1][1]:
                    self.history.append((self.now, self.factor))
                continue
            if sent > end:
                self.now = end
                return
            self.now, free_at = sent, sent + least_gap_s
            self.pace.spend(sent)
            taken_s = answer_s(sent) if callable(answer_s) else answer_s
            heappush(self._flying, (sent + taken_s, sent, taken_s))

    def hear(self, answer_s: float, *, began: float | None = None) -> bool:
        """One answer, now; whether the rate went down."""
        began = self.now if began is None else began
        return self.governor.answered(began, answer_s, PHOTO_BYTES, self.now)

    def hear_late(self, answers: int = 3) -> bool:
        """So many late answers in a row, to sends that begin now; whether the rate went down."""
        self.now += 1.0
        return [self.hear(USUAL_S + LATE_S) for _ in range(answers)][-1]


def usual(kind: str = "private", limits: LimitPolicy | None = None) -> Chat:
    """A chat whose usual answers are known."""
    chat = Chat(kind, limits)
    chat.hear(USUAL_S)
    return chat


def stepped() -> Chat:
    """A chat that has just been sped up for the first time."""
    chat = Chat()
    while chat.factor == 1.0:
        chat.run(1.0)
    return chat


# -- faster --------------------------------------------------------------------------------------


def test_clean_answers_speed_it_up_step_by_step() -> None:
    """What Telegram permits beyond its documentation would never be used."""
    chat = Chat()
    chat.run(19.0)
    assert chat.factor == 1.0, "too soon to tell"
    chat.run(4.0)
    assert chat.factor == pytest.approx(1.05)
    chat.run(45.0)
    assert [factor for _, factor in chat.history] == pytest.approx([1.0, 1.05, 1.1, 1.15])
    times = [at for at, _ in chat.history]
    assert all(after - before >= 20.0 for before, after in pairwise(times))


def test_a_chat_that_is_not_used_up_tells_nothing() -> None:
    """An idle hour would be taken for a licence, and the next rush be a flood."""
    chat = Chat()
    chat.run(3600.0, least_gap_s=5.0)
    assert chat.factor == 1.0


def test_a_few_answers_are_too_few() -> None:
    """A slow chat would be sped up by every answer."""
    chat = Chat(limits=LimitPolicy(private_per_s=0.1, private_burst=1))
    chat.run(39.0)
    assert chat.factor == 1.0
    chat.run(30.0)
    assert chat.factor == pytest.approx(1.05)


def test_a_pace_with_a_window_waits_for_its_window() -> None:
    """What a window thinks of a faster rate shows when it is over: by then the chat would have
    been sped up three times."""
    chat = Chat("channel")
    chat.run(60.0)
    assert chat.factor == 1.0
    chat.run(5.0)
    assert chat.factor == pytest.approx(1.05)
    slow = Chat("channel")
    slow.pace.scale(0.5)
    slow.run(120.0)
    assert slow.factor == 0.5


def test_it_goes_no_faster_than_the_ceiling() -> None:
    """A server that answers everything would be sent to without any limit of ours."""
    chat = Chat()
    chat.run(3600.0)
    assert chat.factor == CEILING


# -- late answers --------------------------------------------------------------------------------


def test_one_slow_answer_changes_nothing() -> None:
    """Every hiccup of a network would slow a chat down for a minute."""
    chat = usual()
    assert not chat.hear_late(1)
    assert not chat.hear_late(1)
    chat.hear(USUAL_S)
    assert not chat.hear_late(2), "not in a row"
    assert chat.factor == 1.0


def test_late_answers_in_a_row_slow_it_down_gently() -> None:
    """Telegram answers late before it answers 429; unheard, the chat would run into the flood."""
    chat = usual()
    assert chat.hear_late(3)
    assert chat.factor == pytest.approx(0.95)


def test_a_very_late_answer_is_enough() -> None:
    """The absorbed waits would add up to a flood while two more are awaited."""
    chat = usual()
    assert chat.hear(USUAL_S + 4.0)
    assert chat.factor == pytest.approx(0.95)


def test_what_was_sent_too_early_is_waited_for() -> None:
    """The delay would stay and every answer be late, at whatever rate."""
    chat = usual()
    chat.hear(USUAL_S + 6.0)
    assert chat.pace.next_at == pytest.approx(chat.now + 6.0, abs=0.1)


def test_late_again_soon_it_slows_down_more_firmly() -> None:
    """Gentle steps would take minutes to get below what is permitted."""
    chat = usual()
    chat.hear_late()
    chat.now += SOON_S - 2.0
    chat.hear_late()
    assert chat.factor == pytest.approx(0.95 * 0.85)
    chat.now += SOON_S
    chat.hear_late()
    assert chat.factor == pytest.approx(0.95 * 0.85 * 0.95), "soon is over"


def test_late_answers_after_a_step_take_it_back() -> None:
    """It would go below a rate that has proved to be good."""
    chat = stepped()
    assert chat.hear_late()
    assert chat.factor == 1.0
    assert chat.hear_late()
    assert chat.factor == pytest.approx(0.85), "that rate is not good any more, either"


def test_a_step_that_is_taken_back_again_and_again_is_tried_more_and_more_rarely() -> None:
    """A chat at its limit would spend every other minute beyond it."""
    chat = Chat()

    def permits_what_is_documented(began: float) -> float:
        return USUAL_S + (LATE_S if chat.factor > 1.0 else 0.0)

    chat.run(2 * 3600.0, permits_what_is_documented)
    raised = [at for at, factor in chat.history if factor > 1.0]
    lowered = [at for at, factor in chat.history[1:] if factor == 1.0]
    assert len({factor for _, factor in chat.history}) == 2
    pauses = [up - down for up, down in zip(raised[1:], lowered, strict=False)]
    for patience_s, pause_s in zip([60, 120, 240, 480, 960], pauses, strict=False):
        assert patience_s <= pause_s < patience_s + 5
    assert len(pauses) > 5
    assert all(PATIENCE_S_MAX <= pause_s < PATIENCE_S_MAX + 5 for pause_s in pauses[5:])


def test_late_answers_to_sends_of_before_are_the_same_event() -> None:
    """Ten uploads in flight would slow their chat down ten times over."""
    chat = usual()
    began = chat.now
    chat.hear_late()
    chat.now += 0.1
    assert not any(chat.hear(USUAL_S + 7.0, began=began) for _ in range(10))
    assert chat.factor == pytest.approx(0.95)


@pytest.mark.parametrize("excess_s", [1.4, 2.5])
def test_now_and_then_an_answer_that_is_not_clean_holds_it_where_it_is(excess_s: float) -> None:
    """It would be sped up into a limit that begins to show."""
    chat = usual()
    chat.run(10.0)
    chat.run(60.0, lambda began: USUAL_S + (excess_s if began % 4 < 1 else 0.0))
    assert chat.factor == 1.0


# -- what is late --------------------------------------------------------------------------------


def test_a_network_that_is_always_slow_is_no_flood() -> None:
    """Who is far from Telegram would crawl at a tenth of the rate."""
    chat = Chat()
    chat.run(600.0, 4.0)
    assert chat.factor > 1.0
    assert len(chat.history) > 10
    assert chat.history == sorted(chat.history, key=lambda change: change[1])


def test_a_network_that_becomes_slower_bit_by_bit_is_no_flood() -> None:
    """The evening's traffic would slow all chats down."""
    chat = Chat()
    chat.run(3600.0, lambda began: USUAL_S + (began - 1000.0) / 1800)
    assert chat.history == sorted(chat.history, key=lambda change: change[1])
    assert chat.factor > 1.0


@pytest.mark.parametrize("slower_s", [2.5, 4.0, 8.0])
def test_a_telegram_that_becomes_slower_for_good_is_no_flood_for_good(slower_s: float) -> None:
    """Answers that are late whatever the rate would keep a chat at a tenth of it for hours."""
    chat = Chat()
    chat.run(15.0)
    chat.run(1200.0, USUAL_S + slower_s)
    assert chat.factor > 1.0
    assert min(factor for _, factor in chat.history) > 0.4, "no longer than it takes to see"


def test_one_slow_beginning_does_not_hide_what_is_late() -> None:
    """After one slow answer at the start every delay would look usual."""
    chat = Chat()
    chat.hear(8.0)
    chat.hear(USUAL_S)
    assert chat.hear_late(3)


def test_large_files_may_take_their_time() -> None:
    """Telegram works on a video for seconds: a bot of videos would slow itself down to nothing."""
    chat = usual()
    chat.run(300.0, 15.0, size_bytes=40_000_000)
    assert chat.factor >= 1.0
    small = usual()
    small.run(30.0, 15.0)
    assert small.factor < 1.0


# -- 429 -----------------------------------------------------------------------------------------


def test_a_flood_slows_it_down_hard() -> None:
    """The next minute would end in the same flood."""
    chat = usual()
    chat.now += 1.0
    assert chat.governor.flooded(chat.now - 0.5, chat.now)
    assert chat.factor == pytest.approx(0.7)


def test_the_429s_of_one_flood_are_one_event() -> None:
    """Ten uploads in flight would leave a chat at its floor for half an hour."""
    chat = usual()
    began = [chat.now + number / 10 for number in range(10)]
    chat.now += 2.0
    floods = [chat.governor.flooded(at, chat.now + at - began[0]) for at in began]
    assert floods == [True] + [False] * 9
    assert not chat.hear(USUAL_S + 7.0, began=began[9])
    assert chat.factor == pytest.approx(0.7)


def test_a_429_after_that_is_another_flood() -> None:
    """A chat that still is too fast would be left so."""
    chat = usual()
    chat.governor.flooded(chat.now, chat.now)
    chat.now += 30.0
    assert chat.governor.flooded(chat.now, chat.now + 1.0)
    assert chat.factor == pytest.approx(0.49)


def test_a_flood_is_hard_whatever_came_before() -> None:
    """Taking back the last step is not enough once Telegram says 429."""
    chat = stepped()
    before = chat.factor
    chat.governor.flooded(chat.now, chat.now)
    assert chat.factor == pytest.approx(before * 0.7)
    chat.now += 1.0
    chat.hear_late()
    assert chat.factor == pytest.approx(before * 0.7 * 0.85), "the old rate is not proven any more"


def test_a_flood_ends_the_patience_that_was_for_another_rate() -> None:
    """A chat that had been at its limit would stay a third below it for a quarter of an hour."""
    chat = Chat()
    chat.run(1200.0, lambda began: USUAL_S + (LATE_S if chat.factor > 1.0 else 0.0))
    assert chat.factor == 1.0
    assert chat.governor.patience_s >= 480.0
    chat.governor.flooded(chat.now, chat.now)
    chat.run(60.0)
    assert chat.factor > 0.75
    chat.hear_late()
    before = chat.factor
    chat.run(80.0)
    assert chat.factor > before, "and patience begins anew"


def test_after_a_flood_it_finds_its_way_back() -> None:
    """One bad moment would cost a chat a third of its rate for good."""
    chat = Chat()
    chat.run(10.0)
    chat.governor.flooded(chat.now, chat.now)
    chat.run(19.0)
    assert chat.factor == pytest.approx(0.7)
    chat.run(200.0)
    assert chat.factor >= 1.0


def test_it_goes_no_slower_than_the_floor() -> None:
    """A chat would stop for good after a bad day."""
    chat = usual()
    for _ in range(30):
        chat.now += 100.0
        chat.governor.flooded(chat.now, chat.now)
        chat.now += 100.0
        chat.hear_late()
    assert chat.factor == FLOOR
    assert chat.pace.next_at <= chat.now + 60.0


# -- no pace, and any ----------------------------------------------------------------------------


def test_a_chat_without_a_pace_never_changes() -> None:
    """A local server's chats would be remembered as a tenth as fast, and start so once they are
    paced again."""
    chat = Chat(limits=LimitPolicy(paced=False))
    for _ in range(20):
        chat.now += 10.0
        assert not chat.hear(USUAL_S)
        assert not chat.hear(30.0), "nothing to be written down"
        chat.governor.flooded(chat.now, chat.now)
    assert chat.factor == 1.0
    assert chat.pace.next_at == 0.0


def test_the_429s_of_one_flood_are_one_event_without_a_pace_too() -> None:
    """Each of them would set out to find whose flood it is."""
    chat = Chat(limits=LimitPolicy(paced=False))
    assert chat.governor.flooded(chat.now, chat.now + 1.0)
    assert not chat.governor.flooded(chat.now + 0.5, chat.now + 1.1)


STEPS = st.lists(
    st.tuples(st.sampled_from(["answer", "late", "flood"]), st.floats(0, 30), st.floats(0, 9)),
    max_size=80,
)


@given(st.sampled_from(["private", "channel"]), STEPS)
def test_it_stays_between_floor_and_ceiling_and_goes_down_once_per_event(
    kind: str, steps: list[tuple[str, float, float]]
) -> None:
    """Some order of answers would stop a chat, or let it go without bound."""
    chat = usual(kind)
    decreased_at = float("-inf")
    for what, wait_s, ago_s in steps:
        chat.now += wait_s
        began, before = chat.now - ago_s, chat.factor
        if what == "flood":
            down = chat.governor.flooded(began, chat.now)
            assert down == (began >= decreased_at)
        else:
            down = chat.hear(USUAL_S if what == "answer" else USUAL_S + ago_s, began=began)
        if down:
            assert began >= decreased_at
            assert chat.factor < before or before == FLOOR
            decreased_at = chat.now
        else:
            assert before <= chat.factor <= before + 0.05 + 1e-9
        assert FLOOR <= chat.factor <= CEILING


@given(st.floats(0.6, 1.6), st.integers(-3, 3))
def test_it_finds_what_the_model_permits(factor: float, which: int) -> None:
    """A Telegram that permits less or more than it documents would be met with 429s for ever, or
    with half of what it takes."""
    chat = Chat("private" if which >= 0 else "channel")
    flood = Flood(FloodPolicy(rate_factor=factor))
    send = Send("alpha", which, PHOTO_BYTES)

    def answer_s(began: float) -> float:
        ticket = flood.arrive(send, began)
        assert ticket.verdict is not None
        if ticket.verdict.retry_after_s:
            chat.governor.flooded(began, began)
            chat.pace.hold_back(ticket.verdict.retry_after_s, began)
        flood.depart(ticket, began)
        return USUAL_S + ticket.verdict.at - began

    chat.run(300.0, answer_s)
    before, floods = flood.tally.delivered, flood.tally.floods
    chat.run(600.0, answer_s)
    permitted = factor * (600 if which >= 0 else 200)
    assert flood.tally.delivered - before >= 0.85 * permitted
    assert flood.tally.floods == floods, "found, and lost again"
    assert flood.tally.violations == 0
