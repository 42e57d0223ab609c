"""boto3 with a thread per request: what most programmes take to S3."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from bench.data.clients import boto
from bench.data.clients.base import Asked, Plan


class Client:
    """See `base`."""

    async def open(self, plan: Plan) -> None:
        self._plan = plan
        self._client = boto3.client(**boto.place(plan), config=Config(**boto.settings(plan)))
        self._threads = ThreadPoolExecutor(plan.slots)

    async def close(self) -> None:
        self._client.close()
        self._threads.shutdown()

    async def get(self, asked: Asked) -> None:
        await asyncio.to_thread(lambda: list(self._threads.map(self._get, asked)))

    def _get(self, one: tuple[str, int]) -> None:
        key, size_bytes = one
        answer = self._client.get_object(Bucket=self._plan.bucket, Key=key)
        assert len(answer["Body"].read()) == size_bytes
