"""What a check finds, and what helps against each code of `core.faults` that it may find."""

from dataclasses import dataclass
from enum import StrEnum

from prewarmd.cli.words import coded


class Verdict(StrEnum):
    """Only `failed` fails the doctor."""

    OK = "ok"
    WARNING = "warning"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do about it."""

    subject: str
    verdict: Verdict
    detail: str
    hint: str = ""


HINTS = {
    "BadCredentials": "check r2.access_key_id and its secret, and that they may read this bucket",
    "NoSuchBucket": "check the bucket's name, and that r2.endpoint is the right account's",
    "StoreUnreachable": "check r2.endpoint or r2.account_id, the name's DNS, proxy and firewall",
    "StoreTimeout": "the endpoint takes connections, but does not answer: is it an S3 endpoint?",
    "ShortBody": "the endpoint closes connections: is it an S3 endpoint, http or https?",
    "StoreError": "is r2.endpoint an S3 endpoint, and r2.region the one it wants?",
    "Unauthorized": "take the bot's token from @BotFather (/mybots, API Token) once more",
    "TelegramUnreachable": "check telegram.api_base, DNS, proxy and firewall",
    "TelegramError": "the Bot API server has trouble of its own: try later",
    "TooManyRequests": "the bot is being slowed down: try later",
    "ChatNotFound": "add the bot to the chat (a channel: as an administrator), and check the id",
    "ChatRefused": "let the bot post there: in a channel make it an administrator",
    "BadAnswer": "is telegram.api_base a Bot API server?",
    "RequestRefused": "is telegram.api_base a Bot API server?",
    "UnknownRefusal": "is telegram.api_base a Bot API server?",
}


def refused(subject: str, code: str, detail: str, hint: str = "") -> Finding:
    """A failure under a code of `core.faults`."""
    hint = hint or HINTS.get(code, "")
    return Finding(subject, Verdict.FAILED, coded(code, detail), hint)
