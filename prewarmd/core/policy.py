"""What an engine is built from: everything tunable in one value, and the bots."""

from dataclasses import dataclass, field

from prewarmd.core.backoff import RestartPolicy, RetryPolicy
from prewarmd.core.jobs import Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.scoring import ScorePolicy


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Everything tunable, in one value."""

    workers: int = 5
    slots: int = 64
    cache_bytes: int = 256 << 20
    cache_items: int = 10_000
    ttl_s: float = 300.0
    capacity: int = 1_000_000
    prefetch_horizon_s: float = 10.0
    size_max: dict[Kind, int] = field(
        default_factory=lambda: {
            Kind.PHOTO: 10 << 20,
            Kind.VIDEO: 50_000_000,
            Kind.DOCUMENT: 50_000_000,
            Kind.AUDIO: 50_000_000,
        }
    )
    """Hosted Bot API (telegram.md 1); a larger object fails before it is downloaded."""
    score: ScorePolicy = field(default_factory=ScorePolicy)
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    restart: RestartPolicy = field(default_factory=RestartPolicy)


@dataclass(frozen=True, slots=True)
class BotSpec:
    """A configured bot: its slug and its warm-up chats (id, kind or None)."""

    slug: str
    chats: tuple[tuple[int, str | None], ...]
