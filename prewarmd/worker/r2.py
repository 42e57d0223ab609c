"""The object store by way of aiobotocore: list, find credentials, name what went wrong, and
whatever is unusual. Its GET costs five (TLS) to nine times the CPU of `fetch`'s; it is what that is
held against, and what stands in for it where somebody wants that (`r2.downloads`).

Its retries are off, because retrying is the engine's; its checksum options are `when_required`,
because R2 refuses the defaults; gzip is never negotiated. Every failure becomes an `ObjectError`
with a code of `core.faults`; its text never holds a signature or a secret.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as boto

from prewarmd.worker.landing import Landing, Memory
from prewarmd.worker.refusals import ObjectError, UnchangedError, code_of
from prewarmd.worker.signing import Credentials
from prewarmd.worker.spec import StoreSpec


def _named(error: BaseException) -> ObjectError:
    """What went wrong, in our words; never the text of a foreign exception that may hold a URL
    with a signature."""
    match error:
        case boto.ClientError():
            answer = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            theirs = str(answer.get("Code", status))
            message = str(answer.get("Message", ""))[:200]
            return ObjectError(code_of(theirs, status), f"{theirs}: {message}".strip(": "))
        case boto.NoCredentialsError() | boto.PartialCredentialsError():
            return ObjectError("BadCredentials", "no credentials are configured or found")
        case boto.ReadTimeoutError() | TimeoutError():
            return ObjectError("StoreTimeout", "no byte came for too long")
        case boto.ConnectTimeoutError():
            return ObjectError("StoreUnreachable", "connecting took too long")
        case boto.IncompleteReadError() | aiohttp.ClientPayloadError():
            return ObjectError("ShortBody", "the connection ended inside the body")
        case boto.ConnectionClosedError() | aiohttp.ServerDisconnectedError():
            return ObjectError("ShortBody", "the store closed the connection")
        case boto.EndpointConnectionError() | boto.HTTPClientError() | aiohttp.ClientError():
            return ObjectError("StoreUnreachable", "no connection to the endpoint")
        case boto.BotoCoreError():
            return ObjectError("StoreError", type(error).__name__)
        case ssl.SSLError() | OSError():
            return ObjectError("StoreUnreachable", type(error).__name__)
        case _:
            raise error


FOREIGN = (boto.ClientError, boto.BotoCoreError, aiohttp.ClientError, TimeoutError, OSError)


class ObjectStore:
    """One client with its own pool of connections."""

    def __init__(self, spec: StoreSpec) -> None:
        self._spec = spec
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._resolved: Any = None
        """Credentials found outside of the configuration, which may refresh themselves."""

    async def __aenter__(self) -> "ObjectStore":
        spec = self._spec
        config = AioConfig(
            region_name=spec.region,
            signature_version="s3v4",
            max_pool_connections=spec.connections,
            connect_timeout=spec.connect_timeout_s,
            read_timeout=spec.body_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
            connector_args={"keepalive_timeout": spec.keepalive_s},
        )
        self._client = await self._stack.enter_async_context(
            get_session().create_client(
                "s3",
                endpoint_url=spec.endpoint,
                aws_access_key_id=spec.access_key_id,
                aws_secret_access_key=spec.secret_access_key,
                verify=spec.ca_file,
                config=config,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def get(self, bucket: str, key: str, etag: str, landing: Landing, memory: Memory) -> str:
        """As `Fetcher.get`, in one piece, and never taken up where it broke."""
        with landing:
            async with self._opened(bucket, key, etag) as (size_bytes, theirs, stream):
                if not size_bytes:
                    raise ObjectError("EmptyObject", "the object has no bytes")
                landing.begin(size_bytes, theirs)
                if not landing.has_memory:
                    landing.view = await memory(size_bytes, theirs)
                await _land(landing, stream)
            await landing.verify()
        return landing.etag

    @asynccontextmanager
    async def _opened(
        self, bucket: str, key: str, etag: str
    ) -> AsyncIterator[tuple[int, str, aiohttp.StreamReader]]:
        """An object's size, ETag and bytes to come."""
        condition = {"IfNoneMatch": f'"{etag}"'} if etag else {}
        try:
            async with asyncio.timeout(self._spec.connect_timeout_s + self._spec.header_timeout_s):
                answer = await self._client.get_object(Bucket=bucket, Key=key, **condition)
        except boto.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 304:
                raise UnchangedError from None
            raise _named(error) from None
        except FOREIGN as error:
            raise _named(error) from None
        response = answer["Body"].raw_stream  # aiohttp's: pieces as they arrive, not 1 KiB each
        try:
            size_bytes = answer.get("ContentLength")
            if size_bytes is None:
                raise ObjectError("StoreError", "the store names no Content-Length")
            yield size_bytes, str(answer.get("ETag", "")).strip('"'), response.content
        finally:
            # What was not read to its end cannot be used for another request.
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def list(
        self, bucket: str, prefix: str, after: str
    ) -> tuple[list[tuple[str, int, str]], str]:
        """One page of (key, size, ETag) behind `after`; and the last key when there is more."""
        try:
            page = await self._client.list_objects_v2(
                Bucket=bucket, Prefix=prefix, StartAfter=after, MaxKeys=1000
            )
        except FOREIGN as error:
            raise _named(error) from None
        objects = [
            (item["Key"], int(item["Size"]), str(item.get("ETag", "")).strip('"'))
            for item in page.get("Contents", ())
        ]
        more = bool(page.get("IsTruncated")) and bool(objects)
        return objects, objects[-1][0] if more else ""

    async def size(self, bucket: str, key: str) -> int:
        """How many bytes an object has; -1 when there is none."""
        try:
            answer = await self._client.head_object(Bucket=bucket, Key=key)
        except FOREIGN as error:
            named = _named(error)
            if named.code == "NoSuchKey":
                return -1
            raise named from None
        return int(answer.get("ContentLength", -1))

    async def credentials(self, *, anew: bool = False) -> Credentials:
        """What to sign with, as aiobotocore resolves and refreshes it; `anew`: looked for again,
        because the last ones were refused. Raises ObjectError when there are none."""
        spec = self._spec
        if spec.access_key_id and spec.secret_access_key:
            return Credentials(spec.access_key_id, spec.secret_access_key)
        if anew or self._resolved is None:
            self._resolved = await get_session().get_credentials()
        if self._resolved is None:
            raise ObjectError("BadCredentials", "no credentials are configured or found")
        try:
            found = await self._resolved.get_frozen_credentials()
        except FOREIGN as error:
            raise _named(error) from None
        return Credentials(found.access_key, found.secret_key, found.token)

    async def presign(self, bucket: str, key: str, expires_s: int) -> str:
        """See `link.Presigner`."""
        try:
            url = await self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires_s
            )
        except FOREIGN as error:
            raise _named(error) from None
        return str(url)

    async def check_bucket(self, bucket: str) -> None:
        """A signed request that a working configuration answers; ObjectError says what is wrong."""
        try:
            await self._client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        except FOREIGN as error:
            raise _named(error) from None


async def _land(landing: Landing, stream: aiohttp.StreamReader) -> None:
    """All of its bytes, and no others."""
    done, size_bytes = 0, landing.size_bytes
    try:
        while done < size_bytes:
            chunk = await stream.readany()
            if not chunk:
                raise ObjectError("ShortBody", f"{done} of {size_bytes} bytes came")
            end = done + len(chunk)
            if end > size_bytes:
                raise ObjectError("StoreError", "more bytes came than were announced")
            landing.stretch(done, end)[:] = chunk
            landing.landed(0, done, end)
            done = end
    except FOREIGN as error:
        raise _named(error) from None
