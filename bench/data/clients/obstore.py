"""obstore: Rust's object_store behind Python, the leanest of what can be had ready made."""

from obstore.store import S3Store

from bench.data.clients.base import CREDENTIALS, REGION, Asked, Plan, in_slots


def store_of(plan: Plan) -> S3Store:
    """The plan's bucket."""
    return S3Store(
        plan.bucket,
        endpoint=plan.store,
        region=REGION,
        access_key_id=CREDENTIALS.access_key_id,
        secret_access_key=CREDENTIALS.secret_access_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


class Client:
    """See `base`."""

    async def open(self, plan: Plan) -> None:
        self._plan = plan
        self._store = store_of(plan)

    async def close(self) -> None:
        pass  # it ends with the process

    async def get(self, asked: Asked) -> None:
        await in_slots(self._get, asked, self._plan.slots)

    async def _get(self, _: int, key: str, size_bytes: int) -> None:
        answer = await self._store.get_async(key)
        assert len(await answer.bytes_async()) == size_bytes
