"""The object of GET /v1/status as a page for a person. What is not known is `-`."""

from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prewarmd.cli import words

ROWS_MAX = 20
LONG = ("key", "reason")
"""Columns that give way when there is not room for all; to rich, the ones that may wrap."""
GOOD, BAD, DIM = "green", "bold red", "dim"


def screen(status: dict[str, Any], rows: int = ROWS_MAX) -> RenderableType:
    """The whole page; no list on it is longer than `rows`."""
    parts: list[RenderableType] = [_head(status), Text(), _processes(status)]
    if status["source"] == "daemon":
        parts += [Text(), _figures(status)]
        if status["inflight"]:
            parts += [Text(), _in_flight(status["inflight"], rows)]
        parts += [Text(), _lanes(status["lanes"], rows)]
    return Group(*parts)


def _table(*columns: str, left: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style=DIM)
    for name in columns:
        table.add_column(
            name, justify="left" if name in left else "right", no_wrap=name not in LONG
        )
    return table


def _long(text: str) -> Text:
    """A cell of a LONG column: one line, cut where the terminal ends."""
    return Text(words.safe(text), no_wrap=True, overflow="ellipsis")


def _head(status: dict[str, Any]) -> RenderableType:
    readiness = status["readiness"]
    lines = Text("prewarmd ")
    if status["source"] == "daemon":
        lines.append(f"{status['version']}  ")
        lines.append(*(("ready", GOOD) if readiness["ready"] else ("not ready", BAD)))
        lines.append(f"  up {words.span(status['supervisor']['uptime_s'])}")
    else:
        lines.append("does not answer", BAD)
        lines.append("  (source: psutil)")
    for reason in readiness["reasons"]:
        lines.append(f"\n  {reason['code']}: ", BAD)
        lines.append(words.safe(reason["message"]))
    for bot, about in status.get("bots", {}).items():
        if about["stale_media"]:
            lines.append(f"\n  bot {bot} is another one than before: ", "yellow")
            lines.append(f"{about['stale_media']} old file_ids are not answered any more")
    return lines


def _processes(status: dict[str, Any]) -> RenderableType:
    table = _table(
        "process", "pid", "state", "CPU", "RSS", "PSS", "fds", "up", "in flight", "done",
        left=("process", "state"),
    )  # fmt: skip
    total: int | None = 0
    named = [("supervisor", status["supervisor"])]
    named += [(f"child {child['index']}", child) for child in status["children"]]
    named += [(words.safe(one["name"] or "?").strip(), one) for one in status["helpers"]]
    for name, one in named:
        cpu = one["cpu_percent"]
        state = one.get("state") or one.get("os_state") or ""
        table.add_row(
            name,
            str(one["pid"] or "-"),
            Text(state, GOOD if state in ("ready", "") else "yellow"),
            "-" if cpu is None else f"{cpu:.0f} %",
            words.size(one["rss_bytes"]),
            words.size(one["pss_bytes"]),
            words.plain(one["fds"]),
            words.span(one["uptime_s"]),
            words.plain(one["in_flight"]) if "in_flight" in one else "",
            words.plain(one["done"]) if "done" in one else "",
        )
        if one["pid"]:
            known = total is not None and one["pss_bytes"] is not None
            total = total + one["pss_bytes"] if known and total is not None else None
    table.add_row("in all", "", "", "", "", words.size(total), style=DIM)
    return table


def _figures(status: dict[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=DIM)
    grid.add_column()
    cache, latency, catalogue = status["cache"], status["latency"], status["catalogue"]
    grid.add_row("jobs", _counts(status["jobs"]))
    queued = {kind: many for kind, many in status["queue"]["by_kind"].items() if many}
    grid.add_row("queue", _counts(queued) or "empty")
    ratio = cache["hit_ratio"]
    grid.add_row(
        "cache",
        f"{words.size(cache['bytes'])} of {words.size(cache['capacity_bytes'])} used, "
        f"{cache['items']:,} items; {cache['hits']:,} hits, {cache['misses']:,} misses "
        f"({'-' if ratio is None else f'{100 * ratio:.1f} %'} hits), "
        f"{words.size(cache['bytes_downloaded'])} downloaded, {cache['evictions']:,} evicted",
    )
    grid.add_row(
        "catalogue",
        f"{catalogue['rows']:,} file_ids, {catalogue['stale']:,} stale; "
        f"{catalogue['deduplicated']:,} without an upload of their own, "
        f"{catalogue['possible_duplicates']:,} uploads perhaps repeated",
    )
    p50, p95 = (words.plain(latency[name], " ms") for name in ("p50_ms", "p95_ms"))
    grid.add_row(
        "speed",
        f"{words.plain(status['rates']['per_minute'])} a minute; P50 {p50}, P95 {p95}"
        " from enqueue to ready",
    )
    return grid


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())


def _in_flight(tasks: list[dict[str, Any]], rows: int) -> RenderableType:
    columns = ("job", "child", "stage", "bytes", "", "attempt", "since", "bot", "kind", "key")
    table = _table(*columns, left=("job", "stage", "", "bot", "kind", "key"))
    for task in sorted(tasks, key=lambda task: -float(task["seconds"]))[:rows]:
        done, total = task["bytes_done"], task["bytes_total"]
        table.add_row(
            task["job"],
            str(task["child"]),
            task["stage"].replace("_", " "),
            f"{words.size(done)} of {words.size(total)}" if total else words.size(done),
            ProgressBar(total=total or 1, completed=done, width=16),
            str(task["attempt"]),
            words.span(task["seconds"]),
            task["bot"] or "-",
            task["kind"] or "-",
            _long(task["key"] or "-"),
        )
    return _cut(table, len(tasks), rows, "in flight")


def _lanes(lanes: list[dict[str, Any]], rows: int) -> RenderableType:
    columns = ("bot", "chat", "kind", "lane", "in flight", "next send", "rate", "reason")
    table = _table(*columns, left=("bot", "kind", "lane", "reason"))
    # What is wrong comes first: it must not be cut off.
    for lane in sorted(lanes, key=lambda lane: lane["state"] == "open")[:rows]:
        per_s = lane["per_s"]
        next_s = lane["next_send_in_s"]
        table.add_row(
            lane["bot"],
            str(lane["chat_id"]),
            lane["kind"] or "-",
            Text(lane["state"], GOOD if lane["state"] == "open" else BAD),
            str(lane["in_flight"]),
            "now" if next_s == 0 else words.span(next_s),
            "no limit" if per_s is None else f"{60 * per_s:,.0f}/min",
            _long(lane["reason"] or _refused(lane["refuses"])),
        )
    return _cut(table, len(lanes), rows, "lanes")


def _refused(refuses: dict[str, str]) -> str:
    return f"takes no {', '.join(refuses)}" if refuses else ""


def _cut(table: Table, number: int, rows: int, what: str) -> RenderableType:
    if number <= rows:
        return table
    return Group(table, Text(f"and {number - rows} more {what}", DIM))
