"""The Bot API server as a process: `python -m prewarmd.sandbox.botapi`.

Standard input: one line of JSON, `{"bots": [[token, username]], "chats": [[id, type, title]],
"port": 0, "server": "hosted", "latency_s": 0, "floods": null, "hashes": true}`; `floods` has fields
of `FloodPolicy`, or {} for its defaults. Standard output: one line, the port. It serves until
standard input ends, so it never outlives whoever started it.
"""

import asyncio
import os
import signal
import sys

import orjson
import uvloop
from setproctitle import setproctitle

from prewarmd.sandbox.botapi.server import Server
from prewarmd.sandbox.botapi.shapes import BotAccount, Chat
from prewarmd.sandbox.botapi.world import World
from prewarmd.sandbox.flood import FloodPolicy


async def serve() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    given = orjson.loads(sys.stdin.buffer.readline())
    world = World(
        [BotAccount(*bot) for bot in given["bots"]],
        [Chat(*chat) for chat in given["chats"]],
        given.get("server", "hosted"),
    )
    floods = given.get("floods")
    server = Server(
        world,
        latency_s=given.get("latency_s", 0.0),
        floods=None if floods is None else FloodPolicy(**floods),
        hashes=given.get("hashes", True),
    )
    listening = await loop.create_server(
        server.connection, "127.0.0.1", given.get("port", 0), backlog=1024
    )
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    # Ctrl-C goes to the whole terminal group; who started us decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            ended.set()

    loop.add_reader(sys.stdin.fileno(), heard)
    print(listening.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await ended.wait()
    listening.close()


if __name__ == "__main__":
    setproctitle("prewarmd-sandbox: bot api")
    uvloop.run(serve())
