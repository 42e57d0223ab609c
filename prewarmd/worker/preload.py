"""Imported by the forkserver before the first child: its pages are shared by all of them."""

import prewarmd.worker.loop  # noqa: F401  imports everything a child needs
