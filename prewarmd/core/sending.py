"""A sending: one upload in flight."""

from dataclasses import dataclass

from prewarmd.core.children import Child
from prewarmd.core.flight import Flight
from prewarmd.core.jobs import Job
from prewarmd.core.lanes import Lane


@dataclass(slots=True, eq=False)
class Sending:
    """One upload, from its verb to its answer."""

    task: int
    job: Job
    lane: Lane
    chat_id: int
    """Where it goes: the lane's chat may have moved by the time of the answer."""
    child: Child
    began: float
    is_probe: bool
    """Its answer tells whether a flood is the chat's or the bot's."""
    flight: Flight | None = None
    """The GET that it follows."""
    is_sealed: bool = True
    """Its closing boundary may be sent; until then Telegram has no message."""
    is_ready: bool = False
    """Its content turned out to be ready for its bot: it is dropped, and its job joins."""
