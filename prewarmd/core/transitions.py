"""What may follow what: jobs, children and gates each have one table, read by `after`.

The diagrams of ARCHITECTURE.md are drawn from the same tables, so they cannot tell anything else.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransitionError(Exception):
    """An event that the state does not know: a bug, and nothing was changed."""


def after(table: Mapping[S, Mapping[E, S]], state: S, event: E, noun: str) -> S:
    """What `state` becomes when `event` happens; raises IllegalTransitionError naming both."""
    try:
        return table[state][event]
    except KeyError:
        raise IllegalTransitionError(f"a {state} {noun} cannot be {event}") from None
