"""What is said of a pruning, before and after."""

from typing import Any

import typer

from prewarmd.cli import words
from prewarmd.cli.pruning import Outcome, Stock
from prewarmd.errors import ExitCode

NAMED_MAX = 20
"""So many messages that cannot be deleted are named for each reason; --json names all."""


def messages(number: int) -> str:
    """Counted."""
    return f"{number:,} message" + ("s" if number != 1 else "")


def loss(stock: Stock, first: str) -> str:
    """What there is to delete, and what that costs (telegram.md 3)."""
    if not stock.found:
        return f"{first}."
    lines = [f"{first}:"]
    lines += [f"  chat {chat}: {number:,}" for chat, number in sorted(stock.chats.items())]
    lines.append(
        "Their file_ids stay good as far as anybody knows. But a kept message is what a file_id\n"
        "that goes stale is renewed from: without it, its object goes down and up once more."
    )
    if stock.old:
        lines.append(
            f"{stock.old:,} of them are older than 48 hours: Telegram says that it lets no bot\n"
            "delete those. Each is tried by itself, a second each, and remembered if refused:\n"
            f"{words.span(stock.least_s)} in all."
        )
    return "\n".join(lines)


def as_object(stock: Stock, outcome: Outcome) -> dict[str, Any]:
    """All of it, for --json."""
    chats = sorted(stock.chats.items())
    return {
        "found": stock.found,
        "older_than_48h": stock.old,
        "chats": [{"chat_id": chat, "messages": number} for chat, number in chats],
        "deleted": outcome.deleted,
        "refused": outcome.kept,
        "refusals": [
            {"reason": reason, "count": len(kept), "messages": kept}
            for reason, kept in outcome.refused.items()
        ],
        "stopped": outcome.stopped or None,
        "all_well": outcome.exit_code is ExitCode.OK,
    }


def tell(stock: Stock, outcome: Outcome) -> None:
    """How far it came."""
    for reason, kept in outcome.refused.items():
        typer.echo(f"{messages(len(kept))} cannot be deleted: {words.safe(reason)}")
        for message in kept[:NAMED_MAX]:
            typer.echo(f"  chat {message['chat_id']}, message {message['message_id']}")
        if len(kept) > NAMED_MAX:
            typer.echo(f"  and {len(kept) - NAMED_MAX:,} more: --json names all")
    typer.echo(
        f"{outcome.deleted:,} of {stock.found:,} deleted, {outcome.kept:,} could not be deleted"
    )
    if outcome.stopped:
        left = max(0, stock.found - outcome.deleted - outcome.kept)
        typer.echo(f"prewarmd: stopped: {words.safe(outcome.stopped)}", err=True)
        typer.echo(f"  {messages(left)} not tried; run it again to go on", err=True)
