"""A thousand downloads that end in every way; `make transfers` runs more of them."""

from tests.support.loops import OnLoop
from tests.transfers import Transfers

TRANSFERS = 1000


def test_a_thousand_transfers_leave_nothing(on_loop: OnLoop) -> None:
    """A descriptor, a connection or an extent lost each time, and a daemon stands still after a
    day; an extent that is written to when it is free again, and a media is damaged."""
    transfers = Transfers(TRANSFERS)
    on_loop(transfers.run())
    outcome = transfers.outcome
    assert outcome.ended == TRANSFERS
    assert outcome.landed > TRANSFERS / 4
    assert outcome.cancelled > TRANSFERS / 10
    assert len(outcome.failed) > 5
    assert outcome.ranges > TRANSFERS / 10
