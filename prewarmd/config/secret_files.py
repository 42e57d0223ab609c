"""Secrets that live in files of their own: read, stripped, and put where the inline key would be.

Reading happens before the tree is validated, so the shape of a token is checked wherever it came
from. No message ever holds what a file holds.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from prewarmd.config.layers import Table, bot_tables, get
from prewarmd.errors import Mistake

SECRET_BYTES_MAX = 64 << 10
SUFFIX = "_file"


def secret_sections(table: Table) -> Iterator[tuple[str, Table, str]]:
    """Each place of a secret: its dotted key, the table it lies in, its name there."""
    for section, name in (("r2", "secret_access_key"), ("http", "token")):
        inner = get(table, (section,))
        if isinstance(inner, dict):
            yield f"{section}.{name}", inner, name
    for number, bot in bot_tables(table):
        yield f"bots[{number}].token", bot, "token"


def resolve_secrets(table: Table) -> tuple[list[Mistake], list[str]]:
    """Fill in, in place, the secrets that `*_file` keys name; mistakes and warnings."""
    mistakes: list[Mistake] = []
    warnings: list[str] = []
    for dotted, section, name in secret_sections(table):
        path = section.get(name + SUFFIX)
        if not isinstance(path, str) or not path:
            continue
        if section.get(name):
            hint = f"keep {name + SUFFIX}, drop {name}"
            mistakes.append(Mistake(dotted, "is given both inline and by a file", hint))
        secret = _read(Path(path))
        if isinstance(secret, str):
            section[name] = secret
            if is_readable_by_others(Path(path)):
                warnings.append(f"{path} can be read by others: chmod 600 {path}")
        else:
            mistakes.append(Mistake(dotted + SUFFIX, *secret))
    return mistakes, warnings


def _read(path: Path) -> str | tuple[str, str]:
    """The stripped content, or a problem and a hint."""
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        secret = content.decode().strip()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}", "make it readable for this user"
    except UnicodeDecodeError:
        return f"{path} is not text", "it should hold the secret and nothing else"
    if not secret or len(content) > SECRET_BYTES_MAX:
        problem = "is empty" if not secret else "is too large to be a secret"
        return f"{path} {problem}", "it should hold the secret and nothing else"
    return secret


def is_readable_by_others(path: Path) -> bool:
    """Whether every user of the machine may read the file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def has_inline_secrets(table: Table) -> bool:
    """Whether a file's own table bears a secret."""
    return any(section.get(name) for _, section, name in secret_sections(table))
