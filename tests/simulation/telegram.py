"""Telegram as a world: what it answers to a send, what it delivered, and what it told us to wait.

The rate limits are those of the flood model, `prewarmd.sandbox.flood`; this file is the only one
that knows it. Around it: revoked tokens, chats that refuse or move, media it does not like, and
answers that do not arrive.

A delivered message is unsettled until the job it is for is committed as ready. Whatever makes that
impossible (no answer, a death, a crash) is a doubt about its content, and only a doubt explains a
second delivery of the same content to the same bot.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random

from prewarmd.core.extents import PAGE
from prewarmd.core.policy import BotSpec
from prewarmd.core.verbs import Forward, Light, Link, Relay, Resend, Upload
from prewarmd.sandbox.flood import NOBODY_HEARS, Flood, Send, Ticket
from prewarmd.sandbox.flood_policy import FloodPolicy
from prewarmd.sandbox.flood_verdict import FLOODS, Shape
from tests.simulation import invariants
from tests.simulation.messages import Messages
from tests.simulation.swarm import Swarm
from tests.simulation.timeline import Timeline

What = tuple[str, str, str]
"""(bot, content, kind)."""
Verb = Upload | Relay | Light

REFUSALS = ("MediaRefused", "RequestRefused", "PhotoNotProcessed", "UnknownRefusal")
CHAT_REFUSALS = ("ChatRefused", "ChatNotFound")
NOT_DELIVERED = ("TelegramError", "TelegramError", "NoAnswer", "BadAnswer", "RequestRefused", "Bug")
DOUBTFUL = ("NoAnswer", "NoAnswer", "TelegramError", "BadAnswer", "NoFileId")
BEFORE_THE_LAST_BYTE = ("TelegramUnreachable", "UploadCut", "Bug")
OUTAGES = ("TelegramUnreachable", "TelegramError")
FOR_GOOD = frozenset({"MediaRefused", "NoFileId"})
TWICE = frozenset(REFUSALS) - FOR_GOOD
"""Refusals that are for good when they are told twice."""
PRIVATE_BURST, FASTEST = 3, 4.0
"""Sends at once to a private chat; and what its pace may become, as a multiple of the documented
one."""
KIND_REFUSED_S = 60.0
"""How long a chat that refused a kind is not asked again."""
PATIENCE_S = 20.0
"""How long a child waits for an answer."""
SOON_S = 0.02
PAUSE_S_MAX = 300.0
"""No pause grows beyond this, or a world could not heal in a time that is worth simulating."""


class Letter:
    """An upload from its last byte to its answer, or whatever is sent in the place of one."""

    __slots__ = ("began", "code", "content", "is_gone", "is_of_target", "message", "moved_to",
        "received", "retry_after_s", "ticket", "verb", "work")  # fmt: skip

    def __init__(self, verb: Verb, content: str, began: float, work: object) -> None:
        self.verb = verb
        self.content = content
        self.began = began
        self.work = work
        """The task it belongs to; `transfers` knows what it is."""
        self.received = 0.0
        """When its last byte arrived; 0 when it did not."""
        self.code = ""
        """Of `core.faults`; "" for success."""
        self.retry_after_s = 0.0
        self.moved_to = 0
        self.is_of_target = False
        """The chat that it is for has refused it."""
        self.message = 0
        self.ticket: Ticket | None = None
        self.is_gone = False
        """Nobody will hear the answer."""


class Telegram:
    """One Bot API server and all chats behind it."""

    def __init__(
        self, swarm: Swarm, specs: Sequence[BotSpec], timeline: Timeline, dice: Random
    ) -> None:
        self.swarm = swarm
        self.flood = Flood(flood_policy(swarm))
        self.chats = {(spec.slug, chat): kind for spec in specs for chat, kind in spec.chats}
        self.homes = list(self.chats)
        """Every warm-up chat as it is now: (bot, chat)."""
        self.answered: Callable[[Letter], bool]
        """Set by `transfers`: an answer arrives; whether anybody is there to hear it."""
        self.fetch: Callable[[Link], str]
        """Set by `transfers`: the content that is behind a URL now."""
        self.renewals: Callable[[What], int]
        """Set by `ledger`: how often a content may have been sent again on purpose."""
        self.messages = Messages(dice)
        self.delivered: dict[What, int] = {}
        self.unsettled: dict[int, tuple[str, int, str, str]] = {}
        """message -> (bot, chat, content, kind)."""
        self.pauses: dict[tuple[str, int], tuple[float, float]] = {}
        """(bot, chat) -> when we were last told to wait, and until when at the longest."""
        self.flooded: dict[int, tuple[str, int, float]] = {}
        """job -> (bot, chat) of the last flood that an upload of it met, and until when at the
        shortest."""
        self.revoked: dict[str, bool] = {}
        self.refusing: dict[tuple[str, int], str] = {}
        self.heard_refusing: set[tuple[str, int]] = set()
        """Chats that were ever heard to refuse."""
        self.refusing_kinds: set[tuple[str, int, str]] = set()
        self.moved: dict[tuple[str, int], int] = {}
        self.silence = ""
        """The code that everything is answered with while Telegram is out."""
        self.outages = 0
        """How many there were; one more for each answer that came in one."""
        self.told: set[tuple[int, str]] = set()
        """(job, code): refusals for good."""
        self._kinds_refused: dict[tuple[str, int, str], float] = {}
        """(bot, chat, kind) -> until when nobody may ask again, as we were told."""
        self._told_once: set[tuple[int, str]] = set()
        self.charges: dict[int, int] = {}
        """job -> faults that may be charged to it."""
        self._refused: dict[str, str] = {}
        """content -> code."""
        self._doubts: dict[What, int] = {}
        self._messages = 0
        self._violations = 0
        self._queued: dict[Ticket, Letter] = {}
        self._bursts: dict[tuple[str, int], deque[float]] = {}
        """(bot, private chat) -> when its last sends began, as many as its burst has."""
        self._timeline, self._dice = timeline, dice

    def ask_chat(self, bot: str, chat_id: int) -> tuple[str, str]:
        """What getChat answers: the chat's kind, or "" and the code of a refusal."""
        if self.silence or self._dice.random() < self.swarm.upload_faults:
            return "", self.silence or "TelegramUnreachable"
        if bot in self.revoked:
            return "", "Unauthorized"
        if code := self.refusing.get((bot, chat_id)):
            self.heard_refusing.add((bot, chat_id))
            return "", code
        return self.chats.get((bot, chat_id)) or ("private" if chat_id > 0 else "channel"), ""

    def like(self, content: str) -> None:
        """Decide once for all whether a new content is one that Telegram refuses."""
        if self.swarm.refusals and self._dice.random() < self.swarm.refusals:
            self._refused[content] = self._dice.choice(REFUSALS)

    def send_begins(self, verb: Verb) -> None:
        """An upload starts, or what is sent in the place of one."""
        bot, chat_id = verb.bot, verb.chat_id
        refused_until = self._kinds_refused.get((bot, chat_id, verb.kind), 0.0)
        invariants.refusal_is_obeyed(verb, self._timeline.now, refused_until)
        pause = self.pauses.get((bot, chat_id))
        if pause is not None:
            invariants.pause_is_obeyed(bot, chat_id, self._timeline.now, pause[1])
        if self.swarm.paced and self.chats.get((bot, chat_id)) == "private":
            self._note_burst(bot, chat_id)

    def _note_burst(self, bot: str, chat_id: int) -> None:
        chat, now = (bot, chat_id), self._timeline.now
        last = self._bursts.get(chat)
        if last is None:
            last = self._bursts[chat] = deque(maxlen=PRIVATE_BURST)
        if len(last) == PRIVATE_BURST:
            least_s = 0.999 / (FASTEST * self.swarm.speed)
            invariants.burst_is_bounded(chat, now - last[0], least_s)
        last.append(now)

    # -- weather ---------------------------------------------------------------------------------

    def go_out(self, code: str) -> None:
        """From now on everything is answered with `code`; `silence` says until when."""
        self.silence = code
        self.outages += 1

    def restart(self, duration_s: float) -> None:
        """The Bot API server ends, and begins again."""
        shape = self._dice.choice((Shape.SHUTDOWN, Shape.RESTART))
        self.flood.begin_outage(self._timeline.now, duration_s, shape)

    def serve_late(self) -> None:
        """An answer arrives, which makes those look guilty that fail now and before."""
        if self.silence:
            self.outages += 1

    def begin_flood(self, bot: str, chat_id: int | None, wait_s: float) -> None:
        """A pause of a chat, or of a whole bot, whatever was sent before."""
        self.flood.begin_flood(bot, chat_id, self._timeline.now, wait_s)

    def migrate(self, number: int) -> None:
        """A chat becomes a supergroup under a new id."""
        bot, old = self.homes[number]
        new = -1_000_000 - len(self.moved)
        self.homes[number] = (bot, new)
        self.chats[bot, new] = "supergroup"
        self.moved[bot, old] = new

    def paused_until(self) -> float:
        """When the last pause that is running now is over."""
        bots = self.flood._bots.values()
        pauses = [bot.pause for bot in bots]
        pauses += [chat.pause for bot in bots for chat in bot.chats.values()]
        return max((pause.until for pause in pauses if pause is not None), default=0.0)

    # -- answers ---------------------------------------------------------------------------------

    def receive(self, letter: Letter) -> None:
        """The last byte of an upload has arrived."""
        letter.received = self._timeline.now
        letter.code = self._refusal(letter)
        if not letter.code and self._dice.random() < self.swarm.upload_faults:
            letter.code = self._fault(letter.verb, self._dice.choice(NOT_DELIVERED))
        if letter.code:
            wait_s = PATIENCE_S if letter.code == "NoAnswer" else SOON_S
            self._timeline.after(wait_s, self._answer, letter)
            return
        verb, now = letter.verb, self._timeline.now
        size_bytes = 0 if isinstance(verb, Light) else verb.size_bytes
        send = Send(verb.bot, verb.chat_id, size_bytes)
        letter.ticket = ticket = self.flood.arrive(send, now, letter.began)
        if self.flood.tally.violations > self._violations:
            self._violations = self.flood.tally.violations
            told_at, until = self.pauses.get((verb.bot, verb.chat_id), (0.0, 0.0))
            if told_at <= letter.began:  # else what was told in an earlier life is not remembered
                invariants.pause_is_obeyed(verb.bot, verb.chat_id, letter.began, until)
        if ticket.verdict is None:
            self._queued[ticket] = letter
        else:
            self._judged(letter, ticket)

    def _refusal(self, letter: Letter) -> str:
        if self.silence:
            return self.silence
        verb = letter.verb
        chat = (verb.bot, verb.chat_id)
        if verb.bot in self.revoked:
            return "Unauthorized"
        if chat in self.moved:
            letter.moved_to = self.moved[chat]
            return "ChatMigrated"
        if chat in self.refusing:
            letter.is_of_target = True
            return self.refusing[chat]
        if (*chat, verb.kind) in self.refusing_kinds:
            return "KindRefused"
        if isinstance(verb, Light) and (code := self._dead_end(letter, verb)):
            return code
        code = self._refused.get(letter.content, "")
        return self._fault(verb, code) if code else ""

    def _dead_end(self, letter: Letter, verb: Light) -> str:
        """Why what is sent without bytes cannot be had; mostly ""."""
        match verb:
            case Forward():
                source = (verb.bot, verb.from_chat_id)
                if source in self.moved:
                    letter.moved_to = self.moved[source]
                    return "ChatMigrated"
                if source in self.refusing:
                    return self.refusing[source]
                return "" if self.messages.forwards(verb) else "MessageGone"
            case Resend():
                return "" if self.messages.resends(verb) else "MediaRefused"
            case Link():
                is_there = self.fetch(verb) == letter.content
                is_lost = bool(self.swarm.url_refusals)
                is_lost = is_lost and self._dice.random() < self.swarm.url_refusals
                return "" if is_there and not is_lost else "UrlRefused"

    def _fault(self, verb: Verb, code: str) -> str:
        job = verb.job
        if isinstance(verb, Light) and code in {*FOR_GOOD, *TWICE}:
            return code  # it refuses the way by which it was sent
        told = (job, code)
        if code in FOR_GOOD or told in self._told_once:
            self.told.add(told)
        if code in TWICE:
            self._told_once.add(told)
        if code not in FOR_GOOD:
            self.charge(job)
        return code

    def charge(self, job: int) -> None:
        """A fault that may be charged to a job."""
        self.charges[job] = self.charges.get(job, 0) + 1

    def _judged(self, letter: Letter, ticket: Ticket) -> None:
        verdict = ticket.verdict
        assert verdict is not None
        wait_s = verdict.at - self._timeline.now + SOON_S
        if verdict.shape is Shape.DELIVERED:
            self._deliver(letter)
            if letter.code == "NoAnswer":
                wait_s = max(wait_s, PATIENCE_S)
        elif verdict.shape is Shape.RESTART:
            letter.code = self._fault(letter.verb, "TelegramError")
        else:
            letter.code = "TooManyRequests"
            letter.retry_after_s = float(verdict.retry_after_s)
        self._timeline.after(wait_s, self._answer, letter)

    def _answer(self, letter: Letter) -> None:
        """The answer arrives: what queued behind it may be judged now."""
        heard = self.answered(letter)
        if heard:
            self._note_kind(letter)
            if letter.is_of_target:
                self.heard_refusing.add((letter.verb.bot, letter.verb.chat_id))
        ticket = letter.ticket
        if ticket is None:
            return
        answered = heard and letter.code != "NoAnswer"
        verdict = ticket.verdict
        if answered and verdict is not None and verdict.shape in FLOODS:
            chat, now = (letter.verb.bot, letter.verb.chat_id), self._timeline.now
            self.flooded[letter.verb.job] = (*chat, now + verdict.retry_after_s)
            until = max(now + verdict.retry_after_s, self.pauses.get(chat, (0.0, 0.0))[1])
            self.pauses[chat] = (now, until)
        now = self._timeline.now
        for judged in self.flood.depart(ticket, now, None if answered else NOBODY_HEARS):
            self._judged(self._queued.pop(judged), judged)

    # -- what becomes of messages ----------------------------------------------------------------

    def _deliver(self, letter: Letter) -> None:
        verb = letter.verb
        self._messages += 1
        what = (verb.bot, letter.content, verb.kind)
        times = self.delivered[what] = self.delivered.get(what, 0) + 1
        if times > 1:
            doubts = self._doubts.get(what, 0)
            invariants.duplicate_is_explained(what, times, doubts, self.renewals(what))
        doubtful = self._dice.random() < self.swarm.doubts
        if doubtful:
            letter.code = self._fault(verb, self._dice.choice(DOUBTFUL))
        if doubtful or letter.is_gone:
            self.doubt(what)
        else:
            letter.message = self._messages
            self.messages.keep(letter.message, verb.bot, verb.chat_id, letter.content, verb.kind)
            if isinstance(verb, Light):
                self.messages.unseen.add(letter.message)
            self.unsettled[letter.message] = (verb.bot, verb.chat_id, letter.content, verb.kind)

    def _note_kind(self, letter: Letter) -> None:
        """What was heard of whether a chat takes a kind."""
        verb, now = letter.verb, self._timeline.now
        where = (verb.bot, verb.chat_id, verb.kind)
        if not letter.code:
            self._kinds_refused.pop(where, None)
        elif letter.code == "KindRefused" and self._kinds_refused.get(where, 0.0) <= now:
            self._kinds_refused[where] = now + KIND_REFUSED_S

    def settle(self, message: int) -> tuple[str, int, str, str] | None:
        """The message that is committed as ready; None when there is none such."""
        return self.unsettled.pop(message, None)

    def doubt(self, what: What) -> None:
        """A message of that sort may or may not be there, as far as we can know."""
        self._doubts[what] = self._doubts.get(what, 0) + 1

    def lose(self, letter: Letter) -> None:
        """Nobody will hear the answer to this upload."""
        letter.is_gone = True
        self._lose(letter.message)

    def _lose(self, message: int) -> None:
        lost = self.unsettled.pop(message, None)
        if lost is not None:
            self.doubt((lost[0], lost[2], lost[3]))

    def crash(self, holds: Mapping[tuple[str, int], float]) -> None:
        """Nobody remembers what was answered and not committed; `holds`: the pauses that were."""
        for message in list(self.unsettled):
            self._lose(message)
        self.flooded.clear()
        self._bursts.clear()
        self._kinds_refused.clear()
        self.pauses = {
            chat: (told_at, min(until, holds[chat]))
            for chat, (told_at, until) in self.pauses.items()
            if chat in holds
        }


def flood_policy(swarm: Swarm) -> FloodPolicy:
    """The truth about Telegram in this world; sizes scaled down like everything else."""
    return FloodPolicy(
        rate_factor=swarm.permitted,
        private_per_s=swarm.speed,
        group_sends=round(20 * swarm.speed),
        group_strict=swarm.strict,
        bot_per_s=round(30 * swarm.speed),
        disguised_every=swarm.disguised_every,
        pause_s_max=PAUSE_S_MAX,
        hosted=swarm.hosted,
        same_size_above_bytes=4 * PAGE,
        same_size_s_per_byte=0.0,
        same_size_s_min=0.2 / swarm.speed,
        same_size_s_max=0.2 / swarm.speed,
    )
