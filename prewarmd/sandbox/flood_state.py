"""What the flood model remembers: of each send under way, each chat, each bot, and in all.

Only `Flood` writes these; drivers and tests read the counts.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from prewarmd.sandbox.flood_pace import NEVER, Bucket, SameSize, Window
from prewarmd.sandbox.flood_policy import EPSILON_S
from prewarmd.sandbox.flood_verdict import Shape, Verdict

BotKey = int | str


@dataclass(frozen=True, slots=True)
class Send:
    """What is asked of Telegram; an album has several `items`, and each costs as one message."""

    bot: BotKey
    chat_id: int
    size_bytes: int = 0
    items: int = 1
    is_upload: bool = True
    """Whether it bears files, not ids of files."""


@dataclass(slots=True, eq=False)
class Pause:
    """Telegram wants silence. One object for all who share it: one event."""

    until: float
    wait_s: float
    shape: Shape | None = None
    """None: as the policy has it."""
    known_from: float = float("inf")
    """When the client first had it for an answer."""

    def holds(self, now: float) -> bool:
        """Whether it is still on."""
        return now < self.until - EPSILON_S


@dataclass(slots=True, eq=False)
class Chat:
    """One chat of one bot."""

    meter: Bucket | Window
    unsent: int = 0
    """Messages whose tickets have not departed."""
    worked: int = 0
    """Tickets in the chain: to be delivered, and not departed."""
    queue: deque["Ticket"] | None = None
    """Tickets without a verdict, for want of room in the chain."""
    last_at: float = NEVER
    """When the last one that was let through is."""
    flooded_s: float = 0.0
    """Time spent waiting for credit, up to `last_at`: what is behind each in the chain inherits."""
    pause: Pause | None = None
    told_from: float = NEVER
    told_until: float = NEVER
    """Between these the client knows that it is to leave the chat alone."""

    delivered: int = 0
    """Messages: an album counts its items."""
    refused: int = 0
    violations: int = 0
    unsent_peak: int = 0
    timeline: deque[float] | None = None
    """When the last messages were delivered, if it is kept."""

    def flooded_by(self, now: float) -> float:
        """Seconds spent waiting for credit, in all, until now."""
        return self.flooded_s - max(0.0, self.last_at - now)

    def hear(self, since: float, until: float) -> None:
        """The client is told to leave the chat alone; several answers of one flood are one."""
        if since >= self.told_until:
            self.told_from, self.told_until = since, until
        else:
            self.told_from = min(self.told_from, since)
            self.told_until = max(self.told_until, until)

    def is_told_at(self, when: float) -> bool:
        """Whether the client knows, then, that it is to leave the chat alone."""
        return self.told_from <= when < self.told_until - EPSILON_S

    def is_idle(self, now: float) -> bool:
        """Whether its next send would meet what a new chat's meets."""
        if self.unsent or self.last_at > now or self.told_until > now:
            return False
        return (self.pause is None or not self.pause.holds(now)) and self.meter.is_full(now)


@dataclass(slots=True, eq=False)
class Bot:
    """One bot."""

    meter: Window
    same_size: SameSize
    chats: dict[int, Chat] = field(default_factory=dict)
    pause: Pause | None = None
    requests: int = 0
    uploads: int = 0
    """Files in active requests."""
    upload_bytes: int = 0
    requests_peak: int = 0
    uploads_peak: int = 0

    def pause_of(self, chat: Chat, now: float) -> Pause | None:
        """The pause a send to this chat meets; one that is over is dropped."""
        pause = chat.pause
        if pause is not None:
            if pause.holds(now):
                return pause
            chat.pause = None
        pause = self.pause
        if pause is not None:
            if pause.holds(now):
                return pause
            self.pause = None
        return None

    def is_idle(self, now: float) -> bool:
        """Whether its next send would meet what a new bot's meets."""
        if self.chats or (self.pause is not None and self.pause.holds(now)):
            return False
        return self.meter.is_full(now) and self.same_size.is_full(now)


@dataclass(slots=True, eq=False)
class Ticket:
    """One send under way: the driver keeps it from `arrive` until `depart`."""

    send: Send
    bot: Bot
    chat: Chat
    began: float
    verdict: Verdict | None = None
    """None while it queues in its chat's chain."""
    ready_at: float = NEVER
    """When the same-size queue lets it on."""
    flooded_s: float = 0.0
    """The chat's flood clock when it came."""
    pause: Pause | None = None
    """What refused it, if that was a flood."""
    has_departed: bool = False

    def count_in(self) -> None:
        """It is active from now on."""
        bot, chat, send = self.bot, self.chat, self.send
        bot.requests += 1
        if bot.requests > bot.requests_peak:
            bot.requests_peak = bot.requests
        chat.unsent += send.items
        if chat.unsent > chat.unsent_peak:
            chat.unsent_peak = chat.unsent
        if send.is_upload:
            bot.uploads += send.items
            bot.upload_bytes += send.size_bytes
            if bot.uploads > bot.uploads_peak:
                bot.uploads_peak = bot.uploads

    def count_out(self) -> None:
        """It is active no more."""
        bot, send = self.bot, self.send
        bot.requests -= 1
        self.chat.unsent -= send.items
        if send.is_upload:
            bot.uploads -= send.items
            bot.upload_bytes -= send.size_bytes


@dataclass(slots=True)
class Tally:
    """Everything since the beginning, over all bots; forgetting a chat takes nothing off."""

    sends: int = 0
    delivered: int = 0
    """Messages: an album counts its items."""
    refused: Counter[Shape] = field(default_factory=Counter)
    """Answers."""
    floods: int = 0
    """Pauses begun: N answers of one flood are one."""
    violations: int = 0
    """Sends begun against a pause the client knew of."""
    probes: int = 0
    """First sends in other chats of a bot whose pause the client knew of."""
    absorbed: int = 0
    """Sends that were delayed for want of credit..."""
    absorbed_s: float = 0.0
    """...and by how much in all."""
    requests: int = 0
    """Active now."""
    requests_peak: int = 0
