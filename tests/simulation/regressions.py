"""Seeds that failed once, each with what it showed; replayed by `test_simulation`.

A seed means the same world only as long as the world's dice are rolled in the same order. When the
models change, an old seed still runs, but may not meet what it once met: the tests of `core` hold
the distilled histories, this list is what they were distilled from.
"""

from dataclasses import dataclass
from typing import Any

from tests.simulation.swarm import Swarm


@dataclass(frozen=True)
class Regression:
    """One seed."""

    seed: int
    showed: str
    """What was wrong."""
    changes: dict[str, Any]
    """Where its world differs from the calm one; what the seed would draw plays no part."""
    steps: int

    @property
    def fields(self) -> dict[str, Any]:
        """Of its swarm, all of them."""
        return Swarm.calm_fields() | self.changes


REGRESSIONS: tuple[Regression, ...] = (
    Regression(
        12,
        "who joined another key's download for a promised content failed with that key's size",
        {
            "cache_pages": 64, "bots": 3, "get_s": 0.5, "claims": 0.9, "false_claims": 0.1,
            "sizes_unknown": 0.5, "sizes_wrong": 0.07454, "priorities": 0.20902,
            "upload_faults": 0.01155, "doubts": 0.03657, "deaths": 0.00689, "missing": 0.09395,
            "poison": 0.01886, "revocations": 0.13061, "migrations": 0.08934, "overwrites": 1.3465,
        },
        steps=2068,
    ),
    Regression(
        5,
        "a pause of a chat that had moved was forgotten by a restart, because the configuration "
        "still names the old id",
        {"floods": 3.0, "migrations": 5.0, "crashes": 2.0},
        steps=1151,
    ),
    Regression(
        9,
        "a message sent to a chat before it moved was recorded under the new id",
        {
            "slots": 16, "get_s": 0.5, "send_s": 1.0, "boot_s": 1.0, "think_s": 0.005, "burst": 1,
            "silences": 0.10936, "floods": 0.21854, "refused_chats": 0.12272, "migrations": 8.0,
        },
        steps=276,
    ),
    Regression(
        86,
        "what a child was told in the turn that heard of its exit was blamed for its death",
        {
            "cache_pages": 32, "ttl_s": 1.0, "starve_after_s": 5.0, "attempts": 2,
            "retry_cap_s": 5.0, "bots": 1, "chats": 4, "kinds": "unknown", "speed": 30.0,
            "commit_s": 0.0, "get_s": 0.001, "turn_s": 0.05, "boot_s": 1.0, "think_s": 0.1,
            "burst": 12, "duplicates": 0.05, "twins": 0.0, "claims": 0.22224,
            "sizes_unknown": 0.44489, "wakes": 0.18104, "upload_faults": 0.22102,
            "doubts": 0.01822, "deaths": 0.02739, "missing": 0.01052, "stale_reports": 0.17937,
        },
        steps=7741,
    ),
    Regression(
        43,
        "two conditional GETs of one job, the first given up, were both told that its object is "
        "unchanged: the second answer met a job that had forgotten its ETag",
        {
            "slots": 8, "cache_pages": 32, "cache_items": 3, "ttl_s": 20.0, "horizon_s": 0.0,
            "starve_after_s": 5.0, "bots": 5, "chats": 4, "buckets": 3, "speed": 30.0,
            "commit_s": 0.0, "get_s": 0.001, "send_s": 1.0, "boot_s": 0.01, "beat_s": 10.0,
            "think_s": 0.02, "burst": 12, "duplicates": 0.05, "twins": 0.5, "claims": 0.40544,
            "false_claims": 0.0095, "sizes_wrong": 0.03053, "priorities": 0.4922,
            "fetch_faults": 0.0402, "upload_faults": 0.01577, "doubts": 0.00795,
            "refusals": 0.07335, "deaths": 0.00812, "hangs": 0.00145, "no_memory": 0.00444,
            "slow": 0.01679, "stale_reports": 0.25072, "boot_faults": 0.18076, "stalls": 0.20687,
            "outages": 0.28756, "floods": 3.0, "revocations": 0.36237, "refused_chats": 0.18217,
            "migrations": 4.0, "overwrites": 3.06619, "crashes": 2.0, "drains": 0.23697,
        },
        steps=1848,
    ),
    Regression(
        0,
        "who joined a GET that had begun before the submit became ready with what the object held "
        "then, although nothing may be believed",
        {
            "workers": 5, "slots": 2, "ttl_s": 0.0, "send_s": 0.005, "turn_s": 0.3, "boot_s": 1.0,
            "no_memory": 0.01642, "slow": 0.1, "overwrites": 30.0,
        },
        steps=1172,
    ),
    Regression(
        1108,
        "the oracle gave healing no time for the jobs that listings still brought in",
        {
            "workers": 1, "slots": 2, "cache_pages": 24, "ttl_s": 0.0, "starve_after_s": 60.0,
            "attempts": 4, "cut_through": True, "relay_share": 0.02, "commit_s": 0.01,
            "send_s": 1.0, "boot_s": 0.01, "beat_s": 3.0, "backlog": 10, "think_s": 0.005,
            "burst": 1, "duplicates": 0.3, "claims": 0.15497, "false_claims": 0.01531,
            "sizes_unknown": 0.1214, "cancels": 0.07556, "prefixes": 0.29975,
            "upload_faults": 0.07975, "refusals": 0.0802,
        },
        steps=4900,
    ),
    Regression(
        17,
        "a message was forwarded from a chat that had moved, and the lane of another chat went "
        "along with it",
        {
            "chats": 2, "kinds": "unknown", "speed": 30.0, "refused_chats": 1.19909,
            "refused_kinds": 1.01774, "migrations": 0.78663, "complaints": 0.09666,
            "probes": 0.05387,
        },
        steps=1000,
    ),
    Regression(
        50,
        "a probe that followed a job which needed no upload was ready without having been sent",
        {
            "workers": 3, "ttl_s": 0.0, "horizon_s": 2.0, "starve_after_s": 5.0,
            "cut_through": True, "bots": 3, "kinds": "channel", "paced": False, "commit_s": 0.01,
            "get_s": 0.5, "send_s": 0.005, "turn_s": 0.3, "boot_s": 0.01, "beat_s": 10.0,
            "backlog": 250, "think_s": 0.02, "burst": 4, "duplicates": 0.3, "twins": 0.5,
            "sizes_unknown": 0.13822, "sizes_wrong": 0.01503, "fetch_faults": 0.06014,
            "upload_faults": 0.08418, "refusals": 0.04321, "no_memory": 0.00491, "slow": 0.03346,
            "missing": 0.00534, "kills": 9.96421, "stalls": 1.32827, "refused_chats": 0.4553,
            "complaints": 0.20849, "probes": 0.15186, "links": 0.82658,
        },
        steps=1903,
    ),
    Regression(
        54,
        "a bot whose lanes pause let a suspect's bytes go when all had had their turns, and nobody "
        "took the memory",
        {
            "workers": 5, "slots": 16, "cache_pages": 32, "cache_items": 1, "ttl_s": 1.0,
            "horizon_s": 0.0, "starve_after_s": 60.0, "retry_cap_s": 5.0, "cut_through": True,
            "bots": 12, "buckets": 2, "speed": 30.0, "commit_s": 0.3, "turn_s": 0.1,
            "boot_s": 0.01, "beat_s": 3.0, "backlog": 250, "think_s": 0.02, "burst": 40,
            "duplicates": 0.3, "claims": 0.26089, "false_claims": 0.04549,
            "sizes_unknown": 0.54862, "priorities": 0.44532, "wakes": 0.09482,
            "prefixes": 0.05344, "fetch_faults": 0.16515, "doubts": 0.00425, "deaths": 0.01088,
            "hangs": 0.00078, "no_memory": 0.00394, "slow": 0.03839, "missing": 0.00693,
            "poison": 0.02606, "stale_reports": 0.29973, "boot_faults": 0.08065,
            "kills": 5.66389, "stalls": 0.12076, "outages": 0.16201, "silences": 0.94553,
            "revocations": 0.74177, "overwrites": 9.37024, "drains": 0.1185, "probes": 0.13207,
            "spoilings": 1.73171,
        },
        steps=5000,
    ),
    Regression(
        236,
        "the oracle looked for a job whose GET began in the turn in which its child died, and in "
        "which a client took it back",
        {
            "workers": 1, "slots": 8, "cache_items": 3, "upload_bytes_per_s": 300000.0, "bots": 5,
            "chats": 2, "kinds": "unknown", "paced": False, "commit_s": 0.0, "send_s": 0.005,
            "turn_s": 0.3, "think_s": 0.005, "burst": 12, "duplicates": 0.3, "twins": 0.0,
            "claims": 0.17804, "false_claims": 0.0731, "priorities": 0.18252, "cancels": 0.25104,
            "wakes": 0.25371, "prefixes": 0.06232, "fetch_faults": 0.00373,
            "upload_faults": 0.01726, "refusals": 0.05369, "no_memory": 0.0084, "slow": 0.01942,
            "missing": 0.02713, "kills": 5.82805, "stalls": 0.10086, "floods": 0.24689,
            "refused_chats": 0.39212, "refused_kinds": 0.64564, "migrations": 0.13388,
            "overwrites": 38.66614, "crashes": 0.07383, "complaints": 0.03165, "probes": 0.11472,
            "links": 0.3186, "url_refusals": 0.38354, "deletions": 0.30766, "spoilings": 2.70631,
        },
        steps=606,
    ),
)  # fmt: skip
