"""Rules that concern more than one key.

They read the merged table, not the validated tree, so they speak even when other keys are wrong:
all mistakes come at once. A value of the wrong type is the tree's business and passes here.
"""

from collections.abc import Iterator
from pathlib import Path

from prewarmd.config.layers import Table, bot_tables, get
from prewarmd.errors import Mistake


def broken_rules(table: Table) -> Iterator[Mistake]:
    """Every rule that the table breaks."""
    yield from _r2(table)
    yield from _bots(table)
    yield from _queue(table)
    yield from _ca_files(table)
    if get(table, ("http", "listen")) and not (
        get(table, ("http", "token")) or get(table, ("http", "token_file"))
    ):
        yield Mistake(
            "http.token_file",
            "is missing: over TCP every request needs a token, on loopback too",
            "make one with: openssl rand -hex 32",
        )


def _r2(table: Table) -> Iterator[Mistake]:
    r2 = table.get("r2", {})
    if not isinstance(r2, dict):
        return
    if not r2.get("endpoint") and not r2.get("account_id"):
        yield Mistake(
            "r2.endpoint",
            "is missing, and so is r2.account_id",
            'Cloudflare: account_id = "..."; another store: endpoint = "https://host:port"',
        )
    if r2.get("endpoint") and r2.get("account_id"):
        yield Mistake("r2.account_id", "is given beside r2.endpoint", "keep one of the two")
    secret = r2.get("secret_access_key") or r2.get("secret_access_key_file")
    if r2.get("access_key_id") and not secret:
        yield Mistake(
            "r2.secret_access_key",
            "is missing, but r2.access_key_id is given",
            "set secret_access_key_file, or drop both and let AWS's own variables count",
        )
    if secret and not r2.get("access_key_id"):
        yield Mistake(
            "r2.access_key_id",
            "is missing, but r2.secret_access_key is given",
            "set it, or drop both and let AWS's own variables count",
        )
    workers, connections = _number(table.get("workers", 5)), _number(r2.get("connections", 50))
    if workers is not None and connections is not None and 1 <= connections < workers:
        yield Mistake(
            "r2.connections",
            f"is {connections:g} for {workers:g} workers, and each needs one",
            "raise it, or lower workers",
        )


def _bots(table: Table) -> Iterator[Mistake]:
    slugs: dict[str, int] = {}
    for number, bot in bot_tables(table):
        slug = bot.get("slug")
        if isinstance(slug, str) and slugs.setdefault(slug, number) != number:
            yield Mistake(
                f"bots[{number}].slug",
                f"is the slug of bots[{slugs[slug]}] already",
                "each bot needs a slug of its own; two slugs may share a token",
            )
        yield from _chats(f"bots[{number}].warmup_chats", bot.get("warmup_chats"))


def _chats(key: str, chats: object) -> Iterator[Mistake]:
    seen: dict[int, int] = {}
    for number, chat in enumerate(chats if isinstance(chats, list) else []):
        chat_id = chat.get("id") if isinstance(chat, dict) else None
        if not isinstance(chat_id, int) or isinstance(chat_id, bool):
            continue
        if seen.setdefault(chat_id, number) != number:
            yield Mistake(
                f"{key}[{number}].id",
                f"is the chat of {key}[{seen[chat_id]}] already",
                "a chat given twice would be paced as two",
            )
        kind = chat.get("kind")
        if kind == "private" and chat_id < 0:
            hint = "groups and channels have negative ids; leave kind out to have it asked"
            yield Mistake(f"{key}[{number}].kind", "is private, but the id is negative", hint)
        if kind in ("group", "supergroup", "channel") and chat_id > 0:
            hint = "ids of groups and channels are negative: -100..."
            yield Mistake(f"{key}[{number}].kind", f"is {kind}, but the id is positive", hint)


def _queue(table: Table) -> Iterator[Mistake]:
    base = _number(get(table, ("queue", "retry_base_s")) or 1)
    cap = _number(get(table, ("queue", "retry_cap_s")) or 300)
    if base is not None and cap is not None and 0 < cap < base:
        yield Mistake(
            "queue.retry_cap_s", "is below queue.retry_base_s", "the cap bounds what grows from it"
        )


def _ca_files(table: Table) -> Iterator[Mistake]:
    """A child that cannot load them dies at its start, or fails every connection."""
    for section in ("r2", "telegram"):
        path = get(table, (section, "ca_file"))
        if not isinstance(path, str | Path) or not str(path):
            continue
        import ssl  # 20 ms that only such a configuration pays

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
        except ssl.SSLError:
            problem = f"{path} holds no certificates in PEM form"
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror}"
        else:
            continue
        yield Mistake(f"{section}.ca_file", problem, "leave it out to trust what the system trusts")


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
