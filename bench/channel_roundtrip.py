"""A message over the pipe to another process and back, on uvloop: alone, and in batches of 16."""

import asyncio
import multiprocessing
import time
from typing import Any

import uvloop

from bench.calibrate import loop_s, speed
from prewarmd.ipc.channel import Channel

ROUNDS = 20_000
MESSAGE = [3, 123456, 17, "alpha/photo/0123456789abcdef.jpg", 100_000, "a" * 64, 0.25]


def _echo(end: Any) -> None:
    async def run() -> None:
        gone = asyncio.Event()

        def on_batch(batch: list[list[Any]]) -> None:
            for message in batch:
                channel.send(message)

        channel = await Channel.adopt(end, on_batch=on_batch, on_closed=lambda _: gone.set())
        await gone.wait()

    uvloop.run(run())


async def _measure(batch: int) -> float:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=True)
    process = context.Process(target=_echo, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    left = ROUNDS
    waiting = 0
    finished = asyncio.Event()

    def send() -> None:
        nonlocal waiting
        for _ in range(batch):
            channel.send(MESSAGE)
        waiting = batch

    def on_batch(messages: list[list[Any]]) -> None:
        nonlocal left, waiting
        waiting -= len(messages)
        left -= len(messages)
        if left <= 0:
            finished.set()
        elif not waiting:
            send()

    channel = await Channel.adopt(ours, on_batch=on_batch, on_closed=lambda _: finished.set())
    began = time.perf_counter()
    send()
    await finished.wait()
    taken = time.perf_counter() - began
    channel.close()
    await channel.wait_closed()
    await asyncio.to_thread(process.join)
    return taken / ROUNDS * 1e6


def main() -> None:
    before = loop_s()
    alone = uvloop.run(_measure(1))
    together = uvloop.run(_measure(16))
    print(f"there and back, alone: {alone:.1f} us a message; in batches of 16: {together:.1f} us")
    print(f"machine speed {speed(before, loop_s()):.2f}")


if __name__ == "__main__":
    main()
