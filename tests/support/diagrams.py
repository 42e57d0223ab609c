"""The state diagrams of ARCHITECTURE.md, made from the tables in the code.

`make diagrams` writes them, and a test of `make check` fails when they are stale.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prewarmd.core.children import CHILD_TRANSITIONS, ChildState
from prewarmd.core.gate import GATE_TRANSITIONS, GateState
from prewarmd.core.jobs import TRANSITIONS, JobState

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
BEGIN, END = "<!-- diagrams: make diagrams -->\n", "<!-- /diagrams -->\n"
Table = Mapping[Any, Mapping[Any, Any]]
DIAGRAMS: dict[str, tuple[str, Table]] = {
    "A job": (JobState.QUEUED, TRANSITIONS),
    "A lane's gate, and a bot's, and a bucket's": (GateState.OPEN, GATE_TRANSITIONS),
    "A child": (ChildState.BACKOFF, CHILD_TRANSITIONS),
}


def diagram(first: str, table: Table) -> str:
    """Mermaid's notation; events between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, row in table.items():
        for event, after in row.items():
            arrows.setdefault((str(before), str(after)), []).append(str(event))
    lines = [f"    [*] --> {first}"]
    lines += [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state, row in table.items() if not row]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def section() -> str:
    """All of them."""
    parts = [f"{title}:\n\n{diagram(*what)}\n" for title, what in DIAGRAMS.items()]
    return "\n".join(parts)


def renewed(page: str) -> str:
    """The page with its diagrams as the code has them now."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{section()}\n{END}{after}"


def main() -> int:
    """Write them."""
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
