"""Engines that are broken on purpose, each in one way, to see that an oracle notices.

Each stands between the world and a real engine and falsifies what one hears or the other says: the
bug is then where it would be in the engine, and the real code around it is not touched.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prewarmd.core import commands, events, records, reports, verbs
from prewarmd.core.commands import Command, Tell
from prewarmd.core.engine import Engine
from prewarmd.core.extents import PAGE
from prewarmd.core.policy import BotSpec, EnginePolicy

Hears = Callable[["Broken", events.Event], list[events.Event]]
Says = Callable[["Broken", Command], list[Command]]


class Broken(Engine):
    """An engine whose events and commands are falsified."""

    hears: Hears | None = None
    says: Says | None = None
    spins = False
    memory: dict[str, Any]

    def __init__(self, policy: EnginePolicy, bots: Sequence[BotSpec]) -> None:
        super().__init__(policy, bots)
        self.memory = {}

    def turn(self, happened: Iterable[events.Event], now: float, jitter: float) -> list[Command]:
        """A turn, falsified."""
        hears, says = type(self).hears, type(self).says
        if hears is not None:
            happened = [heard for event in happened for heard in hears(self, event)]
        out = super().turn(happened, now, jitter)
        return out if says is None else [said for one in out for said in says(self, one)]

    def next_deadline(self, now: float) -> float:
        """When it wants to be called, falsified."""
        return now if type(self).spins else super().next_deadline(now)


@dataclass(frozen=True)
class Bug:
    """One way to be broken, and the invariants that may notice it."""

    name: str
    noticed_as: set[str]
    hears: Hears | None = None
    says: Says | None = None
    spins: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    def make(self, policy: EnginePolicy, bots: Sequence[BotSpec]) -> Engine:
        """Such an engine."""
        kind = type("Broken", (Broken,), {
            "hears": self.hears, "says": self.says, "spins": self.spins,
        })  # fmt: skip
        made = kind(policy, bots)
        assert isinstance(made, Engine)
        return made


def _drop(kind: type, every: int = 20) -> Says:
    """Each so-many-th command of a type is not said."""

    def says(engine: Broken, command: Command) -> list[Command]:
        if type(command) is not kind:
            return [command]
        count = engine.memory[kind.__name__] = engine.memory.get(kind.__name__, 0) + 1
        return [] if count % every == 0 else [command]

    return says


def _deaf(kind: type) -> Hears:
    """Events of a type are not heard."""
    return lambda _, event: [] if type(event) is kind else [event]


def _report(kind: type, change: Callable[[Any], reports.Report | None]) -> Hears:
    """Reports of a type are heard as other ones; None: as they are."""

    def hears(_: Broken, event: events.Event) -> list[events.Event]:
        if isinstance(event, events.ChildReported) and type(event.report) is kind:
            other = change(event.report)
            if other is not None:
                return [events.ChildReported(event.index, event.generation, other)]
        return [event]

    return hears


def _verb(kind: type, change: Callable[[Broken, Any], list[verbs.Verb]]) -> Says:
    """A verb is told otherwise."""

    def says(engine: Broken, command: Command) -> list[Command]:
        if isinstance(command, Tell) and type(command.verb) is kind:
            return [Tell(command.index, verb) for verb in change(engine, command.verb)]
        return [command]

    return says


def _record(kind: type, change: Callable[[Any], list[Command]]) -> Says:
    """A record is written otherwise."""
    return lambda _, command: change(command) if type(command) is kind else [command]


def _twice(_: Broken, verb: Any) -> list[verbs.Verb]:
    rows = verb.row - 1 if verb.row % 4 else verb.row + 1
    return [verb, replace(verb, task=verb.task + 1_000_000, row=rows)]


def _elsewhere(engine: Broken, verb: Any) -> list[verbs.Verb]:
    last = engine.memory.get("offset", verb.offset)
    engine.memory["offset"] = verb.offset
    return [replace(verb, offset=last)]


def _over_others(_: Broken, verb: Any) -> list[verbs.Verb]:
    return [replace(verb, offset=0) if verb.offset >= PAGE else verb]


def _not_sent(report: Any) -> reports.Report | None:
    if report.message_id % 10:
        return None
    return reports.UploadFailed(report.task, "TelegramUnreachable", "a lie", 0.0, 0)


def _no_wait(report: Any) -> reports.Report | None:
    return replace(report, retry_after_s=0.0) if report.retry_after_s else None


def _never_cancelled(engine: Broken, command: Command) -> list[Command]:
    return [] if isinstance(command, records.Cancel) else [command]


def _ready(_: Broken, event: events.Event) -> list[events.Event]:
    return [replace(event, ready=True)] if isinstance(event, events.Recalled) else [event]


def _chatty(_: Broken, command: Command) -> list[Command]:
    return [command] * 3000 if isinstance(command, records.See) else [command]


FLOODED = {"permitted": 0.3, "paced": False, "speed": 3.0, "bots": 1}
FAULTY = {"fetch_faults": 0.2, "upload_faults": 0.2}

BUGS: tuple[Bug, ...] = (
    Bug("forgets to complete", {"all_is_final", "duplicate_is_explained", "join_is_backed"},
        says=_drop(records.Complete)),
    Bug("completes twice", {"final_is_final"}, says=_record(records.Complete, lambda r: [r, r])),
    Bug("does not say that it starts", {"record_is_allowed"}, says=_drop(records.Wake, 3),
        changes=FAULTY),
    Bug("loses jobs", {"all_is_final", "unfinished_is_held"}, hears=lambda engine, event: (
        [] if isinstance(event, events.Admitted) and len(event.jobs) == 2 else [event])),
    Bug("ignores retry_after", {"pause_is_obeyed", "hold_is_kept"},
        hears=_report(reports.UploadFailed, _no_wait),
        changes=FLOODED),
    Bug("uploads twice", {"single_flight", "task_is_new"}, changes={"burst": 1},
        says=_verb(verbs.Upload, _twice)),
    Bug("fetches twice", {"single_flight", "memory_is_exclusive", "task_is_new"},
        says=_verb(verbs.Fetch, _twice)),
    Bug("reads freed memory", {"memory_holds_the_object"}, says=_verb(verbs.Upload, _elsewhere)),
    Bug("writes to used memory", {"memory_is_exclusive", "memory_holds_the_object"},
        says=_verb(verbs.Fetch, _over_others)),
    Bug("takes delivered for unsent", {"duplicate_is_explained"},
        hears=_report(reports.Uploaded, _not_sent)),
    Bug("knows another message", {"message_backs_ready"}, hears=_report(
        reports.Uploaded, lambda report: replace(report, message_id=report.message_id + 1))),
    Bug("knows another content", {"content_is_the_jobs", "content_is_the_objects"}, hears=_report(
        reports.Fetched, lambda report: replace(report, sha256="c1"))),
    Bug("believes in a catalogue", {"join_is_backed"}, hears=_ready),
    Bug("forgets doubts", {"doubt_is_kept"}, changes={"doubts": 0.2}, says=_record(
        records.Snooze, lambda record: [replace(record, maybe_sent=False)])),
    Bug("gives up and forgets doubts", {"doubt_is_kept"}, changes={"doubts": 0.2, "attempts": 1},
        says=_record(records.Fail, lambda record: [replace(record, maybe_sent=False)])),
    Bug("counts no doubts", {"doubt_is_counted"}, changes={"doubts": 0.2}, says=_record(
        records.Complete, lambda record: [replace(record, duplicates=0)])),
    Bug("charges double", {"charge_is_just"}, changes={"upload_faults": 0.2}, says=_record(
        records.Snooze, lambda record: [replace(record, attempt=record.attempt + 1)])),
    Bug("sleeps for a year", {"snooze_is_sane"}, changes=FAULTY, says=_record(
        records.Snooze, lambda record: [replace(record, not_before=record.not_before + 3e7)])),
    Bug("gives up at once", {"failure_is_earned"}, changes=FAULTY, says=_record(
        records.Snooze,
        lambda record: [records.Fail(record.job, record.code, "", record.attempt)])),
    Bug("says cancelled and is not", {"cancel_is_final"}, says=_never_cancelled,
        changes={"cancels": 0.3}),
    Bug("starts while the store is stalled", {"nothing_begins"}, hears=_deaf(events.StoreStalled),
        changes={"stalls": 2.0}),
    Bug("starts in a drain", {"nothing_begins", "stop_is_in_time"}, hears=_deaf(events.DrainAsked),
        changes={"drains": 2.0}),
    Bug("mourns nobody", {"only_who_is_up_is_told", "all_is_final"}, changes={"kills": 5.0},
        hears=_deaf(events.ChildExited)),
    Bug("does not finish", {"stop_is_in_time"}, says=_drop(commands.Finish, 1),
        changes={"drains": 2.0}),
    Bug("kills nobody", {"all_is_final"}, says=_drop(commands.Kill, 1), changes={"hangs": 0.05}),
    Bug("spins", {"loop_does_not_spin"}, spins=True),
    Bug("talks without end", {"turn_is_bounded"}, says=_chatty),
)  # fmt: skip
