"""The effective configuration as TOML, secrets masked: what `prewarmd config` prints.

The standard library reads TOML but does not write it; the tree needs four shapes only.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from prewarmd.config.tree import Config

MASK = "********"


def effective_table(config: Config) -> dict[str, object]:
    """The tree as plain values: paths as text, secrets as stars, absent keys left out."""
    plain = _plain(config.model_dump())
    assert isinstance(plain, dict)
    return plain


def effective_toml(config: Config) -> str:
    """The tree as a TOML document; it parses to `effective_table`."""
    table = effective_table(config)
    lines = [f"# from {config.file}"] if config.file else []
    lines += _pairs(table)
    for name, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_pairs(value)]
        elif _is_tables(value):
            for inner in value if isinstance(value, list) else []:
                lines += ["", f"[[{name}]]"]
                lines += [f"{key} = {_value(item)}" for key, item in inner.items()]
    return "\n".join(lines) + "\n"


def _pairs(table: dict[str, object]) -> Iterator[str]:
    for name, value in table.items():
        if not isinstance(value, dict) and not _is_tables(value):
            yield f"{name} = {_value(value)}"


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, dict) for x in value)


def _value(value: object) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {_value(x)}" for key, x in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case str():
            # A JSON string is a TOML basic string, but for DEL.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case _:
            return json.dumps(value)


def _plain(value: object) -> object:
    match value:
        case dict():
            return {key: _plain(x) for key, x in value.items() if x is not None}
        case list() | tuple():
            return [_plain(x) for x in value]
        case SecretStr():
            return MASK
        case Path():
            return str(value)
        case _:
            return value
