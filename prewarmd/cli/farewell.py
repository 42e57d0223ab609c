"""A bot's leaving of a Bot API server: from which, what that means, and why it did not go."""

from pydantic import ValidationError

from prewarmd.cli import words
from prewarmd.cli.client import Client, InvalidError
from prewarmd.cli.findings import HINTS
from prewarmd.cli.servers import is_same, telegram_at
from prewarmd.config.tree import Bot, Config, Telegram
from prewarmd.errors import AlreadyRunningError, NotRunningError, UnreadyError
from prewarmd.store.lock import holder
from prewarmd.worker.answers import Refused

LOCKOUT_S = 600.0
"""So long a server does not take a bot back that logged out (telegram.md 6)."""
STOP = "stop it first: systemctl stop prewarmd, or kill -TERM {}"


def server_of(config: Config, given: str | None) -> str:
    """The server that is meant, as a URL without a slash at its end."""
    if given is None:
        local = config.telegram.server == "local"
        return Telegram().api_base if local else config.telegram.api_base
    try:
        return Telegram(api_base=given).api_base
    except ValidationError as error:
        rule = error.errors(include_url=False, include_input=False)[0]["ctx"]
        raise InvalidError(f"--from: {rule['problem']}", rule["hint"]) from None


def refuse_if_served(config: Config, bot: Bot, base: str) -> None:
    """AlreadyRunningError when the daemon of this configuration has the bot at that server, or may
    have it."""
    try:
        with Client(config.socket) as client:
            status = client.ask("GET", "/v1/status")
    except NotRunningError:
        if (pid := holder(config.state_dir)) is not None:
            what = f"a daemon (pid {pid}) owns {config.state_dir} and does not answer"
            raise AlreadyRunningError(
                f"{what} at {config.socket}: it may be using this bot", STOP.format(pid)
            ) from None
        return
    pid = status["supervisor"]["pid"]
    # A daemon that does not tell may have both.
    ids = {about.get("bot_id", bot.bot_id) for about in status["bots"].values()}
    there = status.get("telegram", {}).get("api_base", base)
    if bot.bot_id in ids and is_same(there, base):
        raise AlreadyRunningError(
            f"the daemon (pid {pid}) uses bot {bot.slug} at {base}, and would lose it",
            STOP.format(pid),
        )


def consequences(bot: Bot, base: str) -> str:
    """What a logout means (telegram.md 3 and 6)."""
    return f"""\
This logs bot {bot.slug} (id {bot.bot_id}) out of the Bot API server {base}.
  - That server refuses the bot from now on, and does not take it back for 10 minutes.
  - Another server takes it at once; a bot can be at one server at a time.
  - Going back costs the same: a logout there (--from), and 10 minutes.
  - Its file_ids stay good, if the other server is no older than this one."""


async def log_out(config: Config, bot: str, base: str) -> None:
    """Do it; UnreadyError says why it is not done, in Telegram's words."""
    async with telegram_at(config, base) as telegram:
        refused = await telegram.order(bot, "logOut")
    if refused is not None:
        raise _failure(refused, base)


def _failure(refused: Refused, base: str) -> UnreadyError:
    detail = words.safe(refused.detail)
    if refused.code == "TelegramUnreachable":
        what = f"{base} cannot be reached: {detail}"
        return UnreadyError(what, "nothing was done; check --from, telegram.proxy, DNS, firewall")
    if refused.code == "NoAnswer":
        what = f"{base} did not answer ({detail}): whether the bot is logged out is not known"
        return UnreadyError(what, 'do it again: "Logged out" then means that it is')
    hint = HINTS.get(refused.code, "")
    if "logged out" in detail.lower():
        hint = "it is logged out there already: another server takes it"
    elif refused.code in ("BadAnswer", "RequestRefused", "UnknownRefusal"):
        hint = "is that a Bot API server?"
    return UnreadyError(f"{base} refuses: {detail}", hint)
