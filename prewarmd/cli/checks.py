"""The doctor's checks. Each speaks to the real thing as the daemon would: a signed request to each
bucket, getMe for each bot, getChat for each chat. None changes anything.

All run at once and are told in order, so one that hangs costs its own wait and no more.
"""

import asyncio
import http.client
import os
import shutil
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from prewarmd.cli import words
from prewarmd.cli.client import Client, UnansweredError
from prewarmd.cli.findings import Finding, Verdict, refused
from prewarmd.config.tree import Bot, Chat, Config
from prewarmd.errors import NotRunningError, UnreadyError
from prewarmd.supervisor.daemon import spec_of
from prewarmd.worker.answers import Refused
from prewarmd.worker.r2 import ObjectStore
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.spec import ChildSpec
from prewarmd.worker.telegram import Telegram

WAIT_S = 15.0
DAEMON_WAIT_S = 5.0
SKEW_S_MAX = 900.0
"""A signature that is older or younger is refused by S3 (RequestTimeTooSkewed)."""
SKEW_S_NOTED = 60.0


async def examine(config: Config, tell: Callable[[Finding], None]) -> None:
    """Run every check, and tell each finding."""
    spec = spec_of(config, 0)
    for finding in _configuration(config):
        tell(finding)
    endpoint = urlsplit(config.r2.endpoint_url)
    checks: list[Awaitable[list[Finding]]] = [
        asyncio.to_thread(_directories, config),
        _bounded("clock", asyncio.to_thread(_clock, endpoint.scheme, endpoint.netloc, spec)),
        *(_bounded(f"bucket {name}", _bucket(spec, name)) for name in config.r2.all_buckets),
        *(_bounded(f"bot {bot.slug}", _bot(spec, bot)) for bot in config.bots),
        asyncio.to_thread(_daemon, config),
    ]
    for task in [asyncio.ensure_future(check) for check in checks]:
        for finding in await task:
            tell(finding)


async def _bounded(subject: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(WAIT_S):
            return await check
    except TimeoutError:
        return [Finding(subject, Verdict.FAILED, f"no answer within {WAIT_S:g} s", "try again")]


def _configuration(config: Config) -> list[Finding]:
    source = str(config.file or "environment and flags alone")
    found = [Finding("configuration", Verdict.OK, source)]
    return found + [Finding("configuration", Verdict.WARNING, text) for text in config.warnings]


def _directories(config: Config) -> list[Finding]:
    state, run = config.state_dir, config.socket.parent
    found = [_writable("state directory", state, "state_dir")]
    if found[0].verdict is Verdict.OK:
        free = shutil.disk_usage(_standing(state)).free
        found = [Finding("state directory", Verdict.OK, f"{state}, {words.size(free)} free")]
    if run != state:
        found.append(_writable("socket", run, "socket"))
    return found


def _standing(path: Path) -> Path:
    """The directory itself, or where it would be made."""
    return next(each for each in (path, *path.parents) if os.access(each, os.F_OK))


def _writable(subject: str, path: Path, key: str) -> Finding:
    standing = _standing(path)
    if not standing.is_dir():
        return Finding(subject, Verdict.FAILED, f"{standing} is no directory", f"change {key}")
    if not os.access(standing, os.R_OK | os.W_OK | os.X_OK):
        hint = f"chown it to the daemon's user, or change {key}"
        return Finding(subject, Verdict.FAILED, f"this user may not write {standing}", hint)
    return Finding(subject, Verdict.OK, str(path))


def _clock(scheme: str, address: str, spec: ChildSpec) -> list[Finding]:
    """The store's time, from the Date of an answer that need not be a friendly one."""
    try:
        if scheme == "https":
            context = ssl.create_default_context(cafile=spec.store.ca_file)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                address, timeout=spec.store.connect_timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(address, timeout=spec.store.connect_timeout_s)
        try:
            connection.request("HEAD", "/")
            date = connection.getresponse().headers.get("Date", "")
        finally:
            connection.close()
        skew_s = time.time() - parsedate_to_datetime(date).timestamp()
    except (OSError, http.client.HTTPException, ValueError):
        return [Finding("clock", Verdict.SKIPPED, "the store tells no time")]
    side = "ahead of" if skew_s > 0 else "behind"
    detail = f"{words.span(abs(skew_s))} {side} the store's"
    hint = "run an NTP client (systemd-timesyncd, chrony)"
    if abs(skew_s) >= SKEW_S_MAX:
        return [Finding("clock", Verdict.FAILED, f"{detail}: it refuses our signatures", hint)]
    if abs(skew_s) >= SKEW_S_NOTED:
        return [Finding("clock", Verdict.WARNING, detail, hint)]
    return [Finding("clock", Verdict.OK, f"within {max(1, round(abs(skew_s)))} s of the store's")]


async def _bucket(spec: ChildSpec, name: str) -> list[Finding]:
    subject = f"bucket {name}"
    try:
        async with ObjectStore(spec.store) as store:
            await store.check_bucket(name)
    except ObjectError as error:
        return [refused(subject, error.code, error.detail)]
    except OSError as error:
        # The client reads the certificates when it is made.
        return [_bad_certificates(subject, "r2.ca_file", error)]
    return [Finding(subject, Verdict.OK, f"can be listed at {spec.store.endpoint}")]


def _bad_certificates(subject: str, key: str, error: OSError) -> Finding:
    what = f"{key} cannot be used: {error.strerror or type(error).__name__}"
    return Finding(subject, Verdict.FAILED, what, "it must be a readable file of PEM certificates")


async def _bot(spec: ChildSpec, bot: Bot) -> list[Finding]:
    subject = f"bot {bot.slug}"
    try:
        async with Telegram(spec.telegram, spec.tokens) as telegram:
            me = await telegram.ask(bot.slug, "getMe")
            if isinstance(me, Refused):
                # Without the bot itself every chat would fail with the same words.
                return [refused(subject, me.code, me.detail)]
            chats = await asyncio.gather(*(_chat(telegram, bot, c) for c in bot.warmup_chats))
    except OSError as error:
        return [_bad_certificates(subject, "telegram.ca_file", error)]
    if me.get("id") != bot.bot_id:
        what = f"its token begins with {bot.bot_id}, but Telegram calls it {me.get('id')}"
        return [Finding(subject, Verdict.FAILED, what, "is telegram.api_base a Bot API server?")]
    return [Finding(subject, Verdict.OK, f"@{me.get('username')}, id {bot.bot_id}"), *chats]


async def _chat(telegram: Telegram, bot: Bot, chat: Chat) -> Finding:
    subject = f"bot {bot.slug}, chat {chat.id}"
    kind = await telegram.chat_kind(bot.slug, chat.id)
    if isinstance(kind, Refused):
        hint = f"write {kind.migrated_to} instead" if kind.migrated_to else ""
        return refused(subject, kind.code, kind.detail, hint)
    if chat.kind is not None and chat.kind != kind:
        what = f"is a {kind}, configured as {chat.kind}"
        return Finding(subject, Verdict.FAILED, what, f'write kind = "{kind}", or leave it out')
    return Finding(subject, Verdict.OK, kind)


def _daemon(config: Config) -> list[Finding]:
    """What only the daemon knows: whether it is ready, and which file_ids lost their bot."""
    try:
        with Client(config.socket, DAEMON_WAIT_S) as client:
            status = client.ask("GET", "/v1/status")
    except NotRunningError:
        detail = "not running; file_ids of changed bots can be counted only while it runs"
        return [Finding("daemon", Verdict.SKIPPED, detail)]
    except UnansweredError as error:
        return [Finding("daemon", Verdict.FAILED, error.message, "see `prewarmd status`")]
    except UnreadyError as error:
        return [Finding("daemon", Verdict.FAILED, error.message, error.hint)]
    pid = status["supervisor"]["pid"]
    found = [
        Finding("daemon", Verdict.FAILED, f"{reason['code']}: {reason['message']}")
        for reason in status["readiness"]["reasons"]
    ] or [Finding("daemon", Verdict.OK, f"ready, pid {pid}")]
    stale = {bot: about["stale_media"] for bot, about in status["bots"].items()}
    for bot, number in stale.items():
        if number:
            what = f"{number} belong to the bot that had this slug before; they are not answered"
            hint = f"warm them again: prewarmd warm --bot {bot} ..."
            found.append(Finding(f"file_ids of bot {bot}", Verdict.WARNING, what, hint))
    if not any(stale.values()):
        found.append(Finding("file_ids", Verdict.OK, "all belong to the bots of today"))
    return found
