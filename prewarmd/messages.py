"""What processes say to each other: typed messages and their wire form `[tag, field, ...]`.

Verbs and reports are `core`'s; this module adds what only the shell needs (Hello, Beat, Drain) and
the codec. One table, TYPES, holds every message; a tag or a field that does not fit is a
ProtocolError, never a half-made object. Cost: about 1 us to encode or decode.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from prewarmd.core import reports, verbs
from prewarmd.errors import ProtocolError

PROTOCOL = 5
"""Rises with every change of a message, so that two versions never talk."""


@dataclass(slots=True)
class Hello:
    """A child's first message: it is up."""

    protocol: int
    index: int
    pid: int


@dataclass(slots=True)
class Beat:
    """Sent every second by the child's event loop, so a blocked loop is seen."""

    number: int
    loop_lag_s: float


@dataclass(slots=True)
class Drain:
    """To a child: finish what is in flight, then exit."""


@dataclass(slots=True)
class Note:
    """A child's log line: an event name and its fields, already free of secrets."""

    level: str
    event: str
    fields: dict[str, Any]


ToChild = verbs.Verb | Drain
FromChild = reports.Report | Hello | Beat | Note
Message = ToChild | FromChild

_CLASSES: tuple[type[Message], ...] = (
    *get_args(verbs.Verb),
    Drain,
    *get_args(reports.Report),
    Hello,
    Beat,
    Note,
)
TYPES: dict[str, type[Message]] = {cls.__name__: cls for cls in _CLASSES}


def _getter(cls: type) -> Callable[[Any], tuple[Any, ...]]:
    names = [field.name for field in fields(cls)]
    if not names:
        return lambda _: ()
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda message: (get(message),)
    return attrgetter(*names)


def _runtime_types(cls: type) -> tuple[type | tuple[type, ...], ...]:
    hints = get_type_hints(cls)
    plain = [get_origin(hints[field.name]) or hints[field.name] for field in fields(cls)]
    return tuple((int, float) if kind is float else kind for kind in plain)


_ENCODE = {cls: (cls.__name__, _getter(cls)) for cls in _CLASSES}
_DECODE = {cls.__name__: (cls, _runtime_types(cls)) for cls in _CLASSES}


def encode(message: Message) -> list[Any]:
    """The array that goes over the pipe."""
    tag, get = _ENCODE[type(message)]
    return [tag, *get(message)]


def decode(array: Any) -> Message:
    """The message an array stands for; raises ProtocolError when it stands for none."""
    if not isinstance(array, list) or not array or not isinstance(array[0], str):
        raise ProtocolError("a message is not an array that starts with its tag")
    entry = _DECODE.get(array[0])
    if entry is None:
        raise ProtocolError(f"unknown message {array[0][:40]!r}")
    cls, types = entry
    values = array[1:]
    if len(values) != len(types) or not all(map(isinstance, values, types)):
        raise ProtocolError(f"{array[0]} with fields that do not fit")
    make: Callable[..., Message] = cls
    return make(*values)
