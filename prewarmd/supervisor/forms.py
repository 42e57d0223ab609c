"""What clients may send, and how it is judged: shapes by pydantic, words and names by us.

Every refusal names the field and the rule; a batch with one bad job names its index.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from prewarmd.core.about import DURATION_S_MAX, NOTHING, SIDE_MAX, About, misfit
from prewarmd.core.content import SHA256, check_key, kind_of
from prewarmd.core.jobs import Kind
from prewarmd.store.base import NewJob

ITEMS_MAX = 1000
"""Of what one body lists, and of what one page of an answer holds."""
_UNIX = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)


class ProblemError(Exception):
    """A refusal, as problem details (RFC 9457) will tell it."""

    def __init__(self, status: int, code: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = more


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


_Side = Annotated[int, Field(ge=1, le=SIDE_MAX)]
_Number = Annotated[int, Field(ge=1, le=1 << 53)]


class JobForm(_Form):
    """One object to warm. Its last four fields are `About`."""

    bot: str
    key: str
    bucket: str | None = None
    kind: str | None = None
    sha256: str | None = None
    bytes: Annotated[int, Field(ge=0, le=1 << 53)] | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None
    width: _Side | None = None
    height: _Side | None = None
    duration_s: Annotated[float, Field(gt=0, le=DURATION_S_MAX)] | None = None
    thumbnail: str | None = None


class PrefixForm(_Form):
    """A prefix to list and warm."""

    bot: str
    prefix: str
    bucket: str | None = None
    kind: str | None = None


class StaleForm(_Form):
    """What an application that was refused may say."""

    file_id: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


class GoneForm(_Form):
    """A message that is deleted, as `KeptMessages` named it."""

    media: _Number
    message_id: _Number


_JOB = TypeAdapter(JobForm)
_PREFIX = TypeAdapter(PrefixForm)
_STALE = TypeAdapter(StaleForm)
_GONE = TypeAdapter(GoneForm)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A judged PrefixForm."""

    bot: str
    bucket: str
    prefix: str
    kind: Kind | None


def parse_json(body: bytes) -> Any:
    """The value of a body; a ProblemError 400 when it is not JSON in UTF-8."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "NotJson", f"the body is not JSON in UTF-8: {error}") from None


def check_parameters(given: Iterable[str], known: Collection[str]) -> None:
    """A ProblemError 400 that names the first parameter of a query that is none of `known`: one
    that was ignored would look as if it had been obeyed."""
    for name in given:
        if name not in known:
            there_are = f"known: {', '.join(known)}" if known else "none is taken here"
            rule = f"{_shown(name)} is no known parameter; {there_are}"
            raise ProblemError(400, "UnknownParameter", rule, field=name)


def page_limit(query: Mapping[str, str]) -> int:
    """How many a page is to hold, 100 when a query does not say."""
    text = query.get("limit", "100")
    if len(text) > 4 or not text.isdecimal() or not 1 <= int(text) <= ITEMS_MAX:
        raise ProblemError(422, "Invalid", f"limit: must be 1 to {ITEMS_MAX}", field="limit")
    return int(text)


def moment(query: Mapping[str, str], name: str) -> float:
    """A time that a query must name, in Unix seconds or in ISO 8601 with its zone; the former."""
    example = "write Unix seconds, or 2026-01-31T00:00:00Z"
    text = query.get(name)
    if text is None:
        raise ProblemError(422, "Invalid", f"{name}: is needed; {example}", field=name)
    if _UNIX.fullmatch(text):
        return float(text)
    try:
        # Without hyphens, milliseconds would pass for a date.
        found = datetime.fromisoformat(text if "-" in text else "")
        unix = found.timestamp()
    except (ValueError, OverflowError):
        raise ProblemError(
            422, "Invalid", f"{name}: {_shown(text)} is no time; {example}", field=name
        ) from None
    if found.tzinfo is None:
        raise ProblemError(422, "Invalid", f"{name}: must say its zone; {example}", field=name)
    return unix


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:61] + "...")


def _several(value: dict[str, Any], name: str) -> list[Any]:
    """The one list that a body is about."""
    if unknown := [other for other in value if other != name]:
        raise ProblemError(422, "Invalid", f"{unknown[0]}: is no known field", field=unknown[0])
    items = value.get(name)
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS_MAX:
        rule = f"{name}: must be an array of 1 to {ITEMS_MAX} {name}"
        raise ProblemError(422, "Invalid", rule, field=name)
    return items


class Judge:
    """Knows which bots and buckets there are."""

    def __init__(self, bots: Collection[str], buckets: tuple[str, ...]) -> None:
        self._bots = bots
        self._buckets = buckets

    @property
    def default_bucket(self) -> str:
        """What a job that names no bucket means."""
        return self._buckets[0]

    def check_bot(self, bot: str) -> None:
        """A ProblemError 404 that names those there are, for a path with another."""
        if bot not in self._bots:
            raise ProblemError(404, "NoSuchBot", self._unknown(bot))

    def _unknown(self, bot: str) -> str:
        known = ", ".join(sorted(self._bots)[:10])
        return f"{_shown(bot)} is no configured bot; known: {known}"

    def read(self, body: bytes) -> Prefix | list[NewJob]:
        """What a POST /v1/jobs asks for."""
        value = parse_json(body)
        if not isinstance(value, dict):
            raise ProblemError(422, "Invalid", "the body must be an object")
        if "jobs" in value:
            return [self._job(job, index) for index, job in enumerate(_several(value, "jobs"))]
        if "prefix" in value:
            return self._prefix(value)
        return [self._job(value, None)]

    def read_stale(self, body: bytes) -> str | None:
        """Which file_id a POST /v1/media/.../stale means; None: whichever is ready. It may have no
        body at all."""
        if not body:
            return None
        form: StaleForm = self._form(_STALE, parse_json(body), None, "body")
        return form.file_id

    def read_gone(self, body: bytes) -> list[tuple[int, int]]:
        """(media, message_id) of the messages that a body says are deleted."""
        value = parse_json(body)
        if not isinstance(value, dict):
            raise ProblemError(422, "Invalid", "the body must be an object")
        forms = [
            self._form(_GONE, message, index, "messages")
            for index, message in enumerate(_several(value, "messages"))
        ]
        return [(form.media, form.message_id) for form in forms]

    def _job(self, value: Any, index: int | None) -> NewJob:
        form = self._form(_JOB, value, index)
        bucket, kind = self._names(form.bot, form.bucket, form.kind, index)
        if (rule := check_key(form.key)) is not None:
            raise self._problem("key", rule, index)
        if form.sha256 is not None and not SHA256.fullmatch(form.sha256):
            raise self._problem("sha256", "must be 64 lower-case hex digits", index)
        kind = kind or kind_of(form.key)
        return NewJob(
            form.bot, bucket, form.key, kind, form.sha256, form.bytes or None,
            priority=form.priority, about=self._about(form, kind, index),
        )  # fmt: skip

    def _about(self, form: JobForm, kind: Kind, index: int | None) -> About | None:
        about = About(
            form.width or 0, form.height or 0, form.duration_s or 0.0, form.thumbnail or ""
        )
        rule = check_key(form.thumbnail) if form.thumbnail is not None else None
        if rule is not None:
            raise self._problem("thumbnail", rule, index)
        if (found := misfit(kind, about)) is not None:
            raise self._problem(*found, index)
        return None if about == NOTHING else about

    def _prefix(self, value: dict[str, Any]) -> Prefix:
        form = self._form(_PREFIX, value, None)
        bucket, kind = self._names(form.bot, form.bucket, form.kind, None)
        rule = check_key(form.prefix + "x")  # a prefix may be empty, or end inside a segment
        if rule is not None:
            raise self._problem("prefix", rule, None)
        return Prefix(form.bot, bucket, form.prefix, kind)

    def _form(
        self, adapter: TypeAdapter[Any], value: Any, index: int | None, items: str = "jobs"
    ) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or items.removesuffix("s")
            rule = {
                "extra_forbidden": "is no known field",
                "missing": "is missing",
            }.get(first["type"], first["msg"])
            raise self._problem(field, rule, index, items) from None

    def _names(
        self, bot: str, bucket: str | None, kind: str | None, index: int | None
    ) -> tuple[str, Kind | None]:
        if bot not in self._bots:
            raise self._problem("bot", self._unknown(bot), index)
        if bucket is not None and bucket not in self._buckets:
            rule = f"{_shown(bucket)} is not configured; known: {', '.join(self._buckets)}"
            raise self._problem("bucket", rule, index)
        if kind is not None and kind not in tuple(Kind):
            rule = f"{_shown(kind)} is none of {', '.join(Kind)}"
            raise self._problem("kind", rule, index)
        return bucket or self._buckets[0], Kind(kind) if kind else None

    @staticmethod
    def _problem(field: str, rule: str, index: int | None, items: str = "jobs") -> ProblemError:
        if index is None:
            return ProblemError(422, "Invalid", f"{field}: {rule}", field=field)
        path = f"{items}[{index}].{field}"
        return ProblemError(422, "Invalid", f"{path}: {rule}", field=field, index=index)
