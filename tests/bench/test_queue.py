"""The queue's bench does what it says, at a size at which that takes no time."""

from bench.queue import measure
from bench.rivals import RIVALS


def test_every_queue_is_measured_at_every_size() -> None:
    """One that fell out would look as if it had not been beaten."""
    times = measure(500, 1)
    assert times.keys() == {*RIVALS, "look"}
    assert all(times[name] > 0 for name in RIVALS if name != "ours")
