"""aiobotocore on uvloop: what an asyncio programme takes to S3."""

from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from bench.data.clients import boto
from bench.data.clients.base import Asked, Plan, in_slots


class Client:
    """See `base`."""

    async def open(self, plan: Plan) -> None:
        self._plan = plan
        config = AioConfig(**boto.settings(plan))
        client = get_session().create_client(**boto.place(plan), config=config)
        self._client: Any = await client.__aenter__()

    async def close(self) -> None:
        await self._client.__aexit__(None, None, None)

    async def get(self, asked: Asked) -> None:
        await in_slots(self._get, asked, self._plan.slots)

    async def _get(self, _: int, key: str, size_bytes: int) -> None:
        answer = await self._client.get_object(Bucket=self._plan.bucket, Key=key)
        async with answer["Body"] as body:
            assert len(await body.read()) == size_bytes
