"""Ways without bytes, as an oracle: which were offered to whom, and which led nowhere.

A way is offered by the catalogue's answer to a job. It is taken at once or not at all, so whatever
a job sends must be what its last answer offered. What Telegram refused is a dead end from the
moment at which that was heard: a message or a file_id for ever, a URL for as long as it is kept in
mind, and for those who were answered later. A crash forgets what is not committed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from prewarmd.core import events, verbs
from prewarmd.core.links import FAILURES_MAX, REFUSED_S, REST_S
from prewarmd.core.policy import BotSpec
from tests.simulation import invariants
from tests.simulation.rows import Row
from tests.simulation.timeline import Timeline

Way = tuple[str, str, object]
OF_THE_WAY = frozenset({
    "MediaRefused", "RequestRefused", "NoFileId", "MessageGone", "UrlRefused", "PhotoNotProcessed",
    "UnknownRefusal",
})  # fmt: skip
"""What refuses the way by which something was sent, not the media."""
OF_A_CHAT = frozenset({"ChatRefused", "ChatNotFound", "ChatMigrated"})


def way_of(verb: verbs.Light) -> Way:
    """By what it is known again."""
    match verb:
        case verbs.Forward():
            return by_message(verb.bot, verb.from_chat_id, verb.message_id)
        case verbs.Resend():
            return by_file_id(verb.bot, verb.file_id)
        case verbs.Link():
            return "url", verb.bucket, verb.key


def by_message(bot: str, chat_id: int, message_id: int) -> Way:
    """The way of a message."""
    return "message", bot, (chat_id, message_id)


def by_file_id(bot: str, file_id: str) -> Way:
    """The way of a file_id."""
    return "file_id", bot, file_id


@dataclass(slots=True)
class Credit:
    """How a bot's URLs fare."""

    buckets: tuple[str, ...]
    failures: int = 0
    rests_from: int = 0
    """Answers of a later number offer no URL..."""
    rests_until: float = 0.0
    """...until then."""


class Ways:
    """Of all jobs, in one life of the engine."""

    def __init__(self, specs: Iterable[BotSpec], timeline: Timeline) -> None:
        self._specs = list(specs)
        self._timeline = timeline
        self._buried: set[Way] = set()
        """Dead ends that are committed."""
        self.crash()

    def crash(self) -> None:
        """An engine that knows of nothing."""
        self._offers: dict[int, tuple[int, events.Recalled]] = {}
        """job -> its last answer, and the number of that."""
        self._dead: dict[Way, tuple[int, float]] = {}
        """When it was heard: its number among the answers, and the time."""
        self._credits = {spec.slug: Credit(spec.links) for spec in self._specs}
        self._number = 0

    # -- what the engine hears -------------------------------------------------------------------

    def offer(self, answer: events.Recalled) -> None:
        """The catalogue answers a job."""
        self._number += 1
        self._offers[answer.job] = (self._number, answer)

    def admit(self, job: int) -> None:
        """A job comes in, of which nothing was asked yet."""
        self._offers.pop(job, None)

    def bury(self, way: Way) -> None:
        """It is committed that a way leads nowhere."""
        self._buried.add(way)

    def answered(self, verb: verbs.Light, code: str) -> None:
        """Telegram answers who went by a way."""
        self._number += 1
        credit = self._credits[verb.bot]
        if not code and isinstance(verb, verbs.Link):
            credit.failures = 0
        if not leads_nowhere(verb, code):
            return
        now = self._timeline.now
        self._dead[way_of(verb)] = (self._number, now)
        if isinstance(verb, verbs.Link):
            credit.failures += 1
            if credit.failures >= FAILURES_MAX:
                credit.rests_from, credit.rests_until = self._number, now + REST_S

    # -- what it decides -------------------------------------------------------------------------

    def take(self, verb: verbs.Verb, row: Row) -> None:
        """A job goes by a way, or fetches its bytes."""
        offer = self._offers.get(row.id)
        match verb:
            case verbs.Fetch() | verbs.Relay():
                if offer is not None and row.size_bytes is not None:
                    left = [way for way in self._offered(row, offer[1]) if not self._is_dead(way)]
                    invariants.bytes_are_spared(row, left)
            case verbs.Forward() | verbs.Resend():
                way = way_of(verb)
                offered = offer is not None and way in self._offered(row, offer[1])
                invariants.way_was_offered(row, verb, offered)
                invariants.dead_end_is_remembered(row, verb, self._is_dead(way))
            case verbs.Link():
                self._link(verb, row, offer)
            case _:
                pass

    def _offered(self, row: Row, answer: events.Recalled) -> list[Way]:
        bot, ways = row.name[0], []
        if answer.ready and row.is_probe:
            ways.append(by_file_id(bot, answer.file_id))
        if answer.message_id and (row.is_probe or not answer.ready):
            ways.append(by_message(bot, answer.chat_id, answer.message_id))
        return ways

    def _is_dead(self, way: Way) -> bool:
        return way in self._buried or way in self._dead

    def _link(self, verb: verbs.Link, row: Row, offer: tuple[int, events.Recalled] | None) -> None:
        credit, now = self._credits[verb.bot], self._timeline.now
        is_known = row.claimed and offer is not None and not offer[1].ready
        invariants.way_was_offered(row, verb, is_known and not self._offered_alive(row, offer))
        invariants.url_is_allowed(row, verb, verb.bucket in credit.buckets)
        number = offer[0] if offer is not None else 0
        died_as, died_at = self._dead.get(way_of(verb), (number, 0.0))
        is_dead = died_as < number and now < died_at + REFUSED_S
        invariants.dead_end_is_remembered(row, verb, is_dead)
        rests = credit.rests_from < number and now < credit.rests_until
        invariants.url_is_allowed(row, verb, not rests)

    def _offered_alive(self, row: Row, offer: tuple[int, events.Recalled] | None) -> bool:
        """Whether there is a better way than a URL."""
        ways = self._offered(row, offer[1]) if offer is not None else []
        return not all(map(self._is_dead, ways))


def leads_nowhere(verb: verbs.Light, code: str) -> bool:
    """Whether an answer means that nobody needs to go that way again."""
    if code in OF_A_CHAT:
        return isinstance(verb, verbs.Forward) and verb.from_chat_id != verb.chat_id
    return code in OF_THE_WAY
