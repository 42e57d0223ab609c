"""A TCP relay that makes a near server look far: each answer starts `delay_s` after its request,
and comes at `bytes_per_s` on each connection. What it does may be changed while it runs. Or one
that makes a plain server look like one of TLS."""

import asyncio
import ssl


class Relay:
    """Listens on loopback and forwards to `port`."""

    def __init__(
        self,
        port: int,
        delay_s: float = 0.0,
        bytes_per_s: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        """0: as fast as it can."""
        self.cut_bytes = 0
        """An answer's connection ends after so many; 0: with its answer."""
        self._tls = tls
        self._to = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Its port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Stop listening, cut what is open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _piece_bytes(self) -> int:
        """A twentieth of a second's, so that they come evenly."""
        return max(1, min(int(self.bytes_per_s / 20), 1 << 18)) if self.bytes_per_s else 1 << 18

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        asked_at = 0.0
        loop = asyncio.get_running_loop()

        async def there(out: asyncio.StreamWriter) -> None:
            nonlocal asked_at
            while data := await near.read(1 << 16):
                asked_at = loop.time()
                out.write(data)
                await out.drain()
            out.write_eof()

        async def here(far: asyncio.StreamReader) -> None:
            passed_bytes = 0
            while data := await far.read(self._piece_bytes):
                await asyncio.sleep(max(0.0, asked_at + self.delay_s - loop.time()))
                back.write(data)
                await back.drain()
                passed_bytes += len(data)
                if 0 < self.cut_bytes <= passed_bytes:
                    break
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
            back.close()

        out: asyncio.StreamWriter | None = None
        try:
            far, out = await asyncio.open_connection("127.0.0.1", self._to)
            async with asyncio.TaskGroup() as group:
                group.create_task(there(out))
                group.create_task(here(far))
        except* OSError:
            pass  # either end went away: so do we
        finally:
            for writer in (back, out):
                if writer is not None:
                    writer.close()
