"""Imported by the forkserver before the first child: its pages are shared by all of them."""

import gc
import signal

import prewarmd.worker.loop  # noqa: F401  imports everything a child needs

# A SIGTERM to the whole process group (`timeout`, a shell) is the supervisor's to act on: should
# the forkserver die of it, its children would die with it in mid-upload.
signal.signal(signal.SIGTERM, signal.SIG_IGN)

# What was imported stays: no collection walks over it in a child, and its pages stay shared.
gc.collect()
gc.freeze()
