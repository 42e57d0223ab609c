"""What looks inside the engine, here and in `justice`; all of it is O(everything).

The rest of the simulation knows the engine by `turn`, `next_deadline`, `has_room_for`, `stalled`
and `check` alone. When the engine's insides change, these two change.
"""

from prewarmd.core.engine import Engine
from prewarmd.core.jobs import JobId, Phase
from tests.simulation import invariants
from tests.simulation.invariants import Violation
from tests.simulation.telegram import CHAT_REFUSALS, Telegram


def check(engine: Engine, telegram: Telegram, now: float) -> None:
    """The engine's own invariants, that memory is not wasted on those who may not send, and that
    lanes are what Telegram said of their chats."""
    engine.check()
    paused_lanes_hold_nothing(engine, now)
    lanes_are_as_told(engine, telegram)


def lanes_are_as_told(engine: Engine, telegram: Telegram) -> None:
    """A lane leads to the chat that it was configured for, or to what that has become; and it is
    closed for what its own chat has said."""
    for bot in engine.desk.bots.values():
        for lane in bot.lanes:
            chat_id = lane.configured_id
            was_refusing = False
            while True:
                was_refusing |= (bot.slug, chat_id) in telegram.heard_refusing
                if chat_id == lane.chat_id:
                    break
                invariants.lane_leads_home(lane, (bot.slug, chat_id) in telegram.moved)
                chat_id = telegram.moved[bot.slug, chat_id]
            if lane.gate.code in CHAT_REFUSALS:
                invariants.lane_is_closed_for_cause(lane, was_refusing)


def paused_lanes_hold_nothing(engine: Engine, now: float) -> None:
    """Paused lanes alone never make another lane's fetch wait for memory: when memory is short,
    somebody who may send soon, or a download under way, has some of it."""
    desk = engine.desk
    if not desk.memory_short:
        return
    if any(flight.extent is not None for flight in engine.downloads.fetching.values()):
        return
    horizon = now + engine.policy.prefetch_horizon_s
    for job_id in desk.pinned:
        job = desk.jobs[job_id]
        lanes = desk.bots[job.bot].lanes
        if job.phase is not Phase.LOADED or any(lane.paused_until <= horizon for lane in lanes):
            return
    raise Violation(
        "paused_lanes_hold_nothing", f"{len(desk.pinned)} jobs of paused lanes at {now}"
    )


def content_of(engine: Engine, job_id: int) -> str:
    """What the engine believes that a job holds; "" when it has no idea."""
    job = engine.desk.jobs.get(JobId(job_id))
    return (job.sha256 or "") if job is not None else ""


def is_held(engine: Engine, job_id: int) -> bool:
    """Whether the engine has the job."""
    return job_id in engine.desk.jobs


def view(engine: Engine) -> list[tuple[object, ...]]:
    """What the engine believes of its jobs, as `Row.facts` says it."""
    jobs = sorted(engine.desk.jobs.values(), key=lambda job: job.id)
    return [(job.id, str(job.state), job.attempt, job.maybe_sent) for job in jobs]


def nothing_is_left(engine: Engine) -> None:
    """All is done: no slot, pin, memory, gate or leader is left behind."""
    desk, cache = engine.desk, engine.desk.cache
    held = sum(entry.extent.size_bytes for entry in cache._entries.values())
    lanes = [lane for bot in desk.bots.values() for lane in bot.lanes]
    left = {
        "jobs": len(desk.jobs),
        "fetching": len(engine.downloads.fetching),
        "flights": len(engine.downloads._flights),
        "trials": len(engine.downloads.trials.open),
        "sending": len(engine.uploads.sending),
        "tasks": sum(len(child.tasks) for child in engine.children.all),
        "reserved bytes": cache.used_bytes - held,
        "pins": sum(entry.pins for entry in cache._entries.values()),
        "pinned": len(desk.pinned),
        "leaders": len(desk.leaders._leaders),
        "joined": len(desk.leaders._followers),
        "recalled": len(desk.recalled),
        "recalling": desk.recalling,
        "in flight": sum(lane.in_flight for lane in lanes),
        "under way": sum(bot.under_way for bot in desk.bots.values()),
        "bytes under way": desk.bytes_under_way,
        "suspects": sum(job.suspect for job in desk.jobs.values()),
        "listings": len(engine.listings),
        "probing": sum(lane.gate.probing for lane in lanes)
        + sum(bot.gate.probing for bot in desk.bots.values())
        + sum(gate.probing for gate in desk.buckets.gates.values()),
    }
    if found := {name: number for name, number in left.items() if number}:
        raise Violation("nothing_is_left", f"{found}")
