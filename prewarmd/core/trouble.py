"""What befell a job in this life of the daemon: most jobs nothing, so it takes no room in them."""

from dataclasses import dataclass


@dataclass(slots=True)
class Trouble:
    """Of one job, from its first failure or death on."""

    failures: int = 0
    """In a row, charged or not: what back-off grows by."""
    failed_with: str = ""
    """The code of its last failure; "" when it has not failed."""
    served_then: int = -1
    """How much its upstream had served at its last failure; -1 when it has not failed."""
    deaths: int = 0
    """Children that died with it in hand."""
    kills: int = 0
    """Of children that had it alone in hand, by SIGKILL."""
