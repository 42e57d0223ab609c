"""Links: of which objects Telegram is given a URL, in the place of their bytes.

Only a bot whose operator wants it, only content that is known beforehand (nobody here sees its
bytes, so nobody here can hash them), and only what Telegram takes that way: photos up to 5 MB, else
20 MB, documents of three types, no round videos (telegram.md 7).

Telegram remembers a URL for days, a failure to fetch it, too; so an object that was refused once
goes by its bytes for as long. A bot of which one link after the other is refused (a firewall, a
proxy that asks for a cookie) makes no more of them for a while.

Costs: O(1), and some 200 bytes for each of the last REFUSED_MAX objects that were refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from prewarmd.core.jobs import Job, Kind
from prewarmd.core.policy import BotSpec

PRESIGNED = "presigned"
"""How a bot says that its URLs are signed ones of the store's, not of a public domain."""
PHOTO_BYTES_MAX, VOICE_BYTES_MAX, FILE_BYTES_MAX = 5_000_000, 1_000_000, 20_000_000
EXTENSIONS: dict[Kind, frozenset[str]] = {
    Kind.DOCUMENT: frozenset({"gif", "pdf", "zip"}),
    Kind.VOICE: frozenset({"ogg", "oga"}),
    Kind.STICKER: frozenset({"webp"}),
    Kind.VIDEO_NOTE: frozenset(),
}
"""Where Telegram takes some types alone."""
SIZES_MAX: dict[Kind, int] = {Kind.PHOTO: PHOTO_BYTES_MAX, Kind.VOICE: VOICE_BYTES_MAX}
REFUSED_S = 3 * 86_400.0
REFUSED_MAX = 10_000
FAILURES_MAX, REST_S = 5, 3600.0
"""So many refusals in a row, and a bot makes no links for so long."""


@dataclass(slots=True)
class Credit:
    """Which buckets a bot's links may be of, and how they fare."""

    buckets: tuple[str, ...]
    failures: int = 0
    rests_until: float = 0.0


class Links:
    """Of the bots that want them."""

    def __init__(self, bots: Iterable[BotSpec]) -> None:
        self._credits = {bot.slug: Credit(bot.links) for bot in bots if bot.links}
        self._refused: dict[tuple[str, str], float] = {}
        """(bucket, key) -> until when it goes by its bytes; the one refused last is last."""

    def may_go(self, job: Job, now: float) -> bool:
        """Whether the object of a job whose content is promised may go by URL."""
        credit = self._credits.get(job.bot)
        if credit is None or credit.rests_until > now or not job.size_bytes:
            return False
        if job.about is not None or job.bucket not in credit.buckets:
            return False  # a thumbnail goes along with bytes alone
        if job.size_bytes > SIZES_MAX.get(job.kind, FILE_BYTES_MAX):
            return False
        extensions = EXTENSIONS.get(job.kind)
        if extensions is not None and job.key.rpartition(".")[2].lower() not in extensions:
            return False
        return self._refused.get((job.bucket, job.key), 0.0) <= now

    def refuse(self, job: Job, now: float) -> None:
        """Telegram could not take it."""
        self._refused.pop((job.bucket, job.key), None)
        self._refused[job.bucket, job.key] = now + REFUSED_S
        if len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        credit = self._credits[job.bot]
        credit.failures += 1
        if credit.failures >= FAILURES_MAX:
            credit.rests_until = now + REST_S

    def accept(self, job: Job) -> None:
        """It could."""
        self._credits[job.bot].failures = 0
