"""What must hold, each as a named function; the ones called at every step cost O(1).

A broken one raises `Violation` with its name, and the seed's run ends there. What the models of the
world check where they stand (memory, slots, sends) raises the same, so every name that can come out
of a run is a name in this package. `RULES` are those that an engine may not keep yet: data, so that
switching one on is one word.

The table of what charges an attempt is written down here once more on purpose: an oracle that read
the engine's own table would believe whatever is in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prewarmd.core import records
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.jobs import FINISHED, JobEvent, JobState, advance
from prewarmd.core.transitions import IllegalTransitionError

if TYPE_CHECKING:
    from tests.simulation.rows import Batch, Row


class Violation(AssertionError):  # noqa: N818  it is counted and printed under this name
    """Something that must hold does not: a bug of the engine, or of the world."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


@dataclass
class Rules:
    """Rules that are on or off as a whole."""

    poison_is_isolated: bool = True
    """A job that kills whoever takes it fails after at most POISON_DEATHS deaths, all who want an
    object whose GETs do after as many, and no other job fails with the code of a death."""
    deaths_are_free: bool = True
    """No child's death before the last byte charges an attempt."""
    outages_are_free: bool = True
    """While a bucket or Telegram is out, that charges nobody."""
    retried_age_in_time: bool = False
    """A job that is retried while it is young loses its youth in time, though it comes in behind
    younger ones."""


RULES = Rules()
POISON_DEATHS, POISON_KILLS = 3, 10
"""Children that a job may take with it, or the GETs of an object; and that may be killed while they
have it alone in hand."""
SPINS_MAX = 50
"""Turns at one moment without an event."""
TICKS_MAX_PER_S = 30.0
"""Turns in which only time passed and nothing was decided, on average over TICKS_WINDOW; besides
one for each send that some lane may begin."""
TICKS_WINDOW = 2000

_CHARGES = frozenset({
    "StoreError", "StoreTimeout", "ShortBody", "TelegramUnreachable", "UploadCut", "TelegramError",
    "NoAnswer", "BadAnswer", "MaybeSent", "NoMemory", "Bug", "PhotoNotProcessed", "UnknownRefusal",
    "RequestRefused",
})  # fmt: skip
"""Codes that may charge an attempt."""
_OF_A_DEATH = frozenset({"ChildDied", "Poison"})
_LATE = frozenset({"TelegramError", "NoAnswer", "BadAnswer", "MaybeSent", "PhotoNotProcessed"})
"""Codes after which an upload may have arrived."""


def record_is_allowed(row: "Row", event: JobEvent) -> JobState:
    """Every record is one that the job's durable state allows, and a final state is final; the
    state that follows."""
    try:
        return advance(row.state, event)
    except IllegalTransitionError as error:
        name = "final_is_final" if row.state in FINISHED else "record_is_allowed"
        raise Violation(name, f"{row}: {error}") from None


def started_in_turn(row: "Row", record: records.Start) -> None:
    """A job starts under the number that follows its charged attempts."""
    if record.attempt != row.attempt + 1:
        raise Violation("started_in_turn", f"{row} starts as attempt {record.attempt}")


def charge_is_just(row: "Row", code: str, attempt: int, most: int, earned: int) -> None:
    """Attempts rise one by one, never above the most, and only for what is the job's own doing:
    `earned` is how many faults of that sort the world gave it, outages left out."""
    charged = attempt - row.attempt
    if charged == 0:
        return
    if charged != 1 or attempt > most:
        raise Violation("charge_is_just", f"{row} goes to attempt {attempt} of {most} by {code}")
    just = not RULES.deaths_are_free if code == "ChildDied" else code in _CHARGES
    if not just:
        raise Violation("charge_is_just", f"{row} is charged for {code}")
    if RULES.outages_are_free and attempt > earned:
        raise Violation("outage_is_free", f"{row} is charged for {code}, its fault {earned} times")


def snooze_is_sane(row: "Row", record: records.Snooze, now: float, cap_s: float) -> None:
    """A wait has an end within the cap."""
    wait_s = record.not_before - now
    if not -60.0 < wait_s <= cap_s:
        raise Violation("snooze_is_sane", f"{row} waits {wait_s:.3f} s")


def doubt_is_kept(row: "Row", record: records.Snooze | records.Fail) -> None:
    """Whoever waits or was given up says whether it may have been sent."""
    if (row.maybe_sent or record.code in _LATE) and not record.maybe_sent:
        raise Violation("doubt_is_kept", f"{row} may have been sent, says {record.code}")


def failure_is_earned(
    row: "Row", code: str, attempt: int, most: int, *, told: bool, guilty: bool
) -> None:
    """A job fails for a refusal that the world gave for good (`told`), or after its last attempt;
    and for its child's death only when it was the cause (`guilty`)."""
    fault = FAULTS.get(code)
    if fault is None:
        raise Violation("failure_is_earned", f"{row} fails with {code}, which is no code")
    if code in _OF_A_DEATH:
        if RULES.poison_is_isolated and not guilty:
            raise Violation("innocent_is_spared", f"{row} fails with {code}")
        earned = RULES.poison_is_isolated or attempt >= most
    else:
        earned = told or (fault.remedy is not Remedy.GIVE_UP and attempt >= most)
    if not earned:
        raise Violation("failure_is_earned", f"{row} fails with {code} at {attempt} of {most}")


def poison_dies_soon(what: str, deaths: int) -> None:
    """A job that kills whoever takes it is given up soon, and so is an object whose GETs do."""
    if RULES.poison_is_isolated and deaths > POISON_DEATHS:
        raise Violation("poison_dies_soon", f"{what} killed {deaths} children")


def duplicate_is_explained(what: object, deliveries: int, doubts: int, renewals: int) -> None:
    """Telegram gets a content a second time only after nobody could know of the first, or because
    its file_id was said to be stale, or is to be proven."""
    if deliveries > 1 + doubts + renewals:
        said = f"{deliveries} times, {doubts} doubts, {renewals} renewals"
        raise Violation("duplicate_is_explained", f"{what}: {said}")


def way_was_offered(row: "Row", verb: object, offered: bool) -> None:
    """What is sent without bytes goes by what the catalogue said to that very job, last."""
    if not offered:
        raise Violation("way_was_offered", f"{row} goes by {verb}")


def dead_end_is_remembered(row: "Row", verb: object, dead: bool) -> None:
    """What led nowhere once is not tried again."""
    if dead:
        raise Violation("dead_end_is_remembered", f"{row} goes by {verb} once more")


def bytes_are_spared(row: "Row", ways: Sequence[object]) -> None:
    """No bytes are fetched for a job that was told of a way without, and not that it is closed."""
    if ways:
        raise Violation("bytes_are_spared", f"{row} is fetched, although there is {ways}")


def url_is_allowed(row: "Row", verb: object, allowed: bool) -> None:
    """Telegram gets URLs of the buckets alone that an operator lets it have, and of no bot whose
    URLs fail one after the other."""
    if not allowed:
        raise Violation("url_is_allowed", f"{row} goes by {verb}")


def probe_finds_out(row: "Row", ready_at: float) -> None:
    """A probe is not content with what it is to prove."""
    if ready_at < row.created:
        raise Violation("probe_finds_out", f"{row} is ready by what was so at {ready_at:.3f}")


def lane_leads_home(lane: object, moved: bool) -> None:
    """A lane leads to its own chat, under the id that this has by now."""
    if not moved:
        raise Violation("lane_leads_home", f"{lane}")


def lane_is_closed_for_cause(lane: object, refused: bool) -> None:
    """A lane is closed for what its own chat said, not for a chat that is forwarded from."""
    if not refused:
        raise Violation("lane_is_closed_for_cause", f"{lane}")


def doubt_is_counted(row: "Row", record: records.Complete) -> None:
    """Who succeeds after a doubt says that there may be two."""
    if record.duplicates != int(row.maybe_sent):
        raise Violation("doubt_is_counted", f"{row} says {record.duplicates} duplicates")


def message_backs_ready(
    record: records.Complete, message: tuple[str, int, str, str] | None
) -> None:
    """Ready means: a message with that content is in that chat of that bot, under the id that it
    was sent to."""
    wanted = (record.bot, record.chat_id, record.sha256, record.kind)
    if message != wanted:
        raise Violation("message_backs_ready", f"{wanted} is ready by {message}")


def catalogue_is_fresh(row: "Row", known: bool) -> None:
    """What the catalogue holds is not uploaded once more."""
    if known:
        raise Violation("catalogue_is_fresh", f"{row} was uploaded although it was ready")


def join_is_backed(row: "Row", record: records.Join, known: bool) -> None:
    """Ready without an upload means: the catalogue holds it."""
    if not known:
        raise Violation("join_is_backed", f"{row} joins {record.sha256}, which is not ready")


def content_is_the_jobs(row: "Row", content: str, legal: bool) -> None:
    """What became ready is what the job's object held, or what its client promised: not what it
    held longer before the submit than the cache is believed."""
    if not legal:
        raise Violation("content_is_the_jobs", f"{row} is ready with {content}")


def pause_is_obeyed(bot: str, chat_id: int, now: float, until: float) -> None:
    """Nothing is sent to a chat inside a pause that Telegram told."""
    if now < until:
        raise Violation("pause_is_obeyed", f"{bot} sends to {chat_id} {until - now:.3f} s early")


def refusal_is_obeyed(verb: object, now: float, until: float) -> None:
    """No kind is sent to a chat that has refused it just now."""
    if now < until:
        raise Violation("refusal_is_obeyed", f"{verb} begins {until - now:.3f} s early")


def burst_is_bounded(chat: object, waited_s: float, least_s: float) -> None:
    """No chat gets more at once than its burst, however fast its pace has become."""
    if waited_s < least_s:
        raise Violation("burst_is_bounded", f"{chat}: {waited_s:.3f} s, not {least_s:.3f}")


def hold_is_kept(row: "Row", told_until: float, kept_until: float) -> None:
    """Who is released because of a flood is written behind the pause: no restart forgets it."""
    if kept_until < told_until:
        raise Violation("hold_is_kept", f"{row}: until {told_until:.3f}, known {kept_until:.3f}")


def pause_lasts(record: records.Hold, before: float) -> None:
    """A pause is made longer by another answer to the same flood, never shorter."""
    if record.until < before:
        raise Violation("pause_lasts", f"{record}, but it was to last until {before:.3f}")


def pace_is_sane(record: records.Hold) -> None:
    """A pace stays between a tenth and four times of what is documented."""
    if not 0.1 <= record.factor <= 4.0:
        raise Violation("pace_is_sane", f"{record}")


def flood_counts_once(record: records.Hold, slowed_until: float) -> None:
    """Who was slowed down by a flood is not slowed down by another answer of the same: nothing was
    sent since, so no pause is over."""
    if slowed_until < record.until < slowed_until + 1.0:
        raise Violation("flood_counts_once", f"{record}, slowed down until {slowed_until:.3f}")


def single_flight(what: object, busy: bool) -> None:
    """One GET per object or content, one upload per (bot, content, kind)."""
    if busy:
        raise Violation("single_flight", f"{what} is under way already")


def slot_is_free(index: int, row: int, works: int, slots: int, taken: bool) -> None:
    """A child never has more tasks than slots, and each has a row of its own."""
    if works >= slots or taken or not index * slots <= row < (index + 1) * slots:
        raise Violation("slot_is_free", f"child {index}, row {row}: {works} of {slots}")


def task_is_new(task: int, last: int) -> None:
    """No task's number is used twice."""
    if task <= last:
        raise Violation("task_is_new", f"{task} after {last}")


def page_is_next(batch: "Batch", keys: list[str]) -> None:
    """A listing goes on behind its checkpoint, and at its end has passed over nothing."""
    if keys and keys[0] <= batch.after:
        raise Violation("page_is_next", f"{keys[0]} comes again behind {batch.after}")


def listing_is_whole(batch: "Batch") -> None:
    """A finished listing has submitted every key that was there when it began."""
    if batch.listed < batch.keys:
        raise Violation("listing_is_whole", f"{batch.prefix}: {batch.listed} of {batch.keys}")


def cancel_is_final(row: "Row") -> None:
    """A client is told "cancelled" when it is so and committed."""
    if row.state is not JobState.CANCELLED:
        raise Violation("cancel_is_final", f"{row} was said to be cancelled")


def nothing_begins(why: str, verb: object) -> None:
    """A stalled store or a drain lets nothing new start."""
    raise Violation("nothing_begins", f"{why}: {verb}")


def turn_is_bounded(commands: int, events: int, jobs: int) -> None:
    """A turn says at most so much about each event and each job."""
    if commands > 64 + 8 * events + 5 * jobs:
        raise Violation("turn_is_bounded", f"{commands} commands, {events} events, {jobs} jobs")


def loop_does_not_spin(turns: int, now: float) -> None:
    """Turns without an event make time pass."""
    if turns > SPINS_MAX:
        raise Violation("loop_does_not_spin", f"{turns} turns at {now}")


def ticks_are_rare(ticks: int, seconds: float, sends_per_s: float) -> None:
    """Time alone does not wake the loop again and again for nothing."""
    if seconds * (TICKS_MAX_PER_S + sends_per_s) < ticks:
        raise Violation("ticks_are_rare", f"{ticks} idle turns in {seconds:.3f} s")


def who_may_go_goes(who: object, what: str) -> None:
    """At the end of a turn nobody is left who could start: with work, a slot, and an open way."""
    raise Violation("who_may_go_goes", f"{who} could {what}")


def best_goes_first(first: object, best: object) -> None:
    """Nobody is sent or fetched before somebody better who could be; only what starves goes before
    its betters, and never twice in a row."""
    raise Violation("best_goes_first", f"{first} before {best}")


def oldest_goes_first(first: object, oldest: object) -> None:
    """Among equals of one bot, who came first is fetched first."""
    raise Violation("oldest_goes_first", f"{first} before {oldest}")


def turns_are_fair(bot: str, other: str) -> None:
    """Among bots at one level it is the turn of the one that was served longest ago."""
    raise Violation("turns_are_fair", f"{bot} before {other}, which had its last turn earlier")


def probe_is_alone(bot: str, probe: int, task: int) -> None:
    """While a bot finds out whether a flood is its own, it sends one upload and nothing else."""
    raise Violation("probe_is_alone", f"{bot}: task {task} while {probe} is its probe")


def probe_is_under_way(who: object) -> None:
    """Who waits for a probe waits for one that is on its way, not for ever."""
    raise Violation("probe_is_under_way", f"{who} waits for a probe that nobody sent")


def nothing_is_overdue(command: object, now: float, deadline: float) -> None:
    """What is due by itself is due at the deadline that the engine named, and not before: else it
    was due already, and only this turn's events brought it to mind."""
    if now < deadline:
        raise Violation("nothing_is_overdue", f"{command} at {now:.3f}, not at {deadline:.3f}")


def acknowledged_is_stored(acknowledged: Sequence[int], rows: int) -> None:
    """What a client was told is accepted is in the store, whatever died since."""
    if acknowledged and max(acknowledged) > rows:
        raise Violation("acknowledged_is_stored", f"{max(acknowledged)} of {rows} rows")


def unfinished_is_held(row: "Row", held: bool) -> None:
    """An unfinished job is with the engine, or on its way to it or from it."""
    if not held:
        raise Violation("unfinished_is_held", f"{row} is with nobody")


def all_is_final(unfinished: list[str]) -> None:
    """When trouble ends, every job reaches a final state in a bounded time."""
    if unfinished:
        raise Violation("all_is_final", f"{len(unfinished)} left: {'; '.join(unfinished[:5])}")


def recovery_repeats(first: object, second: object) -> None:
    """Recovering once more from the same committed state changes nothing."""
    if first != second:
        raise Violation("recovery_repeats", f"{first} and then {second}")


def stop_is_clean(rows: Iterable["Row"]) -> None:
    """After an orderly stop no job is left with a child that is gone."""
    running = [row for row in rows if row.state is JobState.RUNNING]
    if running:
        raise Violation("stop_is_clean", f"{running[:5]}")


def despair_is_earned(boot_failures: int, most: int) -> None:
    """The daemon gives up only when children die before they are up, one after the other."""
    if boot_failures < most:
        raise Violation("despair_is_earned", f"{boot_failures} boot failures in a row, not {most}")


def stop_is_in_time(late_s: float) -> None:
    """A drain ends at its deadline at the latest."""
    if late_s > 0:
        raise Violation("stop_is_in_time", f"{late_s:.1f} s late")
