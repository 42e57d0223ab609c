"""The layers of a configuration, each a plain table: file, environment, flags; and their merge.

A later layer wins key by key; a list replaces a list as a whole. Relative paths mean something
different in each layer, so they are made absolute here: in a file they start at the file's own
directory, elsewhere at the working directory. A relative secret file is looked for among systemd's
credentials first.

The environment is read here rather than by pydantic-settings: that one stops at the first value
that is no JSON, overlooks a misspelt top-level variable, reads the process's own environment only,
and costs each process 70 ms of imports.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prewarmd.errors import Mistake

Table = dict[str, object]

ENV_PREFIX = "PREWARMD_"
ENV_CONFIG = "PREWARMD_CONFIG"
SYSTEM_FILE = Path("/etc/prewarmd/prewarmd.toml")
LOCAL_FILE = Path("prewarmd.toml")

JSON_KEYS = frozenset({("bots",), ("r2", "buckets")})
"""Keys whose value in an environment variable is JSON."""
PATHS = (("state_dir",), ("socket",), ("r2", "ca_file"), ("telegram", "ca_file"))
SECRET_FILES = (("r2", "secret_access_key_file"), ("http", "token_file"))

_KUBERNETES = re.compile(r"(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
"""Kubernetes sets PREWARMD_SERVICE_HOST and its like for a service of our name."""


@dataclass(slots=True)
class Layer:
    """One source's table, and what went wrong in reading it."""

    table: Table = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """Dotted key -> where its value comes from, for sources that need naming."""


def find_file(path: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """The file to read: named by `-c`, else by PREWARMD_CONFIG, else the first that exists."""
    if path is not None:
        return cwd / path
    if env.get(ENV_CONFIG):
        return cwd / env[ENV_CONFIG]
    return next((file for file in (cwd / LOCAL_FILE, SYSTEM_FILE) if file.is_file()), None)


def file_layer(file: Path, env: Mapping[str, str]) -> Layer:
    """The table of a TOML file."""
    layer = Layer()
    try:
        text = file.read_bytes().decode()
        layer.table = dict(tomllib.loads(text))
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        layer.mistakes.append(Mistake(str(file), problem, "name another file with -c"))
    except UnicodeDecodeError:
        layer.mistakes.append(Mistake(str(file), "is not text in UTF-8", "save it as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        layer.mistakes.append(_syntax_mistake(file, str(error)))
    anchor(layer.table, file.parent, env)
    return layer


def _syntax_mistake(file: Path, message: str) -> Mistake:
    where = re.search(r" \(at line (\d+), column \d+\)$", message)
    line = f":{where[1]}" if where else ""
    problem = message[: where.start()] if where else message
    return Mistake(f"{file}{line}", f"is not TOML: {problem}", "text values need quotes")


def env_layer(env: Mapping[str, str], cwd: Path) -> Layer:
    """The table of the PREWARMD_ variables; `__` goes one level down, an empty value is none."""
    layer = Layer()
    for name in sorted(env):
        text = env[name]
        rest = name.removeprefix(ENV_PREFIX)
        if rest == name or name == ENV_CONFIG or not text or _KUBERNETES.match(rest):
            continue
        path = tuple(rest.lower().split("__"))
        dotted = ".".join(path)
        value: object = text
        if path in JSON_KEYS:
            try:
                value = json.loads(text)
            except ValueError:
                hint = f"an example: {name}='{JSON_EXAMPLES[path]}'"
                layer.mistakes.append(Mistake(dotted, f"{name} is not JSON", hint))
                continue
        if not put(layer.table, path, value):
            problem = f"{name} contradicts another {ENV_PREFIX} variable"
            layer.mistakes.append(Mistake(dotted, problem, "one of them takes it for a section"))
        layer.sources[dotted] = name
    anchor(layer.table, cwd, env)
    return layer


JSON_EXAMPLES = {
    ("bots",): '[{"slug": "shop", "token": "...", "warmup_chats": [{"id": -1001234567890}]}]',
    ("r2", "buckets"): '["archive"]',
}


def flag_layer(overrides: Mapping[str, object], cwd: Path, env: Mapping[str, str]) -> Layer:
    """The table of flags, given as dotted keys; a flag that was not given is None."""
    layer = Layer()
    for dotted, value in overrides.items():
        if value is not None:
            put(layer.table, tuple(dotted.split(".")), value)
    anchor(layer.table, cwd, env)
    return layer


def put(table: Table, path: tuple[str, ...], value: object) -> bool:
    """Set a nested key; False when something on the way is no table, or is there already."""
    *sections, last = path
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    if last in table:
        return False
    table[last] = value
    return True


def get(table: Mapping[str, object], path: Iterable[str]) -> object:
    """The value of a nested key, None when it is absent."""
    value: object = table
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def bot_tables(table: Mapping[str, object]) -> list[tuple[int, Table]]:
    """The entries of `bots` that are tables, with their numbers."""
    bots = table.get("bots")
    if not isinstance(bots, list):
        return []
    return [(number, bot) for number, bot in enumerate(bots) if isinstance(bot, dict)]


def merge(below: Mapping[str, object], above: Mapping[str, object]) -> Table:
    """`below` with every key of `above` laid over it; neither is changed."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[name] = merge(under, value)
        else:
            merged[name] = value
    return merged


def anchor(table: Table, base: Path, env: Mapping[str, str]) -> None:
    """Make the relative paths of a layer absolute, in place."""
    for path in PATHS:
        _anchor_key(table, path, base, env)
    for path in SECRET_FILES:
        _anchor_key(table, path, base, env, credential=True)
    for _, bot in bot_tables(table):
        _anchor_key(bot, ("token_file",), base, env, credential=True)


def _anchor_key(
    table: Table,
    path: tuple[str, ...],
    base: Path,
    env: Mapping[str, str],
    *,
    credential: bool = False,
) -> None:
    section = get(table, path[:-1])
    value = section.get(path[-1]) if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(value, str | Path) or not str(value):
        return
    text = str(value)
    if text.startswith("~/") and env.get("HOME"):
        text = env["HOME"] + text[1:]
    credentials = env.get("CREDENTIALS_DIRECTORY")
    if credential and credentials and (Path(credentials) / text).is_file():
        base = Path(credentials)
    section[path[-1]] = str((base / text).absolute())
