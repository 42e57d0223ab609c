"""Renewals: what becomes of file_ids that are good no more, and of the messages that bear media.

A file_id that Telegram refuses makes its row of the catalogue one in error: the content is not
ready any more, and whoever wants it joins the job that finds another. The row keeps what helps to
find it: the message, and the job by which it had become ready, which names the object.

Costs: O(1) a call, but for media of which no job is remembered: their object is looked for among
all jobs of the bot.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from prewarmd.core import records
from prewarmd.core.jobs import JobId, Kind
from prewarmd.store import queries
from prewarmd.store.base import JobRow, Message, NewJob, Recollection, Renewal
from prewarmd.store.verbs import Verbs

UNKNOWN = Recollection()
LOOK_MAX = 100
"""So many rows are looked at for one that may be probed."""
REPORTED = "a client reported that Telegram refuses it"


class Renewals:
    """The writes about media that were ready once."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._bot_ids = verbs.bot_ids

    def recall(self, db: apsw.Connection, bot: str, sha256: str, kind: str) -> Recollection:
        """What is known of one content."""
        row = db.execute(
            """SELECT status, tg_file_id, actual_kind, warmup_chat_id, warmup_message_id
                 FROM media_cache WHERE bot_slug = ? AND sha256 = ? AND kind = ? AND bot_id = ?""",
            (bot, sha256, kind, self._bot_ids.get(bot, -1)),
        ).fetchone()
        if row is None:
            return UNKNOWN
        status, file_id, actual_kind, chat_id, message_id = row
        kept = (chat_id or 0, message_id or 0) if message_id else (0, 0)
        return Recollection(status == "ready", file_id or "", actual_kind or kind, *kept)

    def stale(
        self, db: apsw.Connection, bot: str, sha256: str, kind: Kind, file_id: str | None
    ) -> Renewal | None:
        """See JobStore."""
        ready = queries.media(db, self._bot_ids, bot, sha256, kind)
        if ready is not None and file_id not in (None, ready.file_id):
            return Renewal(ready, None)
        origin = self._origin(db, bot, sha256, kind)
        if origin is None:
            return None
        if ready is not None:
            self._verbs.note_stale(
                db, records.FileIdStale(bot, sha256, kind, ready.file_id, REPORTED)
            )
        return Renewal(None, self._verbs.submit(db, [_again(origin)]))

    def probe(self, db: apsw.Connection, chance: float) -> list[JobRow]:
        """See JobStore."""
        most: int = db.execute("SELECT coalesce(max(id), 0) FROM media_cache").get
        start = int(chance * most) + 1
        for first, last in ((start, most), (1, start - 1)):
            rows: list[Any] = db.execute(
                """SELECT bot_slug, bot_id, sha256, kind FROM media_cache
                    WHERE id BETWEEN ? AND ? AND status = 'ready' ORDER BY id LIMIT ?""",
                (first, last, LOOK_MAX),
            ).fetchall()
            for bot, bot_id, sha256, kind in rows:
                if self._bot_ids.get(bot) != bot_id:
                    continue
                origin = self._origin(db, bot, sha256, Kind(kind))
                if origin is not None and origin.size_bytes is not None:
                    return self._verbs.add_probe(db, _again(origin))
        return []

    def _origin(self, db: apsw.Connection, bot: str, sha256: str, kind: Kind) -> JobRow | None:
        """The job that made a content of the catalogue ready; None when there is no such row, or
        none is remembered that names its object."""
        row = db.execute(
            """SELECT job FROM media_cache
                WHERE bot_slug = ? AND sha256 = ? AND kind = ? AND bot_id = ?""",
            (bot, sha256, kind, self._bot_ids.get(bot, -1)),
        ).fetchone()
        if row is None:
            return None
        if row[0] is not None:
            return queries.job(db, self._bot_ids, JobId(row[0]))
        row = db.execute(
            """SELECT id FROM jobs WHERE bot = ? AND sha256 = ? AND kind = ? AND state = 'ready'
                ORDER BY id DESC LIMIT 1""",
            (bot, sha256, kind),
        ).fetchone()
        return queries.job(db, self._bot_ids, JobId(row[0])) if row else None

    # -- messages --------------------------------------------------------------------------------

    def forget_messages(
        self, db: apsw.Connection, bot: str, gone: Sequence[tuple[int, int]]
    ) -> int:
        """See JobStore."""
        before = db.total_changes()
        now = self._verbs.wall()
        db.executemany(
            """UPDATE media_cache SET warmup_message_id = NULL, updated_at = ?
                WHERE id = ? AND warmup_message_id = ? AND bot_slug = ?""",
            [(now, media, message_id, bot) for media, message_id in gone],
        )
        return db.total_changes() - before


def _again(origin: JobRow) -> NewJob:
    """A submit of the same object; its content is promised, so other bytes under its key are
    refused."""
    assert origin.sha256 is not None
    return NewJob(
        origin.bot, origin.bucket, origin.key, origin.kind, origin.sha256, origin.size_bytes,
        about=origin.about,
    )  # fmt: skip


def messages(
    db: apsw.Connection, bot: str, bot_id: int, before_unix: float, after: int, limit: int
) -> list[Message]:
    """A page of a bot's messages; see JobStore."""
    rows = db.execute(  # in the table's own order: by way of an index all would be sorted each time
        """SELECT id, sha256, kind, warmup_chat_id, warmup_message_id, warmup_at
             FROM media_cache NOT INDEXED
            WHERE bot_slug = ? AND bot_id = ? AND id > ? AND warmup_message_id IS NOT NULL
                  AND warmup_at < ? ORDER BY id LIMIT ?""",
        (bot, bot_id, after, before_unix, limit),
    )
    return [Message(row[0], row[1], Kind(row[2]), *row[3:]) for row in rows]
