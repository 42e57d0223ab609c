"""What is committed: rows, the catalogue, and what each record does to them, checked.

Every record is compared with the job's durable state (`core.jobs.advance`), with what the world did
to the job, and with the catalogue. A record is applied only at its commit, so what is found wrong
here was decided a commit ago.
"""

from collections.abc import Callable
from typing import Any

from prewarmd.core import records
from prewarmd.core.faults import FAULTS
from prewarmd.core.jobs import TRANSITIONS, JobId
from prewarmd.core.policy import EnginePolicy
from tests.simulation import invariants
from tests.simulation.bucket import Bucket
from tests.simulation.catalogue import Catalogue
from tests.simulation.rows import Name, Row
from tests.simulation.telegram import Telegram
from tests.simulation.timeline import Timeline
from tests.simulation.ways import Ways, by_file_id, by_message

KIND_REFUSED_S = 900.0
"""How long a job sleeps at most of whose kind no chat takes any."""


class Ledger:
    """Everything durable."""

    def __init__(
        self,
        policy: EnginePolicy,
        timeline: Timeline,
        bucket: Bucket,
        telegram: Telegram,
        ways: Ways,
        seems_guilty: Callable[[int, tuple[str, str]], bool],
    ) -> None:
        self.rows: list[Row] = []
        """By id, from 1 on."""
        self.open: dict[JobId, Row] = {}
        """Unfinished ones; and the same by what a submit means, and by what it promised."""
        self.names: dict[Name, Row] = {}
        self.claims: dict[tuple[str, str, str], Row] = {}
        self.ready: dict[tuple[Name, str | None], JobId] = {}
        """The job that made a content ready for a name."""
        self.catalogue = Catalogue(timeline)
        telegram.renewals = self.catalogue.renewals
        self.ways = ways
        self.seen: dict[tuple[str, str], tuple[str, str, float]] = {}
        """(bucket, key) -> (etag, content, when the store was asked)."""
        self.holds: dict[tuple[str, int], records.Hold] = {}
        """(bot, chat) -> what is remembered of its limits..."""
        self._slowed: dict[tuple[str, int], float] = {}
        """...and until when it paused when it was slowed down last."""
        self._policy, self._timeline = policy, timeline
        self._bucket, self._telegram, self._seems_guilty = bucket, telegram, seems_guilty
        self._most = policy.retry.attempts
        self._snooze_s = 1.5 * max(policy.retry.cap_s, policy.retry.late_s) + 1.0
        self.verbs: dict[type, Callable[[Any], None]] = {
            records.Start: self._start,
            records.Complete: self._complete,
            records.Join: self._join,
            records.Fail: self._fail,
            records.Snooze: self._snooze,
            records.Wake: self._wake,
            records.Release: self._release,
            records.Cancel: self._cancel,
            records.See: self._see,
            records.Hold: self._hold,
            records.FileIdStale: self._stale,
            records.MessageGone: self._gone,
        }

    def unfinish(self, row: Row) -> None:
        """A row is new, or queued again. A probe is nobody else's job."""
        self.open[row.id] = row
        if row.is_probe:
            self._count_probe(row, 1)
            return
        self.names[row.name] = row
        if row.claimed and row.sha256 is not None:
            self.claims[row.name[0], row.sha256, row.name[3]] = row

    def finish(self, row: Row) -> None:
        """A row has reached a final state."""
        del self.open[row.id]
        if row.is_probe:
            self._count_probe(row, -1)
            return
        del self.names[row.name]
        if row.claimed and row.sha256 is not None:
            self.claims.pop((row.name[0], row.sha256, row.name[3]), None)

    def _count_probe(self, row: Row, more: int) -> None:
        media = self.catalogue.find((row.name[0], row.sha256, row.name[3]))
        assert media is not None
        media.probes += more

    def _move(self, record: Any) -> Row | None:
        row: Row = self.rows[record.job - 1]
        event = records.EVENT_OF[type(record)]
        if row.forgotten and event not in TRANSITIONS[row.state]:
            return None  # it comes late, and changes nothing
        row.state = invariants.record_is_allowed(row, event)
        return row

    # -- moves -----------------------------------------------------------------------------------

    def _start(self, record: records.Start) -> None:
        row = self._move(record)
        if row is not None:
            invariants.started_in_turn(row, record)
            row.not_before = 0.0

    def _snooze(self, record: records.Snooze) -> None:
        row = self._move(record)
        if row is None:
            return
        self._charge(row, record.code, record.attempt)
        cap_s = KIND_REFUSED_S if record.code == "KindRefused" else self._snooze_s
        invariants.snooze_is_sane(row, record, self._timeline.now, cap_s)
        invariants.doubt_is_kept(row, record)
        row.attempt, row.code, row.not_before = record.attempt, record.code, record.not_before
        row.maybe_sent = record.maybe_sent

    def _wake(self, record: records.Wake) -> None:
        row = self._move(record)
        if row is not None:
            row.not_before = 0.0

    def _release(self, record: records.Release) -> None:
        row = self._move(record)
        if row is not None:
            row.not_before = 0.0
            row.code = record.code or row.code
            if record.code == "TooManyRequests":
                self._check_hold(row)

    def _check_hold(self, row: Row) -> None:
        told = self._telegram.flooded.get(row.id)
        if told is None:
            return  # by a server that guards itself, or ends: no flood
        bot, chat, until = told
        hold = self.holds.get((bot, chat))
        invariants.hold_is_kept(row, until, hold.until if hold else 0.0)

    def _see(self, record: records.See) -> None:
        if self._bucket.etags.get(record.etag) != record.sha256:
            raise invariants.Violation("content_is_the_objects", f"{record}")
        self.seen[record.bucket, record.key] = (record.etag, record.sha256, record.asked)

    def _hold(self, record: records.Hold) -> None:
        chat = (record.bot, record.chat_id)
        invariants.pace_is_sane(record)
        before = self.holds.get(chat)
        is_slower = record.chat_id and record.factor < (before.factor if before else 1.0)
        if is_slower and record.until > self._timeline.now:  # else it is for answers that were late
            invariants.flood_counts_once(record, self._slowed.get(chat, 0.0))
            self._slowed[chat] = record.until
        if before is not None:
            invariants.pause_lasts(record, before.until)
        self.holds[chat] = record

    def _stale(self, record: records.FileIdStale) -> None:
        self.ways.bury(by_file_id(record.bot, record.file_id))
        self.catalogue.spoil((record.bot, record.sha256, record.kind), record.file_id)

    def _gone(self, record: records.MessageGone) -> None:
        self.ways.bury(by_message(record.bot, record.chat_id, record.message_id))
        self.catalogue.forget_message(record)

    # -- ends ------------------------------------------------------------------------------------

    def _cancel(self, record: records.Cancel) -> None:
        row = self._move(record)
        if row is not None:
            row.not_before = 0.0
            self.finish(row)

    def _complete(self, record: records.Complete) -> None:
        row = self._move(record)
        what = (record.bot, record.sha256, record.kind)
        message = self._telegram.settle(record.message_id)
        if row is None:
            self._telegram.doubt(what)
            return
        invariants.message_backs_ready(record, message)
        invariants.catalogue_is_fresh(row, self.catalogue.is_ready(what) and not row.is_probe)
        invariants.doubt_is_counted(row, record)
        sizes = [self._bucket.sizes.get(record.sha256)]
        if record.message_id in self._telegram.messages.unseen:  # nobody saw its bytes
            sizes += [row.size_bytes, *self._sizes(row)]
        if record.size_bytes not in sizes:
            raise invariants.Violation("content_is_the_jobs", f"{row}: {record.size_bytes} bytes")
        self.catalogue.complete(record)
        self._make_ready(row, record.sha256)

    def _join(self, record: records.Join) -> None:
        row = self._move(record)
        if row is not None:
            what = (record.bot, record.sha256, row.name[3])
            invariants.join_is_backed(row, record, self.catalogue.may_join(what))
            if row.is_probe:
                media = self.catalogue.find(what)
                assert media is not None
                invariants.probe_finds_out(row, media.ready_at)
            self._make_ready(row, record.sha256)

    def _make_ready(self, row: Row, content: str) -> None:
        if row.claimed:
            legal = content == row.sha256
        else:
            since = row.created - self._policy.ttl_s
            legal = self._bucket.held(row.name[1], row.name[2], content, since)
        invariants.content_is_the_jobs(row, content, legal)
        self.finish(row)
        row.sha256 = content
        self.ready[row.name, content] = row.id

    def _fail(self, record: records.Fail) -> None:
        row = self._move(record)
        if row is None:
            return
        code, attempt = record.code, record.attempt
        self._charge(row, code, attempt)
        told = code in FAULTS and self._is_told(row, code)
        guilty = self._is_guilty(row) or self._seems_guilty(row.id, (row.name[1], row.name[2]))
        invariants.failure_is_earned(row, code, attempt, self._most, told=told, guilty=guilty)
        invariants.doubt_is_kept(row, record)
        row.attempt, row.code, row.not_before = attempt, code, 0.0
        row.maybe_sent = record.maybe_sent
        self.finish(row)

    # -- why -------------------------------------------------------------------------------------

    def _charge(self, row: Row, code: str, attempt: int) -> None:
        if attempt != row.attempt:
            earned = self._bucket.charges(row.name[1], row.name[2])
            earned += self._telegram.charges.get(row.id, 0) + self._telegram.outages
            invariants.charge_is_just(row, code, attempt, self._most, earned)

    def _is_told(self, row: Row, code: str) -> bool:
        """Whether the world said so to the job."""
        _, bucket, key, kind = row.name
        if (bucket, key, code) in self._bucket.told or (row.id, code) in self._telegram.told:
            return True
        if code != "TooLarge":
            return False
        most = self._policy.size_max[kind]
        return max([row.size_bytes or 0, *self._sizes(row)]) > most

    def _sizes(self, row: Row) -> list[int]:
        return [self._bucket.sizes.get(content, 0) for content in self._contents(row)]

    def _is_guilty(self, row: Row) -> bool:
        """Whether it kills who touches it."""
        poison = self._bucket.poison
        return bool(poison) and any(content in poison for content in self._contents(row))

    def _contents(self, row: Row) -> list[str]:
        """All that it may ever have been about."""
        found = self._bucket.objects.get((row.name[1], row.name[2]))
        contents = [row.sha256] if row.sha256 else []
        if found is not None:
            contents += [found.content, *(content for _, content in found.past)]
        return contents
