"""Faults on order: rules that change what the next matching requests meet.

Given to the server at `POST /__sandbox/faults` as a list of objects; each field of `Rule` is one
key. A rule counts down `times` and is gone.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

SEED = 7


@dataclass(slots=True)
class Rule:
    """What happens to the next `times` requests that match."""

    method: str = ""
    """In any case; empty: every sending method."""
    bot: str = ""
    """A username; empty: any."""
    chat_id: int = 0
    """0: any. A rule with a chat can only act once the parameters have arrived."""
    times: int = 1
    chance: float = 1.0
    """That one which matches is met; drawn from one stream of numbers that is always the same."""
    delay_s: float = 0.0
    """Before the answer."""
    status: int = 0
    """0: the request succeeds."""
    description: str = ""
    parameters: dict[str, int] = field(default_factory=dict)
    raw: str | None = None
    """A body that is not JSON: what a proxy says."""
    delivers: bool = False
    """Although the answer fails, the request succeeds."""
    cut: str = ""
    """`body`: reset the connection after `cut_bytes` of it; `answer`: deliver, then reset."""
    cut_bytes: int = 0
    read_bytes_per_s: int = 0
    """Read the body no faster."""
    met: int = 0
    """How often it was, so far."""

    def matches(self, method: str, bot: str, chat_id: int | None) -> bool:
        """Whether the rule is for this request; `chat_id` is None while it is not known."""
        if self.method.lower() != method and (self.method or not method.startswith("send")):
            return False
        if self.bot and self.bot != bot:
            return False
        return not self.chat_id or self.chat_id == chat_id


class Script:
    """The rules in force, in order."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._dice = Random(SEED)

    def add(self, text: bytes) -> None:
        """Take rules from JSON; ValueError or TypeError says what is wrong with them."""
        given: Any = orjson.loads(text)
        self.rules += [Rule(**one) for one in (given if isinstance(given, list) else [given])]

    def take(self, method: str, bot: str, chat_id: int | None, *, early: bool) -> Rule | None:
        """The first rule that matches, counted down. `early`: only those about the body."""
        for rule in self.rules:
            about_body = rule.cut == "body" or rule.read_bytes_per_s > 0
            if about_body is not early or not rule.matches(method, bot, chat_id):
                continue
            if rule.chance < 1.0 and self._dice.random() >= rule.chance:
                continue
            rule.times -= 1
            rule.met += 1
            if rule.times <= 0:
                self.rules.remove(rule)
            return rule
        return None
