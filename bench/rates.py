"""How much of the rate that Telegram permits is used, over ten simulated minutes.

The real engine against the flood model of `sandbox/flood.py`, with more jobs than can be sent:
children answer in simulated time, a body takes 0.1 to 0.5 s, an answer 0.1 to 0.7 s on top of what
the model says. Telegram permits exactly the documented rates, or 30 % less or more without telling;
where it does, the first two minutes are left out. `used`: messages delivered, of those that were
permitted in the same time. `inside`: sends begun inside a pause that we had been told of.

Nothing here is timed: the same seed gives the same figures on any machine.
"""

import argparse
import json
import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

from prewarmd.core import events, reports, verbs
from prewarmd.core.commands import Recall, Spawn, Tell
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import Job, JobId, Kind
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.sandbox.flood import Flood, Send, Ticket
from prewarmd.sandbox.flood_pace import bot_meter, chat_meter
from prewarmd.sandbox.flood_policy import FloodPolicy
from prewarmd.sandbox.flood_verdict import Shape

DURATION_S = 600.0
SEEDS = 3
SCENES = {
    "1 private chat": [BotSpec("bot", ((7, "private"),))],
    "1 channel": [BotSpec("bot", ((-1, "channel"),))],
    "4 channels": [BotSpec("bot", tuple((-n, "channel") for n in range(1, 5)))],
    "50 bots": [BotSpec(f"bot{n}", ((7, "private"),)) for n in range(50)],
}
MEASURED_FROM_S = {1.0: 0.0, 0.7: 120.0, 1.3: 120.0}
"""By how much of the documented rates is permitted."""


class Figures(NamedTuple):
    """Of one run, or the worst of several."""

    used: float
    floods: int
    inside: int


class Scene:
    """Engine, children and Telegram in one calendar."""

    def __init__(self, bots: list[BotSpec], policy: FloodPolicy, seed: int) -> None:
        self.bots = bots
        self.flood = Flood(policy)
        self.engine = Engine(EnginePolicy(capacity=10**9), bots)
        self.dice = random.Random(seed)
        self.now = 0.0
        self.delivered: list[float] = []
        self._inbox: list[events.Event] = []
        self._waiting: dict[int, Callable[[Ticket], None]] = {}
        self._calendar: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._generations: dict[int, int] = {}

    def run(self, seconds: float) -> None:
        """More jobs than can be sent, for so long."""
        for bot in self.bots:
            lanes = len(bot.chats)
            jobs = [self._job(bot.slug) for _ in range(int(seconds * 1.5 * lanes))]
            self._inbox.append(events.Admitted(jobs))
        self._inbox.append(events.Loaded())
        while True:
            happened, self._inbox = self._inbox, []
            for command in self.engine.turn(happened, self.now, self.dice.random()):
                self._perform(command)
            deadline = max(self.now, self.engine.next_deadline(self.now))
            self.now = min(deadline, self._calendar[0][0])
            if self.now >= seconds:
                return
            while self._calendar and self._calendar[0][0] <= self.now:
                heappop(self._calendar)[2]()

    def _job(self, slug: str) -> Job:
        self._number += 1
        size_bytes = self.dice.randint(20_000, 800_000)
        return Job(JobId(self._number), slug, "m", f"{self._number}.jpg", Kind.PHOTO, 0.0,
                   size_bytes=size_bytes)  # fmt: skip

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        """Let it happen then."""
        self._number += 1
        heappush(self._calendar, (self.now + delay_s, self._number, what))

    def _say(self, index: int, report: reports.Report) -> None:
        self._inbox.append(events.ChildReported(index, self._generations[index], report))

    def _perform(self, command: object) -> None:
        match command:
            case Spawn(index, generation):
                self._generations[index] = generation
                self._inbox.append(events.ChildGreeted(index, generation, 1))
                self._beat(index, generation)
            case Recall(job, _, sha256):
                self._inbox.append(events.Recalled(job, sha256, ready=False))
            case Tell(index, verbs.Fetch(task=task, size_bytes=size_bytes, job=job)):
                fetched = reports.Fetched(task, size_bytes, f"{job:064x}", "e")
                self.later(0.05, lambda: self._say(index, fetched))
            case Tell(index, verbs.Upload() as upload):
                began = self.now
                body_s = 0.1 + upload.size_bytes / 2e6
                self.later(body_s, lambda: self._arrive(index, upload, began))
            case _:
                pass

    def _beat(self, index: int, generation: int) -> None:
        self._inbox.append(events.ChildBeat(index, generation))
        self.later(1.0, lambda: self._beat(index, generation))

    def _arrive(self, index: int, upload: verbs.Upload, began: float) -> None:
        """The body is there: Telegram judges, at once or when its chat's chain has room."""
        send = Send(upload.bot, upload.chat_id, upload.size_bytes)
        ticket = self.flood.arrive(send, self.now, began)
        arrived, latency_s = self.now, self.dice.uniform(0.1, 0.7)

        def judged(ticket: Ticket) -> None:
            assert ticket.verdict is not None
            at = max(self.now, ticket.verdict.at)
            self.later(at - self.now, answer)

        def answer() -> None:
            verdict = ticket.verdict
            assert verdict is not None
            for other in self.flood.depart(ticket, self.now, heard_at=self.now + latency_s):
                self._waiting.pop(id(other))(other)
            if verdict.shape is Shape.DELIVERED:
                self.delivered.append(self.now)
                answer_s = self.now - arrived + latency_s
                report: reports.Report = reports.Uploaded(
                    upload.task, "f", "u", "photo", 1, answer_s
                )
            else:
                report = reports.UploadFailed(
                    upload.task, "TooManyRequests", "", float(verdict.retry_after_s), 0,
                    self.now - arrived + latency_s,
                )  # fmt: skip
            self.later(latency_s, lambda: self._say(index, report))

        if ticket.verdict is None:
            self._waiting[id(ticket)] = judged
        else:
            judged(ticket)


def permitted(bots: list[BotSpec], factor: float, since_s: float) -> float:
    """What could be delivered: from the start, bursts included, by a client that knows the model
    and has no latency; later, what the rates come to."""
    policy = FloodPolicy(rate_factor=factor)
    if since_s:
        per_s = [1.0 if chat > 0 else 20 / 60 for bot in bots for chat, _ in bot.chats]
        return sum(per_s) * factor * (DURATION_S - since_s)
    count = 0
    for bot in bots:
        whole, now = bot_meter(policy), 0.0
        meters = [chat_meter(policy, chat) for chat, _ in bot.chats]
        while True:
            meter = min(meters, key=lambda meter: meter.due(now, 1))
            now = max(meter.due(now, 1), whole.due(now, 1))
            if now >= DURATION_S:
                break
            whole.spend(now, now, 1)
            meter.spend(now, now, 1)
            count += 1
    return count


def measure(bots: list[BotSpec], factor: float, seed: int) -> Figures:
    """One run; Telegram permits `factor` times the documented rates."""
    since_s = MEASURED_FROM_S[factor]
    scene = Scene(bots, FloodPolicy(rate_factor=factor), seed)
    scene.run(DURATION_S)
    scene.engine.check()
    scene.flood.check()
    delivered = sum(at >= since_s for at in scene.delivered)
    tally = scene.flood.tally
    return Figures(delivered / permitted(bots, factor, since_s), tally.floods, tally.violations)


def worst(bots: list[BotSpec], factor: float, seeds: int) -> Figures:
    """Of several runs: the least that was used, the most of what is not wanted."""
    runs = [measure(bots, factor, seed) for seed in range(seeds)]
    return Figures(
        min(run.used for run in runs),
        max(run.floods for run in runs),
        max(run.inside for run in runs),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rates", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="runs of each row; the worst is told"
    )
    told = parser.parse_args(arguments)
    rows = ((name, factor) for name in SCENES for factor in MEASURED_FROM_S)
    if told.json:
        table: dict[str, dict[str, dict[str, float]]] = {name: {} for name in SCENES}
        for name, factor in rows:
            table[name][str(factor)] = worst(SCENES[name], factor, told.seeds)._asdict()
        print(json.dumps(table))
        return
    print(f"{'':16}{'permitted':>10}{'used':>8}{'floods':>8}{'inside':>8}")
    for name, factor in rows:
        row = worst(SCENES[name], factor, told.seeds)
        print(f"{name:16}{factor:>9.0%} {row.used:>7.1%}{row.floods:>8}{row.inside:>8}", flush=True)


if __name__ == "__main__":
    main()
