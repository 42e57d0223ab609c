"""The meters of the flood model: when the next send has credit, and what a send takes of it.

`Bucket` is a GCRA: one number, debt drains with time. `Window` remembers its last sends, as many as
it permits, and is the stricter reading of "20 per minute". Both answer `due(now, count)` without
changing, and `spend(now, at, count)` books what was answered; calls come in rising time, so what is
booked rises too. `SameSize` is the Bot API server's own queue (telegram.md fact 5).

Costs: everything is O(1). A window holds `sends` floats, `SameSize` the sizes of the last seconds.
"""

from collections import deque
from dataclasses import dataclass, field

from prewarmd.sandbox.flood_policy import EPSILON_S, FloodPolicy

NEVER = float("-inf")


@dataclass(slots=True)
class Bucket:
    """`burst` sends at once, then one each `interval_s`."""

    interval_s: float
    burst: int
    slack_s: float = field(init=False)
    theoretical: float = NEVER

    def __post_init__(self) -> None:
        """Derive how far ahead of its theoretical time a send may come."""
        self.slack_s = self.interval_s * (self.burst - 1)

    def due(self, now: float, count: int) -> float:
        """When the last of `count` sends that come now has credit."""
        at = max(now, self.theoretical) + self.interval_s * (count - 1) - self.slack_s
        return max(now, at)

    def spend(self, now: float, at: float, count: int) -> None:
        """Book `count` sends that came `now` and were due `at`."""
        self.theoretical = max(now, self.theoretical) + self.interval_s * count

    def is_full(self, now: float) -> bool:
        """Whether forgetting it would change nothing."""
        return self.theoretical <= now


@dataclass(slots=True)
class Window:
    """At most `sends` within any `window_s`, the instant at its end not counted."""

    sends: int
    window_s: float
    recent: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        """Make room for exactly the sends that matter."""
        self.recent = deque(maxlen=self.sends)

    def due(self, now: float, count: int) -> float:
        """When the last of `count` sends that come now has credit; `count` at most `sends`."""
        recent = self.recent
        before = len(recent) + count - 1 - self.sends
        if before < 0:
            return now
        return max(now, recent[before] + self.window_s)

    def spend(self, now: float, at: float, count: int) -> None:
        """Book `count` sends that came `now` and were due `at`."""
        if count == 1:
            self.recent.append(at)
        else:
            self.recent.extend([at] * count)

    def is_full(self, now: float) -> bool:
        """Whether forgetting it would change nothing."""
        return not self.recent or self.recent[-1] + self.window_s <= now


def chat_meter(policy: FloodPolicy, chat_id: int) -> Bucket | Window:
    """A meter for one chat, full of credit."""
    if chat_id >= 0:
        return Bucket(1.0 / (policy.private_per_s * policy.rate_factor), policy.private_burst)
    window_s = policy.group_window_s / policy.rate_factor
    if policy.group_strict:
        return Window(policy.group_sends, window_s)
    return Bucket(window_s / policy.group_sends, policy.group_sends)


def bot_meter(policy: FloodPolicy) -> Window:
    """A meter for all chats of a bot, full of credit."""
    return Window(policy.bot_per_s, 1.0 / policy.rate_factor)


@dataclass(slots=True)
class SameSize:
    """The queues of a bot's uploads by their total size, as Client.cpp's on_cmd keeps them.

    Two generations of sizes: what has not been touched for a whole one is full of credit again, so
    dropping it is the same as keeping it.
    """

    policy: FloodPolicy
    young: dict[int, float] = field(default_factory=dict)
    old: dict[int, float] = field(default_factory=dict)
    turned: float = NEVER

    @property
    def generation_s(self) -> float:
        """In this time the longest queue has drained and saved up all it can."""
        policy = self.policy
        return policy.same_size_ahead_s + policy.same_size_credit_s + 2 * policy.same_size_s_max

    def due(self, size_bytes: int, now: float) -> float | None:
        """When an upload of this size that comes now is let on; None: the queue is too long."""
        policy = self.policy
        if now - self.turned > self.generation_s:
            self.young, self.old, self.turned = {}, self.young, now
        queued_until = self.young.get(size_bytes)
        if queued_until is None:
            queued_until = self.old.get(size_bytes, NEVER)
        if queued_until > now + policy.same_size_ahead_s + EPSILON_S:
            return None
        spacing_s = size_bytes * policy.same_size_s_per_byte
        spacing_s = min(max(spacing_s, policy.same_size_s_min), policy.same_size_s_max)
        at = max(queued_until + spacing_s, now - policy.same_size_credit_s)
        self.young[size_bytes] = at
        return max(at, now)

    def is_full(self, now: float) -> bool:
        """Whether forgetting it would change nothing."""
        return now - self.turned > 2 * self.generation_s or not (self.young or self.old)
