"""What pydantic found, in our words: a dotted key, a problem, a hint. Never a value.

A value is left out even where it would help, because a secret is easily put under the wrong key.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prewarmd.config.tree import Config
from prewarmd.errors import Mistake

Location = Sequence[int | str]

PROBLEMS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is far too large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "path_type": "must be a path, as text",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "rule": "{problem}",
}

HINTS = {
    "r2": "a [r2] table with bucket and endpoint or account_id",
    "r2.bucket": 'the bucket with the media: bucket = "media"',
    "r2.buckets": 'further buckets that a job may name: ["archive"]',
    "bots": "add a [[bots]] table with slug, token_file and warmup_chats",
    "bots.slug": 'your short name for the bot, of letters, digits, "-", "_" and "."',
    "bots.token": "from @BotFather; better as token_file",
    "bots.warmup_chats": 'a private chat for uploads: [{ id = -1001234567890, kind = "channel" }]',
    "bots.warmup_chats.id": "an example: -1001234567890",
}
PATTERNS = {
    "r2.bucket": "is not a bucket's name",
    "r2.buckets": "is not a bucket's name",
    "r2.account_id": "is not an account id",
    "bots.slug": "is not a slug",
}


def dotted(location: Location) -> str:
    """`("bots", 0, "token")` as `bots[0].token`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the tree, list positions left out."""
    for name, info in model.model_fields.items():
        yield prefix + name
        for inner in _models(info.annotation):
            yield from known_keys(inner, f"{prefix}{name}.")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def mistakes_of(error: ValidationError, sources: Mapping[str, str]) -> list[Mistake]:
    """One mistake for each finding, naming the environment variable a value came from."""
    found = error.errors(include_url=False, include_input=False)
    return [_mistake(details, sources) for details in found if not _is_echo(details, found)]


def _is_echo(details: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """A list whose entries are wrong counts as too short as well: it holds no valid one."""
    location = details["loc"]
    return details["type"] == "too_short" and any(
        len(other["loc"]) > len(location) and other["loc"][: len(location)] == location
        for other in found
    )


def _mistake(details: ErrorDetails, sources: Mapping[str, str]) -> Mistake:
    location = details["loc"]
    key = dotted(location)
    plain = ".".join(part for part in location if isinstance(part, str))
    context = details.get("ctx", {})
    if details["type"] == "extra_forbidden":
        problem, hint = "is not a known key", _nearest(plain, location)
    elif details["type"] == "string_pattern_mismatch":
        problem, hint = PATTERNS.get(plain, "is not well formed"), HINTS.get(plain, "")
    else:
        problem = PROBLEMS.get(details["type"], details["msg"]).format_map(context)
        hint = str(context.get("hint") or HINTS.get(plain, ""))
    if key in sources:
        problem = f"(from {sources[key]}) {problem}"
    return Mistake(key, problem, hint)


def _nearest(plain: str, location: Location) -> str:
    """The known key that was probably meant: a neighbour first, else one from anywhere."""
    keys = list(dict.fromkeys(known_keys()))
    section = plain.rpartition(".")[0]
    name = str(location[-1]).lower()
    beside = {key.rpartition(".")[2]: key for key in keys if key.rpartition(".")[0] == section}
    anywhere = {key.rpartition(".")[2]: key for key in reversed(keys)}
    for candidates in (beside, anywhere):
        if close := get_close_matches(name, candidates, n=1, cutoff=0.6):
            return f"did you mean {candidates[close[0]]}?"
    return f"known here: {', '.join(beside)}" if beside else ""
