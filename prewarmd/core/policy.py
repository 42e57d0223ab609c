"""What an engine is built from: everything tunable in one value, and the bots."""

from dataclasses import dataclass, field

from prewarmd.core.backoff import RestartPolicy, RetryPolicy
from prewarmd.core.jobs import Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.scoring import ScorePolicy

PHOTO_BYTES_MAX = 10 << 20
"""Of what is sent as a photo (telegram.md 1)."""
VIDEO_NOTE_BYTES_MAX = 12 << 20
"""The same of a round video: a local server's limit, too (TDLib, FileLoaderUtils)."""
FILE_BYTES_MAX = 50_000_000
"""Of anything else, where a server of one's own does not take more."""


def sizes_max(file_bytes: int = FILE_BYTES_MAX) -> dict[Kind, int]:
    """How large each kind may be, where files may have `file_bytes`."""
    return dict.fromkeys(Kind, file_bytes) | {
        Kind.PHOTO: PHOTO_BYTES_MAX,
        Kind.VIDEO_NOTE: VIDEO_NOTE_BYTES_MAX,
    }


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Everything tunable, in one value."""

    workers: int = 5
    slots: int = 64
    cache_bytes: int = 256 << 20
    cache_items: int = 10_000
    ttl_s: float = 300.0
    relay_share: float = 1.0
    """Of the cache: a larger object passes through a child instead."""
    cut_through: bool = True
    """Let uploads of large objects follow their downloads."""
    capacity: int = 1_000_000
    prefetch_horizon_s: float = 10.0
    """How long before its lane may send an object is fetched, and pinned."""
    starve_after_s: float = 600.0
    """A job that has waited so long goes before all levels."""
    size_probe: bool = True
    """Ask the store for sizes nobody told, ahead of time."""
    download_bytes_per_s: float = 0.0
    """Over all children; 0 is no limit."""
    upload_bytes_per_s: float = 0.0
    size_max: dict[Kind, int] = field(default_factory=sizes_max)
    """Hosted Bot API (telegram.md 1); a larger object fails before it is downloaded."""
    score: ScorePolicy = field(default_factory=ScorePolicy)
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    restart: RestartPolicy = field(default_factory=RestartPolicy)


@dataclass(frozen=True, slots=True)
class BotSpec:
    """A configured bot: its slug, and its warm-up chats (id, kind or None)."""

    slug: str
    chats: tuple[tuple[int, str | None], ...]
    links: tuple[str, ...] = ()
    """Buckets whose objects Telegram may fetch by URL."""
