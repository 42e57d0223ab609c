"""Garbage: the collector looks for cycles less often in a process that holds a million jobs.

Jobs, records and answers form no cycle that outlives them, so reference counts free them; what the
collector is for is the odd exception with a traceback. Left as it is, it takes 5 % of the engine's
CPU, and a full pass over a million jobs stops the loop for 0.4 s.
"""

import gc

THRESHOLDS = 10_000, 20, 100


def collect_seldom() -> None:
    """From now on."""
    gc.set_threshold(*THRESHOLDS)


def keep_what_is_here() -> None:
    """What lives now lives long: it is not looked at again, and goes when nobody refers to it."""
    gc.collect()
    gc.freeze()
