"""The flood model of Telegram: what it lets through, when, and what it holds against a client."""

from dataclasses import replace
from heapq import heappop, heappush

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.sandbox.flood import NOBODY_HEARS, Flood, FloodPolicy, Send, Shape, Ticket, Verdict
from prewarmd.sandbox.flood_pace import SameSize
from prewarmd.worker.answers import Refused, classify

PRIVATE, CHANNEL = 7, -1007
POLICY = FloodPolicy()
UNBOUND = replace(POLICY, private_per_s=1e9, bot_per_s=10**6, private_burst=10**6)
"""No rates: what is left are chain and guards."""
POLICIES = st.builds(
    FloodPolicy,
    rate_factor=st.sampled_from([0.7, 1.0, 1.3]),
    private_per_s=st.sampled_from([1.0, 1.0, 20.0]),
    private_burst=st.integers(1, 4),
    group_sends=st.integers(4, 20),
    group_strict=st.booleans(),
    bot_per_s=st.integers(4, 30),
    wait_step_s=st.sampled_from([0.0, 1.0]),
    chain_max=st.integers(1, 10),
    disguised_every=st.integers(0, 3),
    hosted=st.booleans(),
)
SENDS = st.builds(
    Send,
    st.sampled_from(["alpha", "beta"]),
    st.sampled_from([1, 2, -1, -2]),
    st.sampled_from([1_000, 200_000, 20_000_000]),
    st.sampled_from([1, 1, 1, 4]),
    st.booleans(),
)
GAPS = st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.3, 0.7, 1.0, 7.0, 31.0])
PLANS = st.integers(0, 80).flatmap(
    lambda count: st.lists(st.tuples(GAPS, SENDS), min_size=count, max_size=count)
)
"""Each with the time since the one before."""


def drive(
    flood: Flood, plan: list[tuple[float, Send]], *, latency_s: float = 0.0, polite: bool = False
) -> list[Ticket]:
    """Send by plan, depart when due and `latency_s` later; `polite`: wait as told, per chat."""
    tickets: list[Ticket] = []
    calendar: list[tuple[float, int, Send | Ticket]] = []
    told: dict[tuple[int | str, int], float] = {}
    at = 0.0
    for number, (gap_s, send) in enumerate(plan):
        at += gap_s
        heappush(calendar, (at, number, send))
    number = len(plan)
    while calendar:
        now, _, what = heappop(calendar)
        judged: list[Ticket] = []
        if isinstance(what, Send):
            clear_at = told.get((what.bot, what.chat_id), 0.0)
            if polite and now < clear_at:
                number += 1
                heappush(calendar, (clear_at, number, what))
                continue
            tickets.append(flood.arrive(what, now))
            judged = tickets[-1:] if tickets[-1].verdict else []
        else:
            judged += flood.depart(what, now)
            assert what.verdict is not None
            chat = what.send.bot, what.send.chat_id
            told[chat] = max(told.get(chat, 0.0), now + what.verdict.retry_after_s)
        for ticket in judged:
            assert ticket.verdict is not None
            number += 1
            heappush(calendar, (max(now, ticket.verdict.at) + latency_s, number, ticket))
        flood.check()
    return tickets


def burst(count: int, chat_id: int = PRIVATE, bot: str = "alpha") -> list[tuple[float, Send]]:
    return [(0.0, Send(bot, chat_id))] * count


def verdicts(tickets: list[Ticket]) -> list[Verdict]:
    assert all(ticket.verdict for ticket in tickets)
    return [ticket.verdict for ticket in tickets if ticket.verdict]


def times(tickets: list[Ticket], shape: Shape = Shape.DELIVERED) -> list[float]:
    return [verdict.at for verdict in verdicts(tickets) if verdict.shape is shape]


def assert_within(policy: FloodPolicy, chat_id: int | None, at: list[float], late_s: float) -> None:
    """No stretch of these deliveries beats the meter in the same time and `late_s` more."""
    for first, begin in enumerate(at):
        for last in range(first, len(at)):
            assert last - first < policy.permitted(chat_id, at[last] - begin + late_s)


def fill(flood: Flood, chat_id: int = PRIVATE, now: float = 0.0) -> Ticket:
    """Send to a chat until it floods: the ticket of the 429, not departed."""
    while True:
        ticket = flood.arrive(Send("alpha", chat_id), now)
        assert ticket.verdict is not None
        if ticket.verdict.shape is not Shape.DELIVERED:
            return ticket
        flood.depart(ticket, now)


# -- the meters and what is absorbed ---------------------------------------------------------------


def test_a_private_chat_has_a_burst_and_then_one_a_second() -> None:
    """A scheduler that keeps to the documented rate would be punished for it, or never be."""
    tickets = drive(Flood(), burst(11))
    assert times(tickets) == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_channel_takes_twenty_in_any_minute() -> None:
    """A limiter that lets 39 through in its first minute would look right here and fail there."""
    flood = Flood()
    early = drive(flood, burst(20, CHANNEL))
    late = flood.arrive(Send("alpha", CHANNEL), 18.0)
    assert times(early) == [0.0] * 20
    assert late.verdict == Verdict(18.0, Shape.PLAIN, 42)
    flood.depart(late, 18.0)
    assert len(times(drive(flood, [(60.0, Send("alpha", CHANNEL)), *burst(19, CHANNEL)]))) == 20


def test_a_channel_may_be_read_as_a_bucket() -> None:
    """Nobody knows which it is; a scheduler is to be tried under both."""
    tickets = drive(Flood(replace(POLICY, group_strict=False)), burst(22, CHANNEL))
    assert times(tickets)[-3:] == [0, 3, 6]


def test_a_bot_takes_thirty_a_second_over_all_its_chats() -> None:
    """Many warm-up chats would together have no limit, and another bot's load would count."""
    flood = Flood()
    plan = [step for chat in range(1, 42) for step in burst(1, chat)]
    assert times(drive(flood, plan)) == [0.0] * 30 + [1.0] * 11
    assert times(drive(flood, [(1.5, Send("beta", 1))])) == [1.5]


def test_a_bot_that_is_far_too_fast_is_paused_as_a_whole() -> None:
    """The flood a bot's own rate earns would be taken for one chat's."""
    flood = Flood()
    plan = [(0.0, Send("alpha", chat, is_upload=False)) for chat in range(1, 301)]
    refused = [v for v in verdicts(drive(flood, plan, latency_s=0.1)) if v.retry_after_s]
    assert flood.tally.delivered == 30 * 9
    assert {(v.shape, v.retry_after_s) for v in refused} == {(Shape.PLAIN, 9)}
    assert (flood.tally.floods, flood.tally.violations, flood.tally.probes) == (1, 0, 0)


def test_waits_come_in_whole_seconds() -> None:
    """The first sign of congestion, a latency that jumps by seconds, could not be practised on."""
    for step_s, late_at in ((1.0, 1.0), (0.0, 0.5)):
        flood = Flood(replace(POLICY, wait_step_s=step_s, private_per_s=2.0))
        assert times(drive(flood, burst(4)))[-1] == late_at


def test_nobody_overtakes_in_a_chat() -> None:
    """A message would appear before one that was sent earlier."""
    flood = Flood(replace(POLICY, private_per_s=10.0))
    assert times(drive(flood, [*burst(4), (0.6, Send("alpha", PRIVATE))])) == [0, 0, 0, 1, 1]


def test_an_album_costs_as_many_messages_as_it_has_items() -> None:
    """Albums would look ten times as fast as they are."""
    flood = Flood()
    tickets = drive(flood, [(0.0, Send("alpha", PRIVATE, items=10)), *burst(1)])
    assert times(tickets) == [7, 8]
    assert flood.chat("alpha", PRIVATE).delivered == 11
    albums = [(0.0, Send("alpha", chat_id, items=10)) for chat_id in (-1, -2, -3, -4)]
    assert times(drive(Flood(), albums)) == [0, 0, 0, 1]


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("chat_id", [PRIVATE, CHANNEL])
@pytest.mark.parametrize("strict", [True, False])
def test_the_permitted_number_is_what_a_greedy_client_gets(
    factor: float, chat_id: int, strict: bool
) -> None:
    """The figure "use of the permitted rate" would be of something else."""
    policy = FloodPolicy(
        rate_factor=factor, group_strict=strict, wait_step_s=0.0, absorb_s=1e9, unsent_max=10**6,
        hosted=False,
    )  # fmt: skip
    for duration_s in (0.0, 59.9, 300.0):
        tickets = drive(Flood(policy), burst(500, chat_id))
        got = sum(at <= duration_s + 1e-6 for at in times(tickets))
        assert got == policy.permitted(chat_id, duration_s)
    assert policy.permitted(None, 10.0) == 30 * (1 + int(10 * factor))


def test_limits_that_permit_nothing_are_refused() -> None:
    """A run would stand still without a word."""
    with pytest.raises(ValueError, match="above 0"):
        FloodPolicy(rate_factor=0.0)


# -- the chain -------------------------------------------------------------------------------------


def test_ten_of_a_chat_are_worked_on_and_the_rest_queue_in_order() -> None:
    """More in flight per chat would look faster than ten."""
    flood = Flood(UNBOUND)
    tickets = [flood.arrive(Send("alpha", PRIVATE), 0.0) for _ in range(13)]
    assert [ticket.verdict is None for ticket in tickets] == [False] * 10 + [True] * 3
    assert list(flood.depart(tickets[4], 2.0)) == [tickets[10]]
    assert tickets[10].verdict == Verdict(2.0)
    assert flood.arrive(Send("alpha", PRIVATE + 1), 2.0).verdict == Verdict(2.0)


def test_a_queue_behind_slow_uploads_is_no_flood() -> None:
    """A chat with slow uploads would be refused though it keeps to its rate."""
    flood = Flood()
    plan = [(1.0, Send("alpha", PRIVATE))] * 40
    assert len(times(drive(flood, plan, latency_s=30.0))) == 40
    assert flood.tally.floods == 0


def test_one_flood_fails_the_whole_queue_alike() -> None:
    """N answers of one event would be taken for N events."""
    flood = Flood()
    tickets = drive(flood, burst(60), latency_s=0.5)
    refused = [v for v in verdicts(tickets) if v.shape is Shape.PLAIN]
    assert refused == [Verdict(0.5, Shape.PLAIN, 8)] * (60 - len(times(tickets)))
    assert [ticket.verdict for ticket in tickets[-len(refused) :]] == refused
    assert (flood.tally.floods, flood.tally.violations) == (1, 0)


def test_waits_are_handed_on_to_those_behind() -> None:
    """Each would count its own wait alone, and a queue of any length be absorbed."""
    flood = Flood(replace(POLICY, private_burst=1, chain_max=2))
    for start in (0.0, 100.0):
        tickets = drive(flood, [(start, Send("alpha", PRIVATE)), *burst(11)])
        assert times(tickets) == [start + n for n in range(9)]
        assert verdicts(tickets)[9:] == [Verdict(start + 7, Shape.PLAIN, 2)] * 3


def test_a_send_may_be_withdrawn_while_it_queues() -> None:
    """A client that gave up would still be delivered to, or block those behind it."""
    flood = Flood(UNBOUND)
    tickets = [flood.arrive(Send("alpha", PRIVATE), 0.0) for _ in range(12)]
    assert list(flood.depart(tickets[10], 1.0)) == []
    assert list(flood.depart(tickets[0], 1.0)) == [tickets[11]]
    flood.check()


# -- pauses ----------------------------------------------------------------------------------------


def test_a_send_inside_a_pause_is_a_violation_and_makes_it_longer() -> None:
    """A client that hammers a paused chat would go unseen."""
    flood = Flood()
    refused = fill(flood)
    assert refused.verdict == Verdict(0.0, Shape.PLAIN, 9)
    flood.depart(refused, 0.0)
    waits = []
    for now in (8.0, 8.5, 12.0, 100.0):
        ticket = flood.arrive(Send("alpha", PRIVATE), now)
        flood.depart(ticket, now)
        waits.append(ticket.verdict and ticket.verdict.retry_after_s)
    assert waits == [14, 21, 31, 0]
    assert flood.chat("alpha", PRIVATE).violations == flood.tally.violations == 3
    assert flood.forget_idle(200.0) == 1
    flood.check()


def test_a_pause_that_is_waited_out_costs_nothing() -> None:
    """The client would be called rude for sending in the very moment it was told."""
    flood = Flood()
    flood.depart(fill(flood, now=0.1), 0.1)
    assert flood.arrive(Send("alpha", PRIVATE), 0.1 + 9).verdict == Verdict(0.1 + 9)
    assert flood.tally.violations == 0


def test_an_answer_on_its_way_is_not_ignored_yet() -> None:
    """Over a real connection a client would be blamed for what crossed the 429; and one that waits
    as long as it was told, from the earliest it can have heard, for another flood's pause."""
    flood = Flood(replace(POLICY, hearing_s=0.25))
    flood.depart(fill(flood), 0.0)
    waits = []
    for now in (0.2, 0.3):
        ticket = flood.arrive(Send("alpha", PRIVATE), now)
        waits.append(ticket.verdict and ticket.verdict.retry_after_s)
        assert flood.tally.violations == len(waits) - 1
    assert waits == [9, 14]
    flood.begin_flood("alpha", PRIVATE, 9.0, 5.0)
    assert flood.arrive(Send("alpha", PRIVATE), 9.1).verdict == Verdict(9.1, Shape.PLAIN, 5)
    assert flood.tally.violations == 1


def test_what_was_under_way_when_the_answer_came_is_no_violation() -> None:
    """No client with two uploads at once could ever be found without fault."""
    flood = Flood()
    refused = fill(flood)
    sibling = flood.arrive(Send("alpha", PRIVATE), 0.2)
    flood.depart(refused, 0.3, heard_at=0.5)
    unheard = flood.arrive(Send("alpha", PRIVATE), 0.4)
    begun_before = flood.arrive(Send("alpha", PRIVATE), 3.0, began=0.4)
    waits = [t.verdict and t.verdict.retry_after_s for t in (sibling, unheard, begun_before)]
    assert waits == [9, 9, 6]
    assert (flood.tally.floods, flood.tally.violations) == (1, 0)
    flood.depart(sibling, 3.0, heard_at=3.2)
    flood.depart(begun_before, 3.0, heard_at=3.1)
    flood.arrive(Send("alpha", PRIVATE), 3.0, began=0.6)
    assert flood.tally.violations == 1


def test_of_several_answers_the_first_heard_counts() -> None:
    """Sends after the first 429 of a volley would be excused by its last."""
    flood = Flood()
    refused = fill(flood)
    sibling = flood.arrive(Send("alpha", PRIVATE), 0.0)
    flood.depart(refused, 0.0, heard_at=0.5)
    flood.depart(sibling, 0.0, heard_at=0.3)
    flood.arrive(Send("alpha", PRIVATE), 1.0, began=0.4)
    assert flood.tally.violations == 1


def test_an_answer_nobody_heard_binds_nobody() -> None:
    """A broken connection would be held against the client."""
    flood = Flood()
    flood.depart(fill(flood), 0.0, heard_at=NOBODY_HEARS)
    again = flood.arrive(Send("alpha", PRIVATE), 1.0)
    assert again.verdict == Verdict(1.0, Shape.PLAIN, 8)
    assert flood.tally.violations == 0


def test_a_flood_of_a_chat_leaves_the_others_alone() -> None:
    """A client could not see that it must not stop the whole bot."""
    flood = Flood()
    flood.begin_flood("alpha", CHANNEL, 0.0, 4000.0)
    tickets = drive(flood, [*burst(1, CHANNEL), *burst(1), (3999.0, Send("alpha", CHANNEL))])
    assert [v.shape for v in verdicts(tickets)] == [Shape.PLAIN, Shape.DELIVERED, Shape.PLAIN]
    assert verdicts(tickets)[0].retry_after_s == 4000
    assert flood.tally.violations == 1


def test_a_flood_of_a_bot_looks_the_same_and_may_be_probed_once_per_chat() -> None:
    """Finding out whose the flood is would count as misconduct, or could be done without end."""
    flood = Flood()
    flood.begin_flood("alpha", None, 0.0, 30.0)
    plan = [(float(chat > 1), Send("alpha", chat)) for chat in (1, 2, 3, 2)]
    first, probe, second_probe, violation = verdicts(drive(flood, plan))
    assert [v.retry_after_s for v in (first, probe, second_probe)] == [30, 29, 28]
    assert (flood.tally.probes, flood.tally.violations) == (2, 1)
    assert violation.retry_after_s == 45
    assert drive(flood, [(4.0, Send("beta", 1))])[0].verdict == Verdict(4.0)
    volley = [flood.arrive(Send("alpha", 9), 47.0) for _ in range(2)]
    assert verdicts(volley) == [Verdict(47.0, Shape.PLAIN, 1)] * 2
    assert (flood.tally.probes, flood.tally.violations) == (3, 1)


def test_a_chat_that_waits_as_told_is_not_blamed_for_another() -> None:
    """One fault would be counted once for each chat of the bot."""
    flood = Flood()
    flood.begin_flood("alpha", None, 0.0, 30.0)
    drive(flood, [*burst(1, 1), *burst(1, 2)])
    rude, patient = drive(flood, [(29.0, Send("alpha", 1)), (1.0, Send("alpha", 2))])
    assert rude.verdict == Verdict(29.0, Shape.PLAIN, 45)
    assert patient.verdict == Verdict(30.0, Shape.PLAIN, 44)
    assert flood.tally.violations == 1


def test_the_noise_of_floats_is_no_wait() -> None:
    """A client that sends on the second would wait another, or be called rude."""
    assert POLICY.said_s(1.0 + 1e-9) == 1.0
    flood = Flood()
    flood.begin_flood("alpha", PRIVATE, 0.0, 9.0 + 1e-9)
    assert drive(flood, [(9.0, Send("alpha", PRIVATE))])[0].verdict == Verdict(9.0)


def test_the_bucket_drains_during_a_pause() -> None:
    """After a pause the chat would be slower than its rate, or have a burst it has not saved."""
    flood = Flood()
    flood.depart(fill(flood), 0.0)
    tickets = drive(flood, [(9.0, Send("alpha", PRIVATE)), *burst(2)])
    assert times(tickets) == [9, 10, 11]


def test_a_pause_grows_to_a_day_and_no_further() -> None:
    """A test that misbehaves for long would end in a pause of centuries."""
    flood = Flood()
    flood.begin_flood("alpha", PRIVATE, 0.0, 60.0)
    last = drive(flood, [(0.1, Send("alpha", PRIVATE))] * 100)[-1]
    assert last.verdict is not None
    assert last.verdict.retry_after_s == 86_400


# -- the server's own guards, and its ends ---------------------------------------------------------


@pytest.mark.parametrize(
    ("size_bytes", "outstanding", "spacing_s"),
    [(100_001, 32, 0.2), (5_000_000, 14, 0.5), (30_000_000, 8, 0.9)],
)
def test_uploads_of_one_size_are_spaced(
    size_bytes: int, outstanding: int, spacing_s: float
) -> None:
    """A benchmark of equal files would promise what the real server refuses."""
    flood = Flood(UNBOUND)
    tickets = [flood.arrive(Send("alpha", n, size_bytes), 10.0) for n in range(1, 41)]
    at = times(tickets)
    assert len(at) == outstanding
    assert at[-1] - at[-2] == pytest.approx(spacing_s)
    assert verdicts(tickets)[-1] == Verdict(13.0, Shape.SERVER_BUSY, 60)
    others = [flood.arrive(Send("alpha", 1, size_bytes + n), 10.0) for n in range(1, 10)]
    assert times(others) == [10.0] * 9


@pytest.mark.parametrize(
    "exempt",
    [Send("alpha", 1, 100_000), Send("alpha", 1, 9_000_000, is_upload=False)],
    ids=["small", "by file_id"],
)
def test_what_the_same_size_queue_leaves_alone(exempt: Send) -> None:
    """Small photos, and files that Telegram knows, would be slower than they are."""
    flood = Flood(replace(UNBOUND, chain_max=100))
    assert times([flood.arrive(exempt, 10.0) for _ in range(60)]) == [10.0] * 60


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.2, 1.5, 4.0]), st.integers(1, 3))))
def test_the_same_size_queue_is_the_servers(plan: list[tuple[float, int]]) -> None:
    """Forgetting sizes would change what is spaced."""
    same_size, now, by_size = SameSize(POLICY), 100.0, dict.fromkeys((1, 2, 3), 0.0)
    others = [(1.3, 2)] * 4
    for gap_s, kind in [*plan, *[(0.0, 3)] * 10, *others, (0.0, 3), *plan]:
        now += gap_s
        at = same_size.due(kind * 3_000_000, now)
        # Client.cpp, on_cmd: the same with a map that forgets nothing.
        if by_size[kind] > now + 5.0 + 1e-6:
            assert at is None
            continue
        by_size[kind] = max(by_size[kind] + 0.3 * kind, now - 1.0)
        assert at == pytest.approx(max(by_size[kind], now))


def test_sizes_are_forgotten_once_they_are_full_of_credit() -> None:
    """Weeks of uploads, no two of one size, would fill the memory."""
    flood = Flood(UNBOUND)
    for n in range(3_000):
        flood.depart(flood.arrive(Send("alpha", 1, 200_000 + n), n * 0.1), n * 0.1)
    same_size = flood.bot("alpha").same_size
    assert len(same_size.young) + len(same_size.old) < 200


@pytest.mark.parametrize(
    ("policy", "active"),
    [
        (replace(UNBOUND, hosted=True), 100),
        (replace(UNBOUND, uploads_max=10**6, upload_bytes_max=5_000), 5),
        (replace(UNBOUND, uploads_max=10**6), 1000),
        (replace(UNBOUND, hosted=False), 3000),
    ],
    ids=["uploads", "bytes", "requests", "local"],
)
def test_the_server_guards_itself(policy: FloodPolicy, active: int) -> None:
    """A daemon with too many uploads at once would first meet this in production."""
    flood = Flood(policy)
    tickets = [flood.arrive(Send("alpha", n % 300, 1_000), 0.0) for n in range(3000)]
    refused = [t for t in tickets if t.verdict and t.verdict.shape is Shape.SERVER_BUSY]
    assert len(tickets) - len(refused) == active
    assert all(t.verdict == Verdict(3.0, Shape.SERVER_BUSY, 60) for t in refused)


@pytest.mark.parametrize("hosted", [True, False])
def test_a_chat_has_at_most_310_unsent(hosted: bool) -> None:
    """The one guard of a local server, too, would be met first in production."""
    flood = Flood(replace(UNBOUND, hosted=hosted))
    sends = [flood.arrive(Send("alpha", PRIVATE, is_upload=False), 0.0) for _ in range(311)]
    assert sends[309].verdict is None
    assert sends[310].verdict == Verdict(3.0, Shape.SERVER_BUSY, 60)


def test_a_guard_that_was_hit_is_no_pause() -> None:
    """Its cure is less at once, not silence: a client that does so must not be blamed."""
    flood = Flood(replace(UNBOUND, requests_max=1))
    first, busy = (flood.arrive(Send("alpha", PRIVATE), 0.0) for _ in range(2))
    flood.depart(first, 1.0)
    flood.depart(busy, 3.0)
    assert flood.arrive(Send("alpha", PRIVATE), 3.0).verdict == Verdict(3.0)
    assert (flood.tally.violations, flood.tally.floods) == (0, 0)


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        (Shape.SHUTDOWN, Verdict(1.0, Shape.SHUTDOWN, 5)),
        (Shape.RESTART, Verdict(1.0, Shape.RESTART)),
    ],
)
def test_a_server_that_is_away_answers_all_alike(shape: Shape, verdict: Verdict) -> None:
    """What happens at each update of the Bot API server could not be practised."""
    flood = Flood(UNBOUND)
    tickets = [flood.arrive(Send("alpha", PRIVATE), 0.0) for _ in range(12)]
    flood.begin_outage(0.5, 2.0, shape)
    refused = [flood.arrive(Send("beta", CHANNEL), 1.0), *flood.depart(tickets[0], 1.0)]
    assert refused[1:] == tickets[10:]
    assert verdicts(refused) == [verdict] * 3
    assert flood.arrive(Send("beta", CHANNEL), 2.5).verdict == Verdict(2.5)


@pytest.mark.parametrize("shape", list(Shape))
def test_our_own_client_reads_every_shape(shape: Shape) -> None:
    """A flood whose words the daemon misreads would be retried at once."""
    verdict = Verdict(0.0, shape, 8 if shape is not Shape.RESTART else 0)
    answer = {"ok": False, "description": verdict.description, "parameters": verdict.parameters}
    read = classify(verdict.status, orjson.dumps(answer))
    assert isinstance(read, Refused)
    wanted = {Shape.RESTART: "TelegramError", Shape.DELIVERED: "BadAnswer"}
    assert read.code == wanted.get(shape, "TooManyRequests")
    assert read.code != "TooManyRequests" or read.retry_after_s == 8


def test_some_floods_of_uploads_come_disguised() -> None:
    """A client that looks for the status 429 alone would not be found out."""
    flood = Flood(replace(POLICY, disguised_every=3))
    flood.begin_flood("alpha", CHANNEL, 0.0, 60.0, Shape.DISGUISED)
    assert verdicts(drive(flood, burst(1, CHANNEL)))[0].shape is Shape.DISGUISED
    tickets = drive(flood, [*burst(60), *[(0.0, Send("alpha", 2, is_upload=False))] * 60])
    shapes = [v.shape for v in verdicts(tickets) if v.shape is not Shape.DELIVERED]
    uploads = sum(t.pause is not None and t.send.is_upload for t in tickets)
    assert shapes.count(Shape.DISGUISED) == uploads // 3 > 0


# -- whatever is sent ------------------------------------------------------------------------------


@given(POLICIES, PLANS, st.sampled_from([0.0, 0.4, 5.0]))
def test_no_window_holds_more_than_is_permitted(
    policy: FloodPolicy, plan: list[tuple[float, Send]], latency_s: float
) -> None:
    """A scheduler would be praised for a speed that Telegram never grants."""
    flood = Flood(policy, timeline_max=1000)
    drive(flood, [(gap, replace(send, items=1)) for gap, send in plan], latency_s=latency_s)
    late_s = policy.wait_step_s + 5.9  # said in whole seconds; the same-size queue
    for bot in ("alpha", "beta"):
        everything: list[float] = []
        for chat_id in (1, 2, -1, -2):
            timeline = sorted(flood.chat(bot, chat_id).timeline or ())
            everything += timeline
            assert_within(policy, chat_id, timeline, late_s)
        assert_within(policy, None, sorted(everything), late_s + policy.absorb_s)


@given(POLICIES, PLANS, st.sampled_from([0.0, 0.4, 5.0]), st.booleans())
def test_a_client_that_waits_as_told_is_without_fault(
    policy: FloodPolicy, plan: list[tuple[float, Send]], latency_s: float, scripted: bool
) -> None:
    """ "Zero violations" would be asked of a scheduler that cannot reach it."""
    flood = Flood(policy)
    if scripted:
        flood.begin_flood("alpha", None, 0.0, 30.0)
        flood.begin_flood("beta", 1, 0.0, 5000.0, Shape.DISGUISED)
    drive(flood, plan, latency_s=latency_s, polite=True)
    assert flood.tally.violations == 0


@given(POLICIES, PLANS)
def test_nobody_is_absorbed_for_longer_than_that(
    policy: FloodPolicy, plan: list[tuple[float, Send]]
) -> None:
    """A 429 would come where a late answer is right, or a late answer without end."""
    flood = Flood(replace(policy, hosted=False))
    tickets = drive(flood, plan)
    for ticket, verdict in zip(tickets, verdicts(tickets), strict=True):
        assert 0 <= verdict.at - ticket.began <= policy.absorb_s + 1e-6
        assert (verdict.shape is Shape.DELIVERED) == (verdict.retry_after_s == 0)


@given(POLICIES, PLANS, st.sampled_from([0.0, 0.4, 5.0]))
def test_the_same_sends_meet_the_same_fate_and_leave_nothing_behind(
    policy: FloodPolicy, plan: list[tuple[float, Send]], latency_s: float
) -> None:
    """A failed simulation could not be replayed; a long one would fill the memory."""
    runs = []
    for _ in range(2):
        flood = Flood(policy)
        runs.append(verdicts(drive(flood, plan, latency_s=latency_s)))
    assert runs[0] == runs[1]
    assert len(runs[0]) == flood.tally.sends == len(plan)
    assert flood.tally.requests == 0
    for bot in ("alpha", "beta"):
        assert (flood.bot(bot).requests, flood.bot(bot).uploads) == (0, 0)
        assert all(not chat.unsent and not chat.worked for chat in flood.bot(bot).chats.values())
    violations = flood.tally.violations
    assert flood.forget_idle(1e9) == len({(send.bot, send.chat_id) for _, send in plan})
    flood.check()
    assert flood.tally.violations == violations
    assert not flood.bot("alpha").chats


def test_a_scripted_flood_outlasts_forgetting() -> None:
    """A ban would be lifted by housekeeping."""
    flood = Flood()
    flood.begin_flood("alpha", PRIVATE, 0.0, 4000.0)
    flood.begin_flood("beta", None, 0.0, 4000.0)
    assert flood.forget_idle(3999.0) == 0
    refused = [flood.arrive(Send(bot, PRIVATE), 3999.0) for bot in ("alpha", "beta")]
    assert verdicts(refused) == [Verdict(3999.0, Shape.PLAIN, 1)] * 2
    for ticket in refused:
        flood.depart(ticket, 3999.0)
    assert flood.forget_idle(9000.0) == 2


def test_a_chat_is_kept_while_it_is_bound() -> None:
    """Housekeeping would let a send overtake one that waits, or excuse one that was told to."""
    flood = Flood(replace(POLICY, private_per_s=10.0, private_burst=1))
    for ticket in [flood.arrive(Send("alpha", PRIVATE), 0.0) for _ in range(2)]:
        flood.depart(ticket, 0.0)
    assert [flood.forget_idle(now) for now in (0.5, 1.0)] == [0, 1]
    flood.begin_flood("alpha", PRIVATE, 1.0, 9.0)
    flood.depart(flood.arrive(Send("alpha", PRIVATE), 1.5), 1.5)
    assert [flood.forget_idle(now) for now in (10.2, 10.5)] == [0, 1]


def test_a_bots_own_limits_outlast_its_chats() -> None:
    """Housekeeping would give a busy bot its whole credit back."""
    for size_bytes, now, at in ((0, 1.5, 2.5), (30_000_000, 2.5, 7.2)):
        send = Send("alpha", 1, size_bytes)
        flood = Flood(replace(UNBOUND, bot_per_s=30, chain_max=99))
        for ticket in [flood.arrive(send, 1.0) for _ in range(30)]:
            flood.depart(ticket, 1.0)
        assert flood.forget_idle(now) == 1
        assert times([flood.arrive(send, now)]) == [pytest.approx(at)]


@given(st.lists(st.tuples(GAPS, st.integers(1, 10)), min_size=5, max_size=30))
def test_albums_keep_to_the_window_of_a_channel(plan: list[tuple[float, int]]) -> None:
    """Albums would get more through than single messages."""
    policy = replace(POLICY, wait_step_s=0.0, absorb_s=1e9, hosted=False)
    flood = Flood(policy, timeline_max=1000)
    drive(flood, [(gap, Send("alpha", CHANNEL, items=items)) for gap, items in plan])
    timeline = sorted(flood.chat("alpha", CHANNEL).timeline or ())
    assert len(timeline) == sum(items for _, items in plan)
    assert_within(policy, CHANNEL, timeline, 0.0)


@given(POLICIES, PLANS, PLANS)
def test_forgetting_the_idle_changes_no_verdict(
    policy: FloodPolicy, before: list[tuple[float, Send]], after: list[tuple[float, Send]]
) -> None:
    """A long simulation would be judged otherwise than a short one."""
    fates = []
    for forgets in (False, True):
        flood = Flood(policy)
        drive(flood, before)
        if forgets:
            flood.forget_idle(flood.now)
        start = max(flood.now, 0.0)
        fates.append(verdicts(drive(flood, [(start, Send("alpha", 1)), *after])))
    assert fates[0] == fates[1]
