"""What the flood model of Telegram is told: every limit, its default and where that is from.

Nobody outside Telegram knows its limits: they are dynamic, per method, chat and bot (telegram.md
4.2). The defaults are what is documented (4.1) or stands in the sources of the Bot API server and
TDLib (facts 2 to 5). A run under another truth takes another policy: `rate_factor` 0.7 makes
Telegram stingier than its documentation, 1.3 more generous.
"""

from dataclasses import dataclass
from math import ceil

EPSILON_S = 1e-6
"""Below this a wait is an artefact of adding floats."""


@dataclass(frozen=True, slots=True)
class FloodPolicy:
    """The limits of one Telegram."""

    rate_factor: float = 1.0
    """Multiplies the three rates below; bursts stay as they are."""
    private_per_s: float = 1.0
    """In a private chat, chat_id >= 0 (telegram.md 4.1)."""
    private_burst: int = 3
    """Sends at once out of full credit: "short bursts" are tolerated, how long ones nobody says."""
    group_sends: int = 20
    group_window_s: float = 60.0
    """In a group or channel, chat_id < 0: so many in so many seconds (telegram.md 4.1)."""
    group_strict: bool = True
    """True: in *any* such window. False: a bucket of that size which refills evenly, and lets 39
    through in its first minute; a limiter built like that still met 429s (telegram.md 4.4)."""
    bot_per_s: int = 30
    """Over all chats of a bot, in any second (telegram.md 4.1)."""

    absorb_s: float = 8.0
    """Waits of one send up to this sum only delay its answer (telegram.md fact 2)."""
    wait_step_s: float = 1.0
    """Waits come in whole seconds: FLOOD_WAIT_x bears an integer (telegram.md fact 2). 0: exact."""
    chain_max: int = 10
    """Sends of one chat that are worked on at a time (telegram.md fact 3)."""
    ignored_factor: float = 1.5
    """A send that ignores a pause makes it longer: known to happen (telegram.md 4.2), the factor is
    section 11's."""
    hearing_s: float = 0.0
    """For so long an answer may be on its way to whoever decides: what a client began meanwhile is
    refused, but not held against it. A driver that knows when the client hears needs none."""
    pause_s_max: float = 86_400.0
    """No pause grows beyond this by being ignored."""
    disguised_every: int = 0
    """Each so-many-th flood answer to an upload comes as a 400 (telegram.md fact 6); 0: none."""

    hosted: bool = True
    """api.telegram.org, whose server guards itself; a local server has only `unsent_max`
    (telegram.md fact 4)."""
    requests_max: int = 1000
    """Active requests per bot (telegram.md fact 4)."""
    uploads_max: int = 100
    """Files in active requests per bot (telegram.md fact 4)."""
    upload_bytes_max: int = 4 << 30
    """Their size in sum (telegram.md fact 4)."""
    unsent_max: int = 310
    """Unsent messages per chat (telegram.md fact 4)."""
    busy_delay_s: float = 3.0
    busy_retry_after_s: int = 60
    """When and what a guard that is hit answers (telegram.md fact 4)."""
    same_size_above_bytes: int = 100_000
    """Larger uploads of exactly one size are spaced (telegram.md fact 5)..."""
    same_size_s_per_byte: float = 1e-7
    same_size_s_min: float = 0.2
    same_size_s_max: float = 0.9
    """...by so much each: 0.2 s up to 2 MB, 0.9 s from 9 MB on..."""
    same_size_credit_s: float = 1.0
    same_size_ahead_s: float = 5.0
    """...after so much saved up, and when their queue is longer than this the guard is hit."""
    shutdown_retry_after_s: int = 5
    """Asked of a request that is dropped when the server ends (telegram.md 4.2)."""

    def __post_init__(self) -> None:
        """Raise ValueError for limits under which nothing could ever be sent."""
        rates = (self.rate_factor, self.private_per_s, self.group_window_s)
        counts = (self.private_burst, self.group_sends, self.bot_per_s, self.chain_max)
        if min(rates) <= 0 or min(counts) < 1:
            raise ValueError("flood policy: rates must be above 0, counts at least 1")

    def said_s(self, wait_s: float) -> float:
        """`wait_s` as Telegram says it."""
        if wait_s <= EPSILON_S:
            return 0.0
        step_s = self.wait_step_s
        return ceil((wait_s - EPSILON_S) / step_s) * step_s if step_s else wait_s

    def permitted(self, chat_id: int | None, duration_s: float) -> int:
        """The most sends one chat (None: a whole bot) can have delivered from full credit on.

        Both ends of the time count. What a bot's chats may do together is the lesser of their sum
        and the bot's own figure; pauses and scripted floods are not taken off.
        """
        scaled_s = duration_s * self.rate_factor
        if chat_id is not None and chat_id >= 0:
            return self.private_burst + int(scaled_s * self.private_per_s + EPSILON_S)
        if chat_id is None:
            return self.bot_per_s * (1 + int(scaled_s + EPSILON_S))
        windows = scaled_s / self.group_window_s
        if self.group_strict:
            return self.group_sends * (1 + int(windows + EPSILON_S))
        return self.group_sends + int(windows * self.group_sends + EPSILON_S)
