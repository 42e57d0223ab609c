"""URLs by which Telegram can fetch objects: of a public domain in front of a bucket, or presigned.

A presigned one is good for as long as Telegram may queue it. It names an access key and bears a
signature, so it goes to Telegram and nowhere else: no log, no text of an error.
"""

from typing import Protocol
from urllib.parse import quote

from prewarmd.core.links import PRESIGNED

EXPIRES_S = 3600


class Presigner(Protocol):
    """Who can sign a URL."""

    async def presign(self, bucket: str, key: str, expires_s: int) -> str:
        """Of a GET that needs no credentials until then. Raises ObjectError without any."""
        ...


async def link(base: str, presigner: Presigner, bucket: str, key: str) -> str:
    """The URL of an object; `base` is what stands before its key, or PRESIGNED."""
    if base == PRESIGNED:
        return await presigner.presign(bucket, key, EXPIRES_S)
    return f"{base}/{quote(key, safe='/-._~')}"
