"""Telegram's flood control, and its server's guards, as a state machine without a clock.

A send arrives and is judged; its verdict is a value that says what is answered and when. The driver
(a simulation with a calendar of events, or the Bot API server in real time) carries that out, adds
what latency it likes, and says `depart` when the work is over. Time is an argument and never goes
back; nothing is drawn by lot; the same calls make the same verdicts.

**How a send is judged** (telegram.md section 11, facts 1 to 6), the first that applies:

1. The server is away: 429 with 5 s, or 500.
2. The chat or its bot is paused: refused with what is left of the pause.
3. A guard of the server is hit: 429 with 60 s, 3 s late. That is no flood: less at once helps, a
   pause does not, and so none begins.
4. Ten of its chat are worked on: it queues, and is judged when one of them departs. Until then its
   ticket has no verdict.
5. The meters of chat and bot say how long it must wait. Waits of up to 8 s in sum only delay it;
   they are said in whole seconds, and nobody overtakes within a chat. The sum counts the waits
   of those ahead, too, since it came: TDLib hands them on (its SequenceDispatcher.cpp). A longer
   sum is a flood: 429 with the last wait; the chat is paused (the bot, where its own meter is to
   blame), and all that queue in the chat fail with it. What is absorbed already still arrives.

**Ignoring a pause.** The client knows of a pause once it has heard the answer, not before. What it
began to send earlier belongs to the same event: refused likewise, without harm. What it begins in a
chat that it was told to leave alone is a *violation*: counted, and the pause starts anew, 1.5 times
as long. A 429 bears no scope (fact 1), so the first send in *another* chat of a paused bot is how a
client finds out: a *probe*, refused and counted, no violation.

**Invariants** (`check`): at most `chain_max` of a chat are worked on, and only a full chain has a
queue; what is active belongs to a chat; violations add up. Whatever is delivered had its chat's
credit, `wait_step_s` and the same-size queue earlier at most, so no stretch of time holds more than
the meter permits in one longer by that; for a bot, longer by `absorb_s` as well.

**Costs.** A send and its departure are O(1), about 3 us; no history is searched. A flood fails its
chat's queue in one go, each ticket once. Memory: 0.5 to 1.5 KB a chat until `forget_idle`, a ticket
while it is active.

It does not model: bytes on the wire, what a file is, whether a chat exists, the 20 new bots a
minute of one IP address.
"""

from collections import deque
from collections.abc import Sequence
from math import ceil

from prewarmd.sandbox.flood_pace import NEVER, SameSize, bot_meter, chat_meter
from prewarmd.sandbox.flood_policy import EPSILON_S, FloodPolicy
from prewarmd.sandbox.flood_state import Bot, BotKey, Chat, Pause, Send, Tally, Ticket
from prewarmd.sandbox.flood_verdict import FLOODS, Shape, Verdict

__all__ = ["BotKey", "Flood", "FloodPolicy", "Send", "Shape", "Tally", "Ticket", "Verdict"]

NOBODY_HEARS = float("inf")


class Flood:
    """All of Telegram, as far as it says "not so fast"."""

    def __init__(self, policy: FloodPolicy | None = None, *, timeline_max: int = 0) -> None:
        self.policy = policy or FloodPolicy()
        self.tally = Tally()
        self.now = NEVER
        self._bots: dict[BotKey, Bot] = {}
        self._timeline_max = timeline_max
        self._outage = (Shape.SHUTDOWN, NEVER)
        self._upload_refusals = 0
        self._violations_forgotten = 0

    # -- sends -------------------------------------------------------------------------------------

    def arrive(self, send: Send, now: float, began: float | None = None) -> Ticket:
        """A send has arrived whole. `began`: when the client began it, if that was before.

        The ticket bears the verdict, or none yet: `depart` of another then returns it with one.
        """
        assert now >= self.now, f"time went back from {self.now} to {now}"
        self.now = now
        bot = self._bots.get(send.bot) or self._new_bot(send.bot)
        chat = bot.chats.get(send.chat_id) or self._new_chat(bot, send.chat_id)
        ticket = Ticket(send, bot, chat, now if began is None else began)
        ticket.count_in()
        tally = self.tally
        tally.sends += 1
        tally.requests += 1
        if tally.requests > tally.requests_peak:
            tally.requests_peak = tally.requests
        if now < self._outage[1]:
            self._refuse_by_server(ticket, self._outage[0], now)
        elif (pause := bot.pause_of(chat, now)) is not None:
            self._refuse(ticket, pause, now)
        elif self._is_guarded(ticket, now):
            self._refuse_by_server(ticket, Shape.SERVER_BUSY, now)
        elif chat.worked >= self.policy.chain_max:
            ticket.flooded_s = chat.flooded_by(now)
            if chat.queue is None:
                chat.queue = deque()
            chat.queue.append(ticket)
        else:
            self._judge(ticket, now, 0.0)
        return ticket

    def depart(self, ticket: Ticket, now: float, heard_at: float | None = None) -> Sequence[Ticket]:
        """Its work is over: the tickets that are judged because of that.

        `heard_at`: when the client has the answer, if not now; NOBODY_HEARS if it is gone. Being
        gone does not undo a send (telegram.md fact 11), so keep the ticket until its verdict is
        due; departing while it still queues withdraws it.
        """
        assert now >= self.now, f"time went back from {self.now} to {now}"
        assert not ticket.has_departed, "a ticket departs once"
        self.now = now
        ticket.has_departed = True
        chat = ticket.chat
        ticket.count_out()
        self.tally.requests -= 1
        verdict = ticket.verdict
        if verdict is None:
            assert chat.queue is not None
            chat.queue.remove(ticket)
        elif verdict.shape is Shape.DELIVERED:
            chat.worked -= 1
            if chat.queue:
                return self._advance(chat, now)
        elif ticket.pause is not None and heard_at != NOBODY_HEARS:
            heard_at = now if heard_at is None else heard_at
            known_from = heard_at + self.policy.hearing_s
            chat.hear(known_from, heard_at + verdict.retry_after_s)
            ticket.pause.known_from = min(ticket.pause.known_from, known_from)
        return ()

    # -- what happens to them ----------------------------------------------------------------------

    def begin_flood(
        self, bot: BotKey, chat_id: int | None, now: float, wait_s: float,
        shape: Shape = Shape.PLAIN,
    ) -> None:  # fmt: skip
        """From now on the chat (None: the whole bot) is paused, whatever it sent before.

        Never absorbed, however short; replaces the pause it is in. A ban is a `wait_s` of 3600 and
        more.
        """
        assert shape in FLOODS
        found = self._bots.get(bot) or self._new_bot(bot)
        pause = Pause(now + wait_s, wait_s, shape)
        self.tally.floods += 1
        if chat_id is None:
            found.pause = pause
        else:
            (found.chats.get(chat_id) or self._new_chat(found, chat_id)).pause = pause

    def begin_outage(self, now: float, duration_s: float, shape: Shape = Shape.SHUTDOWN) -> None:
        """For so long the server answers all that arrives, or gets its turn, with SHUTDOWN or
        RESTART. Verdicts given before stand; to break their connections is the driver's."""
        assert shape in (Shape.SHUTDOWN, Shape.RESTART)
        self._outage = (shape, now + duration_s)

    # -- what can be seen --------------------------------------------------------------------------

    def bot(self, bot: BotKey) -> Bot:
        """Its counts; all zero if it never sent."""
        return self._bots.get(bot) or Bot(bot_meter(self.policy), SameSize(self.policy))

    def chat(self, bot: BotKey, chat_id: int) -> Chat:
        """Its counts; all zero if nothing was sent there, or since it was forgotten."""
        return self.bot(bot).chats.get(chat_id) or Chat(chat_meter(self.policy, chat_id))

    def forget_idle(self, now: float) -> int:
        """Drop the chats and bots that are as if they had never sent, their counts with them.

        How many chats. O(chats): call it every few minutes of a long run.
        """
        forgotten = 0
        for key, bot in list(self._bots.items()):
            for chat_id, chat in list(bot.chats.items()):
                if chat.is_idle(now):
                    self._violations_forgotten += chat.violations
                    del bot.chats[chat_id]
                    forgotten += 1
            if bot.is_idle(now):
                del self._bots[key]
        return forgotten

    def check(self) -> None:
        """Raise AssertionError when the books do not agree."""
        violations, requests = self._violations_forgotten, 0
        for bot in self._bots.values():
            assert bot.requests <= sum(chat.unsent for chat in bot.chats.values())
            assert bot.uploads >= 0 <= bot.upload_bytes
            assert bot.requests or not (bot.uploads or bot.upload_bytes)
            requests += bot.requests
            for chat in bot.chats.values():
                queued = len(chat.queue or ())
                assert 0 <= chat.worked <= self.policy.chain_max
                assert not queued or chat.worked == self.policy.chain_max
                assert chat.worked + queued <= chat.unsent <= chat.unsent_peak
                assert all(one.verdict is None for one in chat.queue or ())
                violations += chat.violations
        assert requests == self.tally.requests <= self.tally.requests_peak
        assert violations == self.tally.violations

    # -- judging -----------------------------------------------------------------------------------

    def _judge(self, ticket: Ticket, now: float, inherited_s: float) -> None:
        """Let it through, at once or delayed; or begin a pause and refuse it."""
        bot, chat, items = ticket.bot, ticket.chat, ticket.send.items
        bot_due = bot.meter.due(now, items)
        due = chat.meter.due(bot_due, items)
        at = now
        if due - now > EPSILON_S or chat.last_at > now:
            at = max(now + self.policy.said_s(due - now), chat.last_at)
            if inherited_s + at - now > self.policy.absorb_s + EPSILON_S:
                bot_wait_s = self.policy.said_s(bot_due - now)
                of_bot = inherited_s + bot_wait_s > self.policy.absorb_s + EPSILON_S
                pause = self._begin_pause(now, bot_wait_s if of_bot else at - now)
                if of_bot:
                    bot.pause = pause
                else:
                    chat.pause = pause
                self._refuse(ticket, pause, now)
                return
            if at > now:
                self.tally.absorbed += 1
                self.tally.absorbed_s += at - now
                chat.flooded_s += at - max(now, chat.last_at)
        bot.meter.spend(now, bot_due, items)
        chat.meter.spend(bot_due, due, items)
        chat.last_at = at
        chat.worked += 1
        chat.delivered += items
        self.tally.delivered += items
        at = max(at, ticket.ready_at)
        ticket.verdict = Verdict(at)
        if chat.timeline is not None:
            chat.timeline.extend([at] * items)

    def _advance(self, chat: Chat, now: float) -> list[Ticket]:
        """There is room in the chain: judge who is next; a flood fails all behind it."""
        judged: list[Ticket] = []
        queue, chain_max = chat.queue, self.policy.chain_max
        assert queue is not None
        while queue and chat.worked < chain_max:
            ticket = queue.popleft()
            judged.append(ticket)
            if now < self._outage[1]:
                self._refuse_by_server(ticket, self._outage[0], now)
            elif (pause := ticket.bot.pause_of(chat, now)) is not None:
                self._refuse(ticket, pause, now)
            else:
                self._judge(ticket, now, chat.flooded_by(now) - ticket.flooded_s)
        return judged

    def _begin_pause(self, now: float, wait_s: float) -> Pause:
        self.tally.floods += 1
        whole_s = max(1, ceil(wait_s - EPSILON_S))
        return Pause(now + whole_s, whole_s)

    def _refuse(self, ticket: Ticket, pause: Pause, now: float) -> None:
        """Answer with what is left of the pause; what ignored it makes it longer first."""
        chat, began = ticket.chat, ticket.began
        if chat.is_told_at(began):
            chat.violations += 1
            self.tally.violations += 1
            pause.wait_s = min(pause.wait_s * self.policy.ignored_factor, self.policy.pause_s_max)
            pause.until = max(pause.until, now + ceil(pause.wait_s))
        elif pause is not chat.pause and began >= pause.known_from:
            self.tally.probes += 1
        # A chat that has met its bot's pause keeps it as its own.
        chat.pause = ticket.pause = pause
        retry_after_s = max(1, ceil(pause.until - now - EPSILON_S))
        shape = pause.shape or self._next_shape(ticket)
        self._close(ticket, Verdict(now, shape, retry_after_s))

    def _next_shape(self, ticket: Ticket) -> Shape:
        every = self.policy.disguised_every
        if not every or not ticket.send.is_upload:
            return Shape.PLAIN
        self._upload_refusals += 1
        return Shape.PLAIN if self._upload_refusals % every else Shape.DISGUISED

    def _refuse_by_server(self, ticket: Ticket, shape: Shape, now: float) -> None:
        policy = self.policy
        match shape:
            case Shape.SERVER_BUSY:
                verdict = Verdict(now + policy.busy_delay_s, shape, policy.busy_retry_after_s)
            case Shape.SHUTDOWN:
                verdict = Verdict(now, shape, policy.shutdown_retry_after_s)
            case _:
                verdict = Verdict(now, shape)
        self._close(ticket, verdict)

    def _close(self, ticket: Ticket, verdict: Verdict) -> None:
        ticket.verdict = verdict
        ticket.chat.refused += 1
        self.tally.refused[verdict.shape] += 1

    def _is_guarded(self, ticket: Ticket, now: float) -> bool:
        """Whether the Bot API server itself turns it away; else it may be let on later."""
        policy, bot, send = self.policy, ticket.bot, ticket.send
        if ticket.chat.unsent - send.items >= policy.unsent_max:
            return True
        if not policy.hosted:
            return False
        if bot.requests > policy.requests_max:
            return True
        if not send.is_upload:
            return False
        if bot.uploads > policy.uploads_max or bot.upload_bytes > policy.upload_bytes_max:
            return True
        if send.size_bytes <= policy.same_size_above_bytes:
            return False
        ready_at = bot.same_size.due(send.size_bytes, now)
        if ready_at is None:
            return True
        ticket.ready_at = ready_at
        return False

    def _new_bot(self, key: BotKey) -> Bot:
        bot = self._bots[key] = Bot(bot_meter(self.policy), SameSize(self.policy))
        return bot

    def _new_chat(self, bot: Bot, chat_id: int) -> Chat:
        chat = bot.chats[chat_id] = Chat(chat_meter(self.policy, chat_id))
        if self._timeline_max:
            chat.timeline = deque(maxlen=self._timeline_max)
        return chat
