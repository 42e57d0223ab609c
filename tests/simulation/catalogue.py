"""The catalogue: which contents a bot has a file_id of, by which message, and what of it is good.

A row outlives the file_id that it was made for: it is stale then, and keeps the message and the job
that help to find another. What that means is that of `store/renewals.py`, over dictionaries.
"""

from prewarmd.core import commands, events, records
from prewarmd.core.jobs import JobId
from tests.simulation.timeline import Timeline

What = tuple[str, str | None, str]
"""(bot, content, kind)."""
JOIN_S = 60.0
"""At most so much later a job is joined than the catalogue said that its content is ready."""


class Media:
    """One row."""

    __slots__ = ("chat_id", "file_id", "is_stale", "job", "message_id", "probes", "ready_at",
        "renewed", "size_bytes", "stale_at", "told_at")  # fmt: skip

    def __init__(self) -> None:
        self.job = JobId(0)
        """By which it became ready last: it names the object."""
        self.size_bytes = 0
        self.file_id = ""
        self.chat_id = self.message_id = 0
        """What bears it; message 0 when it is gone, as far as anyone knows."""
        self.is_stale = False
        self.ready_at = self.stale_at = self.told_at = 0.0
        """When it was committed, became stale, and was last said to be ready."""
        self.probes = 0
        """Unfinished jobs that find out whether its file_id is good."""
        self.renewed = 0
        """How often it was sent again on purpose."""


class Catalogue:
    """All rows."""

    def __init__(self, timeline: Timeline) -> None:
        self.order: list[What] = []
        """In order of their first commit."""
        self._rows: dict[What, Media] = {}
        self._timeline = timeline

    def find(self, what: What) -> Media | None:
        """The row of a content, ready or not."""
        return self._rows.get(what)

    def is_ready(self, what: What) -> bool:
        """Whether it has a file_id that is good, as far as anyone knows."""
        media = self._rows.get(what)
        return media is not None and not media.is_stale

    def may_join(self, what: What) -> bool:
        """Whether a job may be ready by it: it is, or was when the engine asked."""
        media = self._rows.get(what)
        if media is None:
            return False
        return not media.is_stale or media.stale_at <= media.told_at + JOIN_S

    def renewals(self, what: What) -> int:
        """How often a content was sent again on purpose; who leads with it now may be the next."""
        media = self._rows.get(what)
        if media is None:
            return 0
        return media.renewed + (media.is_stale or media.probes > 0)

    def answer(self, asked: commands.Recall) -> events.Recalled:
        """What is known of a content."""
        media = self._rows.get((asked.bot, asked.sha256, asked.kind))
        if media is None:
            return events.Recalled(asked.job, asked.sha256, ready=False)
        if not media.is_stale:
            media.told_at = self._timeline.now
        kept = (media.chat_id, media.message_id) if media.message_id else (0, 0)
        return events.Recalled(
            asked.job, asked.sha256, not media.is_stale, media.file_id, asked.kind, *kept
        )

    # -- writes ----------------------------------------------------------------------------------

    def complete(self, record: records.Complete) -> None:
        """It has a new file_id."""
        what = (record.bot, record.sha256, record.kind)
        media = self._rows.get(what)
        if media is None:
            media = self._rows[what] = Media()
            self.order.append(what)
        else:
            media.renewed += 1
        media.job, media.size_bytes, media.file_id = record.job, record.size_bytes, record.file_id
        media.chat_id, media.message_id = record.chat_id, record.message_id
        media.is_stale, media.ready_at = False, self._timeline.now

    def spoil(self, what: What, file_id: str) -> None:
        """That file_id is good no more, if it is still the one."""
        media = self._rows.get(what)
        if media is not None and media.file_id == file_id and not media.is_stale:
            media.is_stale, media.stale_at = True, self._timeline.now

    def excuse(self, what: What) -> None:
        """A probe was taken back: it may be on its way."""
        self._rows[what].renewed += 1

    def forget_message(self, gone: records.MessageGone) -> None:
        """That message is gone, if it is still the one."""
        media = self._rows.get((gone.bot, gone.sha256, gone.kind))
        message = (gone.chat_id, gone.message_id)
        if media is not None and (media.chat_id, media.message_id) == message:
            media.message_id = 0
