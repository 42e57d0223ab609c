"""A fixed piece of work, to tell how fast this machine is at the moment.

Clocks of small machines change by half within a minute: a time is comparable only beside the time
of this loop, measured before and after.
"""

import time

REFERENCE_S = 0.040
"""What the loop took where the figures of the documents were measured."""


def loop_s() -> float:
    """CPU seconds of the fixed work, the best of three."""
    return min(_once() for _ in range(3))


def _once() -> float:
    began = time.process_time()
    total = 0
    table = dict.fromkeys(range(512), 1)
    for number in range(1_000_000):
        total += table[number & 511]
    assert total == 1_000_000
    return time.process_time() - began


def speed(*loops_s: float) -> float:
    """How fast the machine was, 1.0 being the reference: the mean over what was measured."""
    return REFERENCE_S * len(loops_s) / sum(loops_s)
