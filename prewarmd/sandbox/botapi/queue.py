"""Sends that wait for what the flood model says of them, in real time.

The model (`sandbox.flood`) judges; this keeps its tickets until their verdicts are due, carries
them out, and tells the model when each is over, whereupon it may judge others. A client that has
gone meanwhile undoes nothing: its message is delivered, and nobody hears of it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from prewarmd.sandbox.flood import NOBODY_HEARS, Flood, Send, Shape, Ticket, Verdict

Done = Callable[[Verdict], bool]
"""Carries a verdict out; whether anybody was there to hear the answer."""


class Queue:
    """Of one server."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Ticket, Done] = {}

    def send(self, send: Send, began: float, done: Done) -> None:
        """A send that a client began at `began` (of the loop's clock) has arrived whole."""
        ticket = self._flood.arrive(send, self._loop.time(), began)
        self._waiting[ticket] = done
        self._wait(ticket)

    def _wait(self, ticket: Ticket) -> None:
        """Until its verdict is due; without one it queues, and another's end will bring it."""
        if ticket.verdict is not None:
            self._loop.call_at(ticket.verdict.at, self._due, ticket)

    def _due(self, ticket: Ticket) -> None:
        assert ticket.verdict is not None
        is_heard = self._waiting.pop(ticket)(ticket.verdict)
        heard_at = None if is_heard else NOBODY_HEARS
        for judged in self._flood.depart(ticket, self._loop.time(), heard_at):
            self._wait(judged)

    def told(self) -> dict[str, Any]:
        """What the model counted."""
        tally = self._flood.tally
        told = {field.name: getattr(tally, field.name) for field in fields(tally)}
        return told | {"refused": {str(shape): n for shape, n in tally.refused.items()}}

    def begin(self, what: dict[str, Any]) -> None:
        """On order: a flood (`bot`, `chat_id`, `wait_s`, `shape`) or an outage (`outage_s`,
        `shape`). ValueError, KeyError or TypeError says what is wrong with it."""
        now = self._loop.time()
        if "outage_s" in what:
            shape = Shape(what.get("shape", Shape.SHUTDOWN))
            self._flood.begin_outage(now, float(what["outage_s"]), shape)
        else:
            shape = Shape(what.get("shape", Shape.PLAIN))
            chat_id = what.get("chat_id")
            self._flood.begin_flood(what["bot"], chat_id, now, float(what["wait_s"]), shape)
