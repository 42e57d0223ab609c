"""Running sums of what is committed, so that `status` never scans a table.

The writer thread adds while a transaction runs; a commit publishes, a rollback forgets.
"""

from collections import Counter

from prewarmd.core.jobs import UNFINISHED, JobState, Kind
from prewarmd.store.base import Counts


class Tally:
    """Changes of the transaction that runs, on top of what is committed."""

    def __init__(self) -> None:
        self.committed = Counts()
        self.begin()

    def begin(self) -> None:
        """A transaction starts; whatever an earlier one left unpublished is void."""
        self._states: Counter[JobState] = Counter()
        self._kinds: Counter[Kind] = Counter()
        self._stale: Counter[str] = Counter()
        self._rows = self._errors = 0
        self._deduplicated = 0
        self._possible_duplicates = 0

    def moved(self, before: JobState | None, after: JobState, kind: Kind) -> None:
        """A job changed its state, or is new."""
        if before is not None:
            self._states[before] -= 1
        self._states[after] += 1
        self._kinds[kind] += (after in UNFINISHED) - (before in UNFINISHED)

    def catalogued(self, slug: str, *, new: bool, was_stale: bool) -> None:
        """A catalogue row was written."""
        self._rows += new
        self._stale[slug] -= was_stale

    def staled(self, rows: int) -> None:
        """File_ids of so many rows turned out to be good no more; below 0: were renewed."""
        self._errors += rows

    def joined(self) -> None:
        """A job became ready without an upload of its own."""
        self._deduplicated += 1

    def doubled(self, times: int) -> None:
        """An upload was repeated although an earlier one may have arrived."""
        self._possible_duplicates += times

    def commit(self) -> None:
        """Publish, as a new value: readers in another thread see all of it or nothing."""
        was = self.committed
        self.committed = Counts(
            by_state={s: was.by_state.get(s, 0) + self._states[s] for s in JobState},
            unfinished_by_kind={k: was.unfinished_by_kind.get(k, 0) + self._kinds[k] for k in Kind},
            catalogue_rows=was.catalogue_rows + self._rows,
            stale_bot_rows={
                slug: rows
                for slug in was.stale_bot_rows
                if (rows := was.stale_bot_rows[slug] + self._stale[slug])
            },
            stale_rows=was.stale_rows + self._errors,
            deduplicated=was.deduplicated + self._deduplicated,
            possible_duplicates=was.possible_duplicates + self._possible_duplicates,
        )
        self.begin()
