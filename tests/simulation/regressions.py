"""Seeds that failed once, each with what it showed; replayed by `test_regressions`.

A seed means the same world only as long as the world's dice are rolled in the same order. When the
models change, an old seed still runs, but may not meet what it once met: the tests of `core` hold
the distilled histories, this list is what they were distilled from. Where a rule is named that is
off in `invariants.RULES`, the bug is not mended yet.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Regression:
    """One seed, with the fields of the swarm that were not its own."""

    seed: int
    showed: str
    """What was wrong, in one line."""
    changes: dict[str, Any] = field(default_factory=dict)
    steps: int = 6000


MOVING = {
    "strict": True, "permitted": 1.5, "speed": 10.0, "turn_s": 0.0, "workers": 2, "bots": 2,
    "starve_after_s": 600.0, "cache_items": 1000, "horizon_s": 10.0, "commit_s": 0.002,
    "send_s": 0.1, "boot_s": 0.02, "beat_s": 5.0, "think_s": 0.2, "burst": 8, "duplicates": 0.1,
    "priorities": 0.0, "doubts": 0.0,
}  # fmt: skip
"""Two bots whose chats move."""

REGRESSIONS: tuple[Regression, ...] = (
    Regression(
        17,
        "who joined another key's download for a promised content failed with that key's size "
        "(rule claims_are_ones_own)",
        {"cache_items": 1000, "attempts": 8, "permitted": 1.5, "strict": True},
        steps=4469,
    ),
    Regression(
        5,
        "a pause of a chat that had moved was forgotten by a restart, because the configuration "
        "still names the old id (rule holds_follow_migrations)",
        {
            **MOVING, "migrations": 5.0, "crashes": 2.0, "floods": 3.0, "buckets": 1,
            "claims": 0.0, "sizes_unknown": 0.0, "sizes_wrong": 0.0, "prefixes": 0.0,
            "fetch_faults": 0.0, "slots": 4, "cache_pages": 256, "ttl_s": 300.0, "attempts": 8,
            "hangs": 0.0, "no_memory": 0.0, "poison": 0.0, "silences": 0.0, "refused_chats": 0.0,
            "stalls": 0.0, "revocations": 0.0, "overwrites": 0.0,
        },
        steps=1151,
    ),
    Regression(
        7,
        "a message sent to a chat before it moved was recorded under the new id "
        "(rule messages_keep_their_chat)",
        {**MOVING, "migrations": 8.0, "chats": 1, "paced": True, "hosted": True, "get_s": 0.05},
        steps=404,
    ),
)  # fmt: skip
