"""A gate in front of something that may refuse us: a bucket, a bot, a warm-up chat.

Open, everybody passes. A refusal closes it for a while that doubles with each refusal in a row;
then one probe passes, and what becomes of it opens the gate or closes it longer. Work that finds a
gate closed is not charged and does not wait in a slot.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Gate:
    """`code` and `detail` say why it is closed; both "" while it is open."""

    first_s: float = 1.0
    cap_s: float = 30.0
    code: str = ""
    detail: str = ""
    until: float = 0.0
    refusals: int = 0
    probing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether everybody passes."""
        return not self.code

    def may_pass(self, now: float) -> bool:
        """Whether somebody may pass now: all when open, one probe when a closed one is due."""
        return not self.code or (now >= self.until and not self.probing)

    def enter(self) -> None:
        """Somebody passes; through a closed gate that is the probe."""
        if self.code:
            self.probing = True

    def refuse(self, code: str, detail: str, now: float) -> None:
        """It refused: close, longer each time. Refusals of one volley count once."""
        if self.code and not self.probing and now < self.until:
            return
        self.until = now + min(self.cap_s, self.first_s * 2.0 ** min(self.refusals, 20))
        self.refusals += 1
        self.code, self.detail, self.probing = code, detail, False

    def accept(self) -> bool:
        """It worked: open. Whether it was closed before."""
        was_closed = not self.is_open
        self.code = self.detail = ""
        self.refusals, self.probing, self.until = 0, False, 0.0
        return was_closed

    def leave(self) -> None:
        """The probe ended without telling anything; another may go."""
        self.probing = False
