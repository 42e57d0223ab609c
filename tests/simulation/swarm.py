"""What a seed draws: sizes, speeds, and which troubles exist at all.

Worlds in which everything goes wrong a little find few bugs; worlds in which some things never
happen and others always do find many (Groce et al., "Swarm Testing", 2012). So each trouble is off
in most seeds, and its rate is drawn over orders of magnitude where it is on. Sizes are tiny on
purpose: a cache of four pages meets its edge at every step.

The defaults are a calm world: shrinking a failure means setting fields back to them. Rates of a
verb's troubles are per verb; those of the weather are per 1000 steps.
"""

from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Any, Self

from prewarmd.core.backoff import RestartPolicy, RetryPolicy
from prewarmd.core.extents import PAGE
from prewarmd.core.jobs import Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.scoring import ScorePolicy

PAGES = (1, 1, 1, 1, 2, 2, 3, 4, 8, 12, 24)
"""Sizes of contents, in pages, drawn evenly."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """One world's settings; JSON-able, all of them."""

    # Sizes.
    workers: int = 2
    slots: int = 4
    cache_pages: int = 256
    cache_items: int = 1000
    ttl_s: float = 300.0
    horizon_s: float = 10.0
    starve_after_s: float = 600.0
    size_probe: bool = True
    download_bytes_per_s: float = 0.0
    upload_bytes_per_s: float = 0.0
    attempts: int = 8
    retry_cap_s: float = 60.0
    cut_through: bool = False
    relay_share: float = 1.0
    bots: int = 2
    chats: int = 1
    kinds: str = "private"
    """Of the chats: private, channel, mixed, or unknown (to be asked)."""
    buckets: int = 1
    # Speeds.
    paced: bool = True
    speed: float = 10.0
    """The lanes' rates, as a multiple of the documented ones."""
    permitted: float = 1.5
    """What Telegram permits, as a multiple of the lanes' rates."""
    strict: bool = True
    """Telegram counts a group's sends in any minute, not by a bucket."""
    hosted: bool = True
    """Its server guards itself."""
    disguised_every: int = 0
    """Each so-many-th flood answer comes as a 400."""
    commit_s: float = 0.002
    get_s: float = 0.05
    send_s: float = 0.1
    turn_s: float = 0.0
    """How long the shell is busy with a turn: what happens meanwhile is the next one's batch."""
    boot_s: float = 0.02
    beat_s: float = 5.0
    # Clients.
    backlog: int = 60
    """They hold back while so many jobs are unfinished."""
    think_s: float = 0.2
    """Between two of their doings, on average."""
    burst: int = 8
    duplicates: float = 0.1
    """Share of submits for a key that was used before."""
    twins: float = 0.1
    """Share of new objects with the content of another one."""
    claims: float = 0.0
    """Share of submits that promise a content."""
    false_claims: float = 0.0
    sizes_unknown: float = 0.0
    sizes_wrong: float = 0.0
    priorities: float = 0.0
    cancels: float = 0.0
    wakes: float = 0.0
    prefixes: float = 0.0
    # Troubles of a verb.
    fetch_faults: float = 0.0
    upload_faults: float = 0.0
    doubts: float = 0.0
    """Delivered, and not answered so that anybody could know."""
    refusals: float = 0.0
    """Share of contents that Telegram refuses."""
    deaths: float = 0.0
    hangs: float = 0.0
    no_memory: float = 0.0
    slow: float = 0.0
    """Share of transfers that take a hundred times as long."""
    missing: float = 0.0
    """Share of submits for an object that is not there, or empty, or too large."""
    poison: float = 0.0
    """Share of contents that kill whoever touches them."""
    stale_reports: float = 0.0
    boot_faults: float = 0.0
    # Weather.
    kills: float = 0.0
    stalls: float = 0.0
    outages: float = 0.0
    """Of a bucket."""
    silences: float = 0.0
    """Outages of Telegram."""
    floods: float = 0.0
    """Pauses that Telegram wants whatever was sent."""
    revocations: float = 0.0
    refused_chats: float = 0.0
    refused_kinds: float = 0.0
    migrations: float = 0.0
    overwrites: float = 0.0
    crashes: float = 0.0
    drains: float = 0.0
    # Ways without bytes.
    complaints: float = 0.0
    """Share of the clients' doings in which one says that a file_id is stale..."""
    probes: float = 0.0
    """...and of those in which one is to be proven."""
    links: float = 0.0
    """Share of bots that may give Telegram URLs."""
    url_refusals: float = 0.0
    deletions: float = 0.0
    """Messages go, some at a time, as the weather does; file_ids likewise."""
    spoilings: float = 0.0

    @classmethod
    def draw(cls, seed: int) -> Self:
        """The settings of a seed."""
        dice = Random(f"swarm/{seed}")
        trouble = dice.choice([0.15, 0.4, 0.7])
        drawn: dict[str, Any] = {name: dice.choice(some) for name, some in _CHOICES.items()}
        for name, (low, high) in _RATES.items():
            on, at = dice.random() < trouble, dice.random()
            if on:
                drawn[name] = round(low * (high / low) ** at, 5)
        return cls(**drawn)

    def but(self, changes: dict[str, Any]) -> Self:
        """With some fields changed; KeyError names one that does not exist."""
        if strange := [name for name in changes if name not in self.__slots__]:
            raise KeyError(f"a swarm has no {', '.join(strange)}")
        return replace(self, **changes)

    @classmethod
    def calm_fields(cls) -> dict[str, Any]:
        """Every field as in the calm world: laid over a seed's own, only its dice are left."""
        return {field.name: field.default for field in fields(cls)}

    def unusual(self) -> dict[str, Any]:
        """The fields that differ from the calm world."""
        calm = self.calm_fields()
        return {name: value for name, value in asdict(self).items() if value != calm[name]}

    @property
    def slowest_transfer_s(self) -> float:
        """How long a byte budget may hold the largest content back."""
        budgets = [b for b in (self.download_bytes_per_s, self.upload_bytes_per_s) if b]
        return max(PAGES) * PAGE / min(budgets) if budgets else 0.0

    def calm(self) -> Self:
        """The same world without trouble."""
        return self.but(dict.fromkeys(_TROUBLES, 0.0))

    def policy(self) -> EnginePolicy:
        """For the engine. Thresholds of sizes are scaled to a world of few pages."""
        return EnginePolicy(
            workers=self.workers,
            slots=self.slots,
            cache_bytes=self.cache_pages * PAGE,
            cache_items=self.cache_items,
            ttl_s=self.ttl_s,
            relay_share=self.relay_share,
            cut_through=self.cut_through,
            capacity=2000,
            prefetch_horizon_s=self.horizon_s,
            size_probe=self.size_probe,
            starve_after_s=self.starve_after_s,
            download_bytes_per_s=self.download_bytes_per_s,
            upload_bytes_per_s=self.upload_bytes_per_s,
            size_max=dict.fromkeys(Kind, 20 * PAGE) | {Kind.PHOTO: 10 * PAGE},
            score=ScorePolicy(
                tiny_below_bytes=PAGE + 1,
                small_below_bytes=3 * PAGE,
                huge_above_bytes=8 * PAGE,
                young_s=20.0,
            ),
            limits=LimitPolicy(
                paced=self.paced,
                private_per_s=self.speed,
                group_per_min=20.0 * self.speed,
                bot_per_s=30.0 * self.speed,
            ),
            retry=RetryPolicy(attempts=self.attempts, cap_s=self.retry_cap_s),
            restart=RestartPolicy(silence_s=3 * self.beat_s),
        )

    def specs(self) -> list[BotSpec]:
        """The bots, and the chats they may send to; every chat has one bot."""
        return [
            BotSpec(
                f"bot{bot}",
                tuple(self._chat(bot, chat) for chat in range(self.chats)),
                self._links(bot),
            )
            for bot in range(self.bots)
        ]

    def _links(self, bot: int) -> tuple[str, ...]:
        """The buckets of which a bot may give URLs: the first one, and half of the others."""
        if bot >= round(self.links * self.bots):
            return ()
        return tuple(f"m{bucket}" for bucket in range(self.buckets) if bucket % 2 == 0)

    def _chat(self, bot: int, chat: int) -> tuple[int, str | None]:
        number = 1000 * (bot + 1) + chat
        if self.kinds == "private":
            return number, "private"
        if self.kinds == "channel":
            return -number, "channel"
        if self.kinds == "unknown":
            return (number, None) if chat % 2 else (-number, None)
        return (number, "private") if chat % 2 else (-number, "channel")


_CHOICES: dict[str, tuple[Any, ...]] = {
    "workers": (1, 2, 2, 3, 5),
    "slots": (1, 2, 4, 8, 16),
    "cache_pages": (4, 24, 32, 64, 256, 1024),
    "cache_items": (1, 3, 20, 1000),
    "ttl_s": (0.0, 1.0, 20.0, 300.0),
    "horizon_s": (0.0, 2.0, 10.0),
    "starve_after_s": (5.0, 60.0, 600.0),
    "size_probe": (True, True, False),
    "download_bytes_per_s": (0.0, 0.0, 0.0, 0.0, 300_000.0),
    "upload_bytes_per_s": (0.0, 0.0, 0.0, 0.0, 300_000.0),
    "attempts": (2, 4, 8),
    "retry_cap_s": (5.0, 60.0),
    "cut_through": (True, True, False),
    "relay_share": (1.0, 1.0, 0.25, 0.02),
    "bots": (1, 2, 3, 5, 12),
    "chats": (1, 1, 2, 4),
    "kinds": ("private", "private", "channel", "mixed", "unknown"),
    "buckets": (1, 1, 2, 3),
    "paced": (True, True, True, False),
    "speed": (3.0, 30.0, 30.0),
    "permitted": (0.7, 1.0, 1.5, 20.0),
    "strict": (True, False),
    "hosted": (True, True, False),
    "disguised_every": (0, 0, 3),
    "commit_s": (0.0, 0.001, 0.01, 0.3),
    "get_s": (0.001, 0.05, 0.5),
    "send_s": (0.005, 0.1, 1.0),
    "turn_s": (0.0, 0.05, 0.1, 0.3, 0.3),
    "boot_s": (0.01, 1.0),
    "beat_s": (3.0, 10.0),
    "backlog": (10, 60, 60, 250),
    "think_s": (0.005, 0.02, 0.1),
    "burst": (1, 4, 12, 40),
    "duplicates": (0.05, 0.3),
    "twins": (0.0, 0.1, 0.5),
}
_TROUBLES = (
    "fetch_faults", "upload_faults", "doubts", "refusals", "deaths", "hangs", "no_memory", "slow",
    "poison", "stale_reports", "boot_faults", "url_refusals",
)  # fmt: skip
"""Troubles of verbs: what stops when a world is to heal."""
_RATES: dict[str, tuple[float, float]] = {
    "claims": (0.05, 0.9),
    "false_claims": (0.005, 0.1),
    "sizes_unknown": (0.1, 1.0),
    "sizes_wrong": (0.01, 0.2),
    "priorities": (0.1, 0.9),
    "cancels": (0.02, 0.4),
    "wakes": (0.02, 0.4),
    "prefixes": (0.02, 0.3),
    "fetch_faults": (0.003, 0.3),
    "upload_faults": (0.003, 0.3),
    "doubts": (0.003, 0.2),
    "refusals": (0.005, 0.1),
    "deaths": (0.0005, 0.05),
    "hangs": (0.0003, 0.005),
    "no_memory": (0.003, 0.2),
    "slow": (0.005, 0.1),
    "missing": (0.005, 0.1),
    "poison": (0.002, 0.03),
    "stale_reports": (0.1, 1.0),
    "boot_faults": (0.05, 0.6),
    "kills": (0.3, 10.0),
    "stalls": (0.1, 2.0),
    "outages": (0.1, 2.0),
    "silences": (0.1, 1.0),
    "floods": (0.1, 2.0),
    "revocations": (0.1, 1.0),
    "refused_chats": (0.1, 2.0),
    "migrations": (0.05, 1.0),
    "overwrites": (1.0, 50.0),
    "crashes": (0.05, 2.0),
    "drains": (0.05, 1.0),
    "refused_kinds": (0.1, 2.0),
    "complaints": (0.01, 0.3),
    "probes": (0.01, 0.3),
    "links": (0.3, 1.0),
    "url_refusals": (0.01, 0.5),
    "deletions": (0.3, 10.0),
    "spoilings": (0.3, 10.0),
}
