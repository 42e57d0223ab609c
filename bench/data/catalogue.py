"""A state directory whose catalogue is full already, written with the store's own migrations."""

import shutil
from pathlib import Path
from random import Random

import apsw

from prewarmd.store.migrate import migrate
from prewarmd.store.sqlite import DATABASE


def fill(directory: Path, rows: int, bots: dict[str, int]) -> None:
    """`rows` media that were warmed in the past, for `bots` (slug -> bot id) in turn."""
    random = Random(rows)
    directory.mkdir(mode=0o700, parents=True)
    connection = apsw.Connection(str(directory / DATABASE))
    for name, value in (
        ("journal_mode", "off"),
        ("synchronous", "off"),
        ("cache_size", -(1 << 20)),
    ):
        connection.pragma(name, value)  # of a preparation nothing must survive
    migrate(connection)
    owners = list(bots.items())
    sql = """INSERT INTO media_cache (bot_slug, bot_id, sha256, kind, actual_kind, tg_file_id,
                    tg_file_unique_id, warmup_chat_id, warmup_message_id, warmup_at, status,
                    created_at, updated_at)
             VALUES (?, ?, ?, 'photo', 'photo', ?, ?, -1001000000001, ?, ?, 'ready', ?, ?)"""
    with connection:  # one commit: each writes nearly every page of an index of hashes
        connection.executemany(
            sql,
            (
                (
                    *owners[number % len(owners)], random.randbytes(32).hex(),
                    f"AgACAgIAAx0C{random.randbytes(30).hex()}", random.randbytes(8).hex(),
                    number, 1.7e9 + number, 1.7e9 + number, 1.7e9 + number,
                )
                for number in range(rows)
            ),
        )  # fmt: skip
    connection.close()


def copy(template: Path, directory: Path) -> None:
    """The same for another run."""
    shutil.copytree(template, directory)
