"""What processes say to each other: typed messages and their wire form `[tag, field, ...]`.

Verbs and reports are `core`'s; this module adds what only the shell needs (Hello, Beat, Drain) and
the codec. One table, TYPES, holds every message; a tag or a field that does not fit is a
ProtocolError, never a half-made object. A field may be a small dataclass of plain fields, or None:
it goes as an array of those. Cost: about 1 us to encode or decode.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from prewarmd.core import reports, verbs
from prewarmd.errors import ProtocolError

PROTOCOL = 7
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


def _inner(hint: Any) -> Any:
    """The dataclass that a field of that type may hold instead of None; else None."""
    found = [each for each in get_args(hint) if isinstance(each, type) and is_dataclass(each)]
    return found[0] if found else None


def _runtime_type(hint: Any) -> type | tuple[type, ...]:
    if _inner(hint) is not None:
        return (list, NoneType)
    plain: type = get_origin(hint) or hint
    return (int, float) if plain is float else plain


class _Form:
    """How one class travels."""

    def __init__(self, cls: type) -> None:
        hints = get_type_hints(cls)
        kinds = [hints[field.name] for field in fields(cls)]
        self.make: Callable[..., Any] = cls
        self.get = _getter(cls)
        self.types = tuple(map(_runtime_type, kinds))
        self.inner = [(at, _Form(_inner(kind))) for at, kind in enumerate(kinds) if _inner(kind)]
        """Fields that may hold a dataclass, by their place."""

    def decode(self, name: str, array: list[Any]) -> Any:
        """What its fields stand for; ProtocolError, which tells the message's `name`, when they
        stand for nothing."""
        types = self.types
        if len(array) != len(types) or not all(map(isinstance, array, types)):
            raise ProtocolError(f"{name} with fields that do not fit")
        for at, form in self.inner:
            if array[at] is not None:
                array[at] = form.decode(name, array[at])
        return self.make(*array)


_ENCODE = {cls: (cls.__name__, _Form(cls)) for cls in _CLASSES}
_DECODE = dict(_ENCODE.values())


def encode(message: Message) -> list[Any]:
    """The array that goes over the pipe."""
    tag, form = _ENCODE[type(message)]
    array = [tag, *form.get(message)]
    for at, inner in form.inner:
        if array[at + 1] is not None:
            array[at + 1] = list(inner.get(array[at + 1]))
    return array


def decode(array: Any) -> Message:
    """The message an array stands for; raises ProtocolError when it stands for none."""
    if not isinstance(array, list) or not array or not isinstance(array[0], str):
        raise ProtocolError("a message is not an array that starts with its tag")
    form = _DECODE.get(array[0])
    if form is None:
        raise ProtocolError(f"unknown message {array[0][:40]!r}")
    message: Message = form.decode(array[0], array[1:])
    return message
