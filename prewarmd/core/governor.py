"""A governor: finds the rate that Telegram permits a chat, from how it answers.

The documented rates are where to start, not where to end: Telegram's are dynamic and told to nobody
(telegram.md 4.1, 4.2). Additive increase, multiplicative decrease, with a memory:

- So many clean answers while the pace was what held the chat back: a step faster.
- Telegram absorbs floods of up to 8 s by answering late (telegram.md fact 2). Answers late in a row
  are the early sign. If that came of the last step, the step is taken back, and it is longer until
  the next one is tried; else the rate goes down gently. What was sent too early is made up for, so
  that the delay drains.
- A 429: the rate goes down for good measure, whatever came before. All 429s, and all late answers,
  of sends that had begun before the last decrease belong to the same event and change nothing.

Late is relative to what is usual for the chat and to the size sent, because a video is worked on
for seconds. Costs: O(1), no history.
"""

from dataclasses import dataclass

from prewarmd.core.pace import Pace
from prewarmd.core.ready_queue import FOREVER

STEP = 0.05
"""Of the documented rate: one increase."""
CLEAN_S = 20.0
"""A step needs answers without trouble for so long, or for the pace's window if it has one (what a
window thinks of a rate shows when the window is over)..."""
CLEAN_ANSWERS = 5
"""...and so many of them."""
CLEAN_WITHIN_S, LATE_S = 0.9, 1.9
"""Seconds above the usual within which an answer is clean, and from which on it is late; between
them it says nothing. Telegram's waits are whole seconds."""
LATE_IN_A_ROW = 3
SLOWEST_BYTES_PER_S = 2_000_000.0
"""Telegram may take so long over the bytes of an upload before it is late."""
GENTLE, FIRM, HARD = 0.95, 0.85, 0.7
"""Decreases: for answers that are late; the same soon after the last one; for a 429 (telegram.md
4.5)."""
SOON_S = 60.0
IN_VAIN_MAX = 5
FLOOR, CEILING = 0.1, 4.0
"""Of the documented rate."""
PATIENCE_S, PATIENCE_S_MAX = 60.0, 960.0
"""How long a step that was taken back is not tried again, doubling."""


@dataclass(slots=True)
class Governor:
    """Of one pace. Times are the engine's."""

    pace: Pace
    proven: float = 0.0
    """The factor that was clean before the last step; 0 when none was."""
    clean_since: float = FOREVER
    clean: int = 0
    late: int = 0
    in_vain: int = 0
    """Decreases in a row without a clean answer between them."""
    usual_s: float = FOREVER
    """What an answer usually takes."""
    decreased_at: float = -FOREVER
    no_step_before: float = 0.0
    patience_s: float = PATIENCE_S

    def answered(self, began: float, answer_s: float, size_bytes: int, now: float) -> bool:
        """A send that began at `began` was answered `answer_s` after its last byte. Whether the
        rate went down."""
        if not self.pace.interval_s:
            return False
        excess_s = self._excess_s(answer_s) - size_bytes / SLOWEST_BYTES_PER_S
        if began < self.decreased_at:
            return False
        if excess_s < LATE_S:
            self.late = 0
            if excess_s < CLEAN_WITHIN_S:
                self._note_clean(now)
            else:
                self.clean_since, self.clean = FOREVER, 0
            return False
        self.clean_since, self.clean = FOREVER, 0
        self.late += 1 if excess_s < 2 * LATE_S else LATE_IN_A_ROW
        if self.late < LATE_IN_A_ROW:
            return False
        self.in_vain += 1
        if self.in_vain >= IN_VAIN_MAX:
            # Sending less does not help: that is no flood, Telegram has become slower.
            self.usual_s, self.late = answer_s, 0
            return False
        self._decrease_gently(now)
        self.pace.hold_back(excess_s, now)
        return True

    def _excess_s(self, answer_s: float) -> float:
        """Above the usual, which follows ordinary answers quickly and late ones hardly at all."""
        excess_s = answer_s - self.usual_s
        if excess_s <= 0:
            self.usual_s = answer_s
            return 0.0
        self.usual_s += excess_s * (0.02 if excess_s < CLEAN_WITHIN_S else 0.001)
        return excess_s

    def flooded(self, began: float, now: float) -> bool:
        """A send that began at `began` earned a 429. Whether the rate went down: not for another
        of the same flood."""
        if began < self.decreased_at:
            return False
        self._decrease(self.pace.factor * HARD, now)
        self.patience_s = PATIENCE_S
        return True

    def _note_clean(self, now: float) -> None:
        self.in_vain = 0
        # Only a pace that is used up tells anything: an idle chat is clean at any rate.
        if self.pace.next_at < now - self.pace.interval_s:
            self.clean_since, self.clean = FOREVER, 0
            return
        self.clean_since = min(self.clean_since, now)
        self.clean += 1
        clean_s = max(CLEAN_S, self.pace.span_s)
        long_enough = now - self.clean_since >= clean_s and self.clean >= CLEAN_ANSWERS
        if long_enough and now >= self.no_step_before and self.pace.factor < CEILING:
            self.proven = self.pace.factor
            self.pace.scale(min(CEILING, self.proven + STEP))
            self.clean_since, self.clean = now, 0

    def _decrease_gently(self, now: float) -> None:
        factor = self.pace.factor
        if 0 < self.proven < factor:
            self._decrease(self.proven, now)
            self.no_step_before = now + self.patience_s
            self.patience_s = min(PATIENCE_S_MAX, 2 * self.patience_s)
        else:
            self._decrease(factor * (FIRM if now < self.decreased_at + SOON_S else GENTLE), now)

    def _decrease(self, factor: float, now: float) -> None:
        if not self.pace.is_unpaced:  # else nothing would ever take it back
            self.pace.scale(max(FLOOR, factor))
        self.proven = 0.0
        self.decreased_at = now
        self.no_step_before = now + CLEAN_S
        self.clean_since, self.clean, self.late = FOREVER, 0, 0
