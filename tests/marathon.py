"""`make marathon MEDIA=10000`: media of every kind for many bots, through a Telegram that fails and
floods.

Both sides are told the same rates, but Telegram permits 0.7 of them (`--rate-factor`), and nobody
tells prewarmd of that. Nor does it absorb anything (`--absorb-s`): where the real one answers a few
seconds late, from which prewarmd learns before it ever meets a 429, this one refuses at once, now
and then in the disguise of a 400. Of the uploads some break in the body, some arrive and are never
answered, some are answered with a proxy's page, with an error of the server's own or with rubbish,
each by chance.

In the end every media must be ready with a file_id that the server knows for that bot and that
content; nobody may have sent inside a pause; no content may have arrived more often than messages
were delivered without an answer that could be read; and with logging at DEBUG no token may be in
the log.
"""

import argparse
import asyncio
import hashlib
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import Town, residents

BOTS, PAIRS = 6, 2
"""So many bots, with so many pairs of a channel and a private chat each."""
FORMATS: tuple[tuple[str, Format, int, int], ...] = (
    ("photo", Format.JPEG, 9_000, 60_000),
    ("photo", Format.PNG, 60_000, 120_000),
    ("video", Format.MP4, 20_000, 700_000),
    ("video", Format.MP4_SILENT, 5_000, 60_000),
    ("document", Format.PDF, 2_000, 60_000),
    ("audio", Format.MP3, 9_000, 60_000),
    ("animation", Format.GIF, 9_000, 60_000),
    ("voice", Format.OGG, 6_000, 20_000),
    ("video_note", Format.MP4_SQUARE, 20_000, 60_000),
    ("sticker", Format.TGS, 500, 9_000),
)
"""Kind, format, and between how many bytes."""
PER_S = 20
FLOODS = {
    "private_per_s": PER_S, "group_sends": 3 * PER_S, "group_window_s": 3, "bot_per_s": 4 * PER_S,
    "disguised_every": 4, "hearing_s": 0.25,
}  # fmt: skip
RATES = f"private_per_s = {PER_S}\ngroup_per_min = {60 * PER_S}\nbot_per_s = {4 * PER_S}\n"
"""The same: twenty times what is documented, sixty in channels, so that it takes minutes and not
hours. A channel's window is shorter by as much: a minute's would never be full."""
RATE_FACTOR, ABSORB_S = 0.7, 0.0
CHANCE = 0.05
FOREVER = 1 << 30
DOUBTS = (
    {"cut": "answer"},
    {"raw": '{"ok":tru', "status": 200, "delivers": True},
    {"raw": "<html>502 Bad Gateway</html>", "status": 502, "delivers": True},
)
"""The message arrives, and its sender cannot know."""
FAULTS = (
    {"cut": "body", "cut_bytes": 1000},
    {"status": 500, "description": "Internal Server Error: restart"},
    {"raw": "<html>504 Gateway Time-out</html>", "status": 504},
)
QUEUE = "[queue]\nretry_base_s = 0.2\nretry_cap_s = 5\n"
REFUSALS: dict[str, tuple[int, str]] = {
    "MediaRefused": (400, "Bad Request: PHOTO_SAVE_FILE_INVALID"),
    "UnknownRefusal": (400, "Bad Request: something that nobody has heard of"),
    "TooLarge": (413, "Request Entity Too Large"),
}
"""What jobs fail of in the end, so that the log has each kind of failure."""
WAIT_S = 900.0


@dataclass
class Outcome:
    """What a run found."""

    media: int = 0
    ready: int = 0
    known: int = 0
    """Of their file_ids, by the server, for that bot and that content."""
    deliveries: int = 0
    twice: int = 0
    """Deliveries beyond one for each."""
    doubts: int = 0
    """Messages that arrived without an answer that could be read."""
    faults: int = 0
    violations: int = 0
    floods: int = 0
    flooded: Counter[str] = field(default_factory=Counter)
    """Answers to those that were too fast, by their shape."""
    absorbed: int = 0
    """Messages that were too fast, and only came later."""
    refused: Counter[str] = field(default_factory=Counter)
    tokens_in_log: int = 0
    log_lines: int = 0
    seconds: float = 0.0
    others: list[dict[str, Any]] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """What should not be."""
        rules = {
            "media are not ready": self.ready != self.media,
            "file_ids are unknown to the server": self.known != self.ready,
            "messages were sent inside a pause": self.violations > 0,
            "contents arrived more often than doubts explain": self.twice > self.doubts,
            "a token is in the log": self.tokens_in_log > 0,
            "a kind of failure is missing in the log": set(self.refused) != set(REFUSALS),
        }
        return [what for what, is_so in rules.items() if is_so]


class Marathon:
    """One run."""

    def __init__(self, directory: Path, town: Town, media: int, seed: int) -> None:
        self._town = town
        self._daemon = RunningDaemon(
            directory / "prewarmd.toml", directory / "state", options=("--log-level", "debug")
        )
        self._chance = random.Random(seed)
        self._media = media
        self.outcome = Outcome(media)

    async def run(self) -> Outcome:
        """Warm all of them, and judge."""
        jobs = await self._store()
        self._town.write_configuration(
            self._daemon.configuration, limits="documented", rates=RATES,
            extra=QUEUE,
        )  # fmt: skip
        rules = [{"times": FOREVER, "chance": CHANCE, **rule} for rule in (*DOUBTS, *FAULTS)]
        await self._town.telegram.control("POST", "faults", rules)
        began = time.monotonic()
        await self._daemon.start()
        try:
            await self._daemon.submit(jobs)
            await self._end(len(jobs))
            self.outcome.seconds = time.monotonic() - began
            await self._judge()
            await self._refuse()
        finally:
            await self._daemon.stop()
        self._read_log()
        return self.outcome

    async def _store(self) -> list[dict[str, Any]]:
        """Fill the bucket; the jobs."""
        files, jobs = [], []
        slugs = [bot.slug for bot in self._town.telegram.bots]
        for number in range(self._media):
            kind, form, least, most = self._chance.choice(FORMATS)
            size_bytes = self._chance.randint(least, most)
            key = f"marathon/{number}.{form.extension}"
            files.append((key, make(form, size_bytes, number)))
            jobs.append({"bot": self._chance.choice(slugs), "key": key, "kind": kind})
        await self._town.store.put_all(files)
        self._contents = {key: hashlib.sha256(data).hexdigest() for key, data in files}
        return jobs

    async def _end(self, count: int) -> None:
        async def is_over() -> bool:
            counts = (await self._daemon.ask("GET", "/v1/status"))["jobs"]
            return bool(counts["ready"] + counts["failed"] >= count)

        await until(is_over, WAIT_S, 0.25)

    async def _judge(self) -> None:
        outcome, telegram = self.outcome, self._town.telegram
        jobs = await self._daemon.jobs()
        ready = [job for job in jobs if job["state"] == "ready"]
        outcome.ready = len(ready)
        outcome.others = [job for job in jobs if job["state"] != "ready"]
        asked = [[f"{job['bot']}_sandbox_bot", job["file_id"]] for job in ready]
        found = await telegram.control("POST", "known", asked)
        contents = [self._contents[job["key"]] for job in ready]
        outcome.known = sum(one == two for one, two in zip(found, contents, strict=True))
        seen = await telegram.control("GET", "deliveries")
        outcome.deliveries = len(seen)
        outcome.twice = len(seen) - len({(one["bot"], one["sha256"]) for one in seen})
        met = [rule["met"] for rule in await telegram.control("GET", "faults")]
        outcome.doubts = sum(met[: len(DOUBTS)])
        outcome.faults = sum(met[len(DOUBTS) :])
        floods = await telegram.control("GET", "floods")
        outcome.violations, outcome.floods = floods["violations"], floods["floods"]
        outcome.absorbed, outcome.flooded = floods["absorbed"], Counter(floods["refused"])
        await telegram.control("DELETE", "faults")

    async def _refuse(self) -> None:
        """A job for each answer that ends one."""
        slug = self._town.telegram.bots[0].slug
        for number, (code, (status, description)) in enumerate(REFUSALS.items()):
            rule = {"status": status, "description": description, "times": 1 << 10}
            await self._town.telegram.control("POST", "faults", rule)
            key = f"marathon/refused-{number}.pdf"
            await self._town.store.put(key, make(Format.PDF, 5_000, self._media + number))
            [admitted] = await self._daemon.submit([{"bot": slug, "key": key}])
            job = await self._daemon.finished(admitted["id"])
            if job["error"] and job["error"]["code"] == code:
                self.outcome.refused[code] += 1
            await self._town.telegram.control("DELETE", "faults")

    def _read_log(self) -> None:
        text = self._daemon.log.read_text(errors="replace")
        self.outcome.log_lines = text.count("\n")
        for bot in self._town.telegram.bots:
            self.outcome.tokens_in_log += text.count(bot.token.partition(":")[2])


async def run(
    media: int,
    seed: int,
    *,
    rate_factor: float = RATE_FACTOR,
    absorb_s: float = ABSORB_S,
    bots: int = BOTS,
    pairs: int = PAIRS,
) -> Outcome:
    """A run in a town of its own, whose Telegram permits so many times what both were told, and
    delays what is too fast by so much before it refuses it."""
    floods = FLOODS | {"rate_factor": rate_factor, "absorb_s": absorb_s}
    inhabitants = residents([f"bot{number}" for number in range(bots)], pairs=pairs)
    with tempfile.TemporaryDirectory(prefix="prewarmd-marathon-") as directory:
        async with Town(Path(directory), floods=floods, bots=inhabitants) as town:
            return await Marathon(Path(directory), town, media, seed).run()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make marathon")
    parser.add_argument("--media", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument(
        "--rate-factor", type=float, default=RATE_FACTOR,
        help="Telegram permits so many times the rates",
    )  # fmt: skip
    parser.add_argument(
        "--absorb-s", type=float, default=ABSORB_S, help="waits that only delay an answer; real: 8"
    )
    parser.add_argument("--bots", type=int, default=BOTS)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of chats, for each bot")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    outcome = asyncio.run(
        run(
            given.media, given.seed, rate_factor=given.rate_factor, absorb_s=given.absorb_s,
            bots=given.bots, pairs=given.pairs,
        )
    )  # fmt: skip
    print(
        f"media {outcome.media}, ready {outcome.ready}, file_ids known {outcome.known}, "
        f"{outcome.seconds:.0f} s\n"
        f"faults {outcome.faults}, delivered without an answer {outcome.doubts}; "
        f"deliveries {outcome.deliveries}, of those again {outcome.twice}\n"
        f"floods {outcome.floods} (answers: {dict(outcome.flooded)}), absorbed {outcome.absorbed}, "
        f"violations {outcome.violations}\n"
        f"log lines {outcome.log_lines}, tokens in them {outcome.tokens_in_log}, "
        f"failures in it: {', '.join(outcome.refused)}"
    )
    for job in outcome.others[:20]:
        print("NOT READY:", job)
    for what in outcome.wrong:
        print("WRONG:", what)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
