"""`make live-smoke CHAT=-100... TOKEN_FILE=...`: what Telegram itself answers, beside the sandbox.

For the operator, with a throw-away bot and a chat that nobody reads; never in CI. It sends one
media of each kind to Telegram and to the sandbox, and prints where the answers differ in shape;
whether a file_id outlives its message, and what a forward gives; how long answers take. With
`--rates` it sends quickly until it is told to wait (at most 60 messages a chat), which shows what a
chat permits and whether another one is refused as well; with `--sizes`, twenty uploads of one size,
and files around the limit of 50 MB. It obeys every wait, deletes what it sent, and never prints the
token.

The questions are those of the design paper telegram.md, section 13.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi, residents

KINDS: dict[str, Format] = {
    "photo": Format.JPEG,
    "video": Format.MP4,
    "animation": Format.MP4_SILENT,
    "document": Format.PDF,
    "audio": Format.MP3,
    "voice": Format.OGG,
    "video_note": Format.MP4_SQUARE,
    "sticker": Format.WEBP,
}
SIZE_BYTES = 120_000
QUICK_MAX = 60
SAME = 20
LIMIT_BYTES = (49_900_000, 50_000_000, 50_000_001, 52_428_800)
ANSWER_S = 300.0
PAUSE_S_MAX, MARGIN_S = 600.0, 0.5
"""How long a pause is obeyed before this gives up, and by how much it is outstayed."""


# -- shapes ----------------------------------------------------------------------------------------


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Where something stands in an answer, and of which type; all items of a list are one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    else:
        yield f"{at.lstrip('.')}: {type(value).__name__}"


def differences(theirs: Any, ours: Any) -> list[str]:
    """One line for each place that only one of two answers has."""
    live, sandbox = set(paths(theirs)), set(paths(ours))
    return [f"only live     {path}" for path in sorted(live - sandbox)] + [
        f"only sandbox  {path}" for path in sorted(sandbox - live)
    ]


# -- a client --------------------------------------------------------------------------------------


class TooLongError(Exception):
    """Told to wait longer than anybody would for this."""


@dataclass
class Client:
    """Of one server; leaves a chat alone as long as it is told to, and remembers what it sent."""

    base: str
    token: str
    session: aiohttp.ClientSession
    sent: dict[tuple[int, int], None] = field(default_factory=dict)
    """(chat, message) of what is still there."""
    pauses: dict[int, asyncio.Event] = field(default_factory=dict)
    """Chat -> set once it may be spoken to again."""

    async def ask(
        self, method: str, files: dict[str, tuple[str, bytes]] | None = None, **texts: Any
    ) -> tuple[float, dict[str, Any]]:
        """Seconds, and the answer as it is. Raises TooLongError."""
        form = aiohttp.FormData({name: str(value) for name, value in texts.items()})
        for name, (file_name, data) in (files or {}).items():
            form.add_field(name, data, filename=file_name)
        began = time.monotonic()
        url = f"{self.base}/bot{self.token}/{method}"
        try:
            async with self.session.post(url, data=form) as answer:
                told: Any = await answer.json(content_type=None)
        except (aiohttp.ClientError, ValueError) as error:
            told = {"ok": False, "description": type(error).__name__}  # its text has the token
        seconds = time.monotonic() - began
        if not isinstance(told, dict):
            told = {"ok": False, "description": "no JSON object"}
        result = told.get("result")
        if isinstance(result, dict) and "message_id" in result and "chat" in result:
            self.sent[result["chat"]["id"], result["message_id"]] = None
        elif method == "deleteMessage" and told.get("ok") is True:
            self.sent.pop((texts["chat_id"], texts["message_id"]), None)
        if wait_s := retry_after(told):
            self._pause(texts.get("chat_id", 0), wait_s)
        return seconds, told

    def _pause(self, chat: int, wait_s: float) -> None:
        if wait_s > PAUSE_S_MAX:
            raise TooLongError(f"told to wait {wait_s:.0f} s")
        print(f"  told to wait {wait_s:.0f} s", flush=True)
        over = self.pauses[chat] = asyncio.Event()
        asyncio.get_running_loop().call_later(wait_s + MARGIN_S, over.set)

    async def until_free(self, chat: int) -> None:
        """Until a chat may be spoken to."""
        over = self.pauses.get(chat)
        if over is not None:
            async with asyncio.timeout(PAUSE_S_MAX + 2 * MARGIN_S):
                await over.wait()

    async def patient(
        self, method: str, files: dict[str, tuple[str, bytes]] | None = None, **texts: Any
    ) -> tuple[float, dict[str, Any]]:
        """As `ask`, when its chat may be spoken to; again if that is to wait."""
        while True:
            await self.until_free(texts.get("chat_id", 0))
            seconds, told = await self.ask(method, files, **texts)
            if not retry_after(told):
                return seconds, told

    async def tidy(self) -> int:
        """Delete what was sent; how many could not be."""
        for chat, message in list(self.sent):
            try:
                await self.patient("deleteMessage", chat_id=chat, message_id=message)
            except TooLongError:
                continue
        return len(self.sent)


def retry_after(told: dict[str, Any]) -> float:
    """How long an answer asks to wait, in seconds; 0 when it does not."""
    parameters = told.get("parameters")
    wait_s = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return float(wait_s) if isinstance(wait_s, int | float) else 0.0


def method_of(kind: str) -> str:
    """sendVideoNote, say."""
    return "send" + kind.title().replace("_", "")


def media_of(kind: str, told: dict[str, Any]) -> dict[str, Any]:
    """The media in a message, whatever kind it is now."""
    result = told.get("result") or {}
    for name in (kind, "animation", "video", "audio", "voice", "document", "photo"):
        if found := result.get(name):
            media: dict[str, Any] = found[-1] if isinstance(found, list) else found
            return media | {"kind": name}
    return {}


# -- questions -------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was found, in lines."""

    lines: list[str] = field(default_factory=list)
    different: int = 0
    failed: int = 0

    def say(self, line: str) -> None:
        """Print it at once, too."""
        self.lines.append(line)
        print(line, flush=True)


async def compare(report: Report, live: Client, chat: int, own: Client, own_chat: int) -> None:
    """Every kind, on both sides; then by file_id, forwarded, and after its message is gone."""
    for kind, form in KINDS.items():
        files = {kind: (f"a.{form.extension}", make(form, SIZE_BYTES, int(time.time())))}
        seconds, theirs = await live.patient(method_of(kind), files, chat_id=chat)
        _, ours = await own.patient(method_of(kind), files, chat_id=own_chat)
        if not theirs.get("ok"):
            report.failed += 1
            report.say(f"{kind:11} refused: {theirs.get('description')}")
            continue
        media = media_of(kind, theirs)
        note = "" if media["kind"] == kind else f", came back as {media['kind']}"
        report.say(f"{kind:11} {seconds:6.2f} s, file_id {media['file_id'][:4]}...{note}")
        for line in differences(theirs, ours):
            report.different += 1
            report.say(f"              {line}")
        await _afterlife(report, live, chat, kind, theirs, media)


async def _afterlife(
    report: Report, live: Client, chat: int, kind: str, told: dict[str, Any], media: dict[str, Any]
) -> None:
    message, field_name = told["result"]["message_id"], media["kind"]
    seconds, again = await live.patient(
        method_of(field_name), chat_id=chat, **{field_name: media["file_id"]}
    )
    same = media_of(field_name, again).get("file_unique_id") == media["file_unique_id"]
    _, forwarded = await live.patient(
        "forwardMessage", chat_id=chat, from_chat_id=chat, message_id=message
    )
    renewed = media_of(field_name, forwarded).get("file_id")
    await live.patient("deleteMessage", chat_id=chat, message_id=message)
    _, after = await live.patient(
        method_of(field_name), chat_id=chat, **{field_name: media["file_id"]}
    )
    report.say(
        f"              by file_id {seconds:.2f} s, the same file: {same}; "
        f"a forward renews it: {renewed not in (None, media['file_id'])}; "
        f"it outlives its message: {after.get('ok') is True}"
    )


async def rates(report: Report, live: Client, chats: list[int]) -> None:
    """How many at once each chat takes, and whether another chat is refused, too."""
    for chat in chats:
        for each in chats:  # the others are asked as well, and none of them in its pause
            await live.until_free(each)
        began, took = time.monotonic(), []
        for number in range(QUICK_MAX):
            seconds, told = await live.ask("sendMessage", chat_id=chat, text=f"quick {number}")
            if not told.get("ok"):
                break
            took.append(seconds)
        spent = time.monotonic() - began
        slow = sum(each > 1.0 for each in took)
        report.say(
            f"chat {chat}: {len(took)} messages in {spent:.1f} s, {slow} of them late, "
            f"median {statistics.median(took or [0]):.2f} s, "
            f"then told to wait {retry_after(told):.0f} s"
        )
        for other in (each for each in chats if each != chat):
            _, meanwhile = await live.ask("sendMessage", chat_id=other, text="meanwhile")
            report.say(
                f"  meanwhile chat {other}: {'accepted' if meanwhile.get('ok') else 'refused'}"
            )


async def sizes(report: Report, live: Client, chat: int) -> None:
    """Uploads of one size, and the limit of a hosted server."""
    data = [make(Format.PDF, SIZE_BYTES, number) for number in range(SAME)]
    began = time.monotonic()
    answers = [
        await live.patient("sendDocument", {"document": ("a.pdf", each)}, chat_id=chat)
        for each in data
    ]
    refused = sum(not told.get("ok") for _, told in answers)
    report.say(f"{SAME} uploads of one size: {refused} refused, {time.monotonic() - began:.0f} s")
    for size_bytes in LIMIT_BYTES:
        files = {"document": ("a.pdf", make(Format.PDF, size_bytes, 1))}
        seconds, told = await live.patient("sendDocument", files, chat_id=chat)
        what = "accepted" if told.get("ok") else f"refused: {told.get('description')}"
        report.say(f"{size_bytes} bytes: {what} after {seconds:.0f} s")


async def run(
    base: str, token: str, chats: list[int], *, with_rates: bool = False, with_sizes: bool = False
) -> Report:
    """Ask everything; what was sent is deleted afterwards."""
    report, sandbox = Report(), BotApi(residents())
    await sandbox.start()
    limit = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with aiohttp.ClientSession(timeout=limit) as session:
            live = Client(base.rstrip("/"), token, session)
            own = Client(sandbox.base, sandbox.bots[0].token, session)
            _, me = await live.patient("getMe")
            if not me.get("ok"):
                raise SystemExit(f"getMe: {me.get('description')}")
            _, known = await live.patient("getChat", chat_id=chats[0])
            is_private = (known.get("result") or {}).get("type") == "private"
            own_chat = sandbox.bots[0].chats[1 if is_private else 0][0]
            try:
                await compare(report, live, chats[0], own, own_chat)
                if with_rates:
                    await rates(report, live, chats)
                if with_sizes:
                    await sizes(report, live, chats[0])
            except TooLongError as error:
                report.failed += 1
                report.say(f"gave up: {error}")
            finally:
                left = await live.tidy()
            if left:
                report.say(f"{left} messages could not be deleted")
    finally:
        await asyncio.to_thread(sandbox.stop)
    report.say(f"{report.different} differences in shape, {report.failed} kinds refused")
    return report


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make live-smoke", description=__doc__)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--chat", type=int, action="append", required=True)
    parser.add_argument("--base", default="https://api.telegram.org")
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    given = parser.parse_args()
    token = given.token_file.read_text().strip()
    report = asyncio.run(
        run(given.base, token, given.chat, with_rates=given.rates, with_sizes=given.sizes)
    )
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
