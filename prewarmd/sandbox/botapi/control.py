"""The pages below /__sandbox/: what tests and the demo ask of the server, and order from it.

GET `deliveries`; `requests` (how many of each method); `uploads` (in flight: bytes received);
`methods` (all there are, in lower case); `floods` (what the flood model counted); `faults` (rules
in force).
POST `faults` (rules, see `script`); `floods` (see `queue`); `known` ([[username, file_id], ...] ->
contents); `stale` ([{"bot": username, "file_id": ...}, {"bot": username, "sha256": ...}, ...]:
these file_ids, or all that the bot has of that content, are refused from now on -> how many);
`forgotten` (named likewise: the messages they came from are gone, which alone spoils no file_id ->
how many); `aged` (named likewise: those messages are older than a bot may delete -> how many).
DELETE `faults`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import orjson

from prewarmd.sandbox.botapi.queue import Queue
from prewarmd.sandbox.botapi.script import Script
from prewarmd.sandbox.botapi.world import World

Answer = tuple[int, Any]


class Control:
    """Of one server; `uploads` tells how many bytes each upload in flight has brought."""

    def __init__(
        self, world: World, script: Script, queue: Queue | None, uploads: Callable[[], list[int]]
    ) -> None:
        self._world = world
        self._script = script
        self._queue = queue
        self._uploads = uploads

    def answer(self, verb: str, what: str, body: bytes) -> Answer:
        """Status and what is told."""
        world, script = self._world, self._script
        match verb, what:
            case "GET", "deliveries":
                return 200, [dataclasses.asdict(one) for one in world.deliveries]
            case "GET", "requests":
                return 200, dict(world.requests)
            case "GET", "uploads":
                return 200, self._uploads()
            case "GET", "methods":
                return 200, world.methods
            case "GET", "faults":
                return 200, [dataclasses.asdict(rule) for rule in script.rules]
            case "GET", "floods" if self._queue is not None:
                return 200, self._queue.told()
            case "POST", _:
                return self._posted(what, body)
            case "DELETE", "faults":
                script.rules.clear()
                return 200, 0
        return 404, {"error": f"no {verb} {what} here"}

    def _posted(self, what: str, body: bytes) -> Answer:
        world, script = self._world, self._script
        try:
            match what:
                case "known":
                    return 200, [world.content(*pair) for pair in orjson.loads(body)]
                case "stale":
                    return 200, sum(world.spoil(**one) for one in orjson.loads(body))
                case "forgotten":
                    return 200, sum(world.forget(**one) for one in orjson.loads(body))
                case "aged":
                    return 200, sum(world.age(**one) for one in orjson.loads(body))
                case "faults":
                    script.add(body)
                    return 200, len(script.rules)
                case "floods" if self._queue is not None:
                    self._queue.begin(orjson.loads(body))
                    return 200, len(script.rules)
                case "floods":
                    return 404, {"error": "this server has no flood model"}
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"error": repr(error)}
        return 404, {"error": f"no POST {what} here"}
