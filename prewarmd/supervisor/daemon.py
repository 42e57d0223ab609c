"""The composition root: builds everything, starts it in one order, stops it in reverse.

Order: lock and store, shared memory, engine and loop, children, the socket, then what the store
held is read in while the API accepts already. SIGTERM or SIGINT drains, a second one means now.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from setproctitle import setproctitle
from systemd_watchdog import WatchDog

from prewarmd import __version__
from prewarmd.config.tree import Config
from prewarmd.core.content import KeyPattern
from prewarmd.core.engine import Engine
from prewarmd.core.events import DrainAsked
from prewarmd.core.jobs import Kind
from prewarmd.core.links import PRESIGNED
from prewarmd.core.policy import BotSpec, EnginePolicy, sizes_max
from prewarmd.errors import AlreadyRunningError, BootError, ExitCode, StoreUnwritableError
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board
from prewarmd.store.base import BatchRow
from prewarmd.store.sqlite import SqliteStore
from prewarmd.supervisor import garbage
from prewarmd.supervisor.api import Api
from prewarmd.supervisor.clock import monotonic, wall
from prewarmd.supervisor.forms import Judge
from prewarmd.supervisor.intake import Intake
from prewarmd.supervisor.loop import Loop
from prewarmd.supervisor.prober import Prober
from prewarmd.supervisor.problems import Runner
from prewarmd.supervisor.processes import Processes, house_forkserver
from prewarmd.supervisor.status import Status
from prewarmd.telemetry import log
from prewarmd.telemetry.metrics import Metrics
from prewarmd.telemetry.observe import Observer
from prewarmd.worker.spec import ChildSpec, StoreSpec, TelegramSpec

GRACE_S = 40.0
"""For uploads in flight at a stop; below systemd's TimeoutStopSec."""
LOCAL_FILE_MAX = 2_000 * 1_000_000
"""A local Bot API server takes 2000 MB (telegram.md 6)."""


def policy_of(config: Config) -> EnginePolicy:
    """The engine's part of the configuration."""
    is_local = config.telegram.server == "local"
    sizes = sizes_max(LOCAL_FILE_MAX) if is_local else sizes_max()
    if config.telegram.photo_fallback == "document":
        sizes = {**sizes, Kind.PHOTO: sizes[Kind.DOCUMENT]}
    return EnginePolicy(
        workers=config.workers,
        slots=config.slots,
        cache_bytes=config.cache.bytes,
        cache_items=config.cache.items,
        ttl_s=config.cache.ttl_s,
        relay_share=config.cache.relay_share,
        cut_through=config.telegram.cut_through_bytes > 0,
        capacity=config.queue.capacity,
        size_max=sizes,
        limits=replace(config.limits.policy, guarded=config.telegram.server == "hosted"),
        retry=config.queue.policy,
        score=config.queue.score.policy,
        prefetch_horizon_s=config.queue.prefetch_horizon_s,
        starve_after_s=config.queue.starve_after_s,
        size_probe=config.queue.size_probe,
        download_bytes_per_s=config.limits.download_bytes_per_s,
        upload_bytes_per_s=config.limits.upload_bytes_per_s,
    )


def bots_of(config: Config) -> list[BotSpec]:
    """The engine's bots. A public domain stands in front of the default bucket alone."""
    buckets: dict[str, tuple[str, ...]] = {"": (), PRESIGNED: config.r2.all_buckets}
    return [
        BotSpec(
            bot.slug,
            tuple((chat.id, chat.kind) for chat in bot.warmup_chats),
            buckets.get(bot.by_url, (config.r2.bucket,)),
        )
        for bot in config.bots
    ]


def spec_of(config: Config, index: int) -> ChildSpec:
    """What a child gets: its share of the connections, and the secrets it needs."""
    r2, telegram = config.r2, config.telegram
    key, secret = r2.access_key_id, r2.secret_access_key
    return ChildSpec(
        index=index,
        slots=config.slots,
        cut_through_bytes=telegram.cut_through_bytes,
        store=StoreSpec(
            endpoint=r2.endpoint_url,
            region=r2.region,
            access_key_id=key.get_secret_value() if key else None,
            secret_access_key=secret.get_secret_value() if secret else None,
            ca_file=str(r2.ca_file) if r2.ca_file else None,
            connections=max(1, r2.connections // config.workers),
            keepalive_s=r2.keepalive_s,
            connect_timeout_s=r2.connect_timeout_s,
            header_timeout_s=r2.header_timeout_s,
            body_timeout_s=r2.body_timeout_s,
            downloads=r2.downloads,
        ),
        telegram=TelegramSpec(
            api_base=telegram.api_base,
            ca_file=str(telegram.ca_file) if telegram.ca_file else None,
            connections=max(1, telegram.connections // config.workers),
            proxy=telegram.proxy.get_secret_value() if telegram.proxy else None,
            photo_fallback=telegram.photo_fallback,
            answer_timeout_s=telegram.answer_timeout_s,
        ),
        tokens={bot.slug: bot.token.get_secret_value() for bot in config.bots},
        links={bot.slug: bot.by_url for bot in config.bots if bot.by_url},
    )


class Daemon:
    """`prewarmd run`."""

    def __init__(self, config: Config, logger: Any) -> None:
        self._config = config
        self._log = logger
        self._stops = 0

    async def run(self) -> ExitCode:
        """Serve until told to stop, or until it cannot go on."""
        config = self._config
        store = await SqliteStore.open(
            config.state_dir,
            bot_ids={bot.slug: bot.bot_id for bot in config.bots},
            ttl_s=config.cache.ttl_s,
            wall=wall,
            clock=monotonic,
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            house_forkserver(config.state_dir)
            engine = Engine(policy_of(config), bots_of(config))
            arena = Arena.of(engine.desk.cache.extents.size_bytes)
            stack.callback(arena.close)
            board = Board.of(config.workers * config.slots)
            stack.callback(board.close)
            metrics = Metrics()
            observer = Observer(metrics, self._log)
            loop = Loop(engine, store, arena, observer, monotonic, random.random)
            loop.processes = processes = Processes(
                lambda index: spec_of(config, index), arena, board, loop, self._log
            )
            stack.push_async_callback(processes.close)
            pattern = KeyPattern.parse(config.r2.key_pattern) if config.r2.key_pattern else None
            intake = Intake(loop, store, pattern)
            status = Status(
                loop, store, processes, arena, board, observer, __version__,
                config.telegram.api_base,
            )  # fmt: skip
            judge = Judge({bot.slug for bot in config.bots}, config.r2.all_buckets)
            api = Api(intake, store, status, metrics, judge)
            orphans = await store.adopt_orphans()
            batches = await store.open_batches()
            await stack.enter_async_context(self._serve(api))
            self._obey_signals(loop)
            self._log.info(
                "daemon.started", version=__version__, pid=os.getpid(), workers=config.workers,
                socket=str(config.socket), orphans=orphans,
            )  # fmt: skip
            for work in (
                self._load(intake, batches),
                self._notify(engine),
                Prober(intake, config.telegram.probe_per_day, random.random, self._log).run(),
            ):
                stack.callback(loop.keep(work).cancel)
            await loop.run()
            WatchDog().status("stopping")
            self._log.info("daemon.stopped", failure=loop.failure or None)
            return ExitCode.SOFTWARE if loop.failure else ExitCode.OK

    async def _load(self, intake: Intake, batches: list[BatchRow]) -> None:
        await intake.load(batches)
        garbage.keep_what_is_here()

    def _obey_signals(self, loop: Loop) -> None:
        def stop() -> None:
            self._stops += 1
            grace_s = GRACE_S if self._stops == 1 else 0.0
            loop.put(DrainAsked(monotonic() + grace_s))

        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, stop)

    async def _notify(self, engine: Engine) -> None:
        """Tell systemd when children are up, and that the loop still turns."""
        systemd = WatchDog()
        if not systemd.is_enabled and not os.environ.get("NOTIFY_SOCKET"):
            return
        told = False
        while True:
            if not told and engine.children.ready:
                systemd.ready()
                told = True
            systemd.ping()
            await asyncio.sleep(1.0)

    @contextlib.asynccontextmanager
    async def _serve(self, api: Api) -> AsyncIterator[None]:
        http = self._config.http
        async with contextlib.AsyncExitStack() as stack:
            runner = Runner(api.application(http.max_body))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            listener = _listen(self._config.socket)
            stack.callback(self._config.socket.unlink, missing_ok=True)
            await web.SockSite(runner, listener, backlog=512).start()
            if http.address is not None:
                token = http.token.get_secret_value() if http.token else None
                if not token:
                    raise BootError("http.listen is set without a token", "set http.token_file")
                tcp = Runner(api.application(http.max_body, token))
                await tcp.setup()
                stack.push_async_callback(tcp.cleanup)
                await _listen_tcp(tcp, *http.address)
            yield


async def _listen_tcp(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise StoreUnwritableError(
            f"cannot listen at {host}:{port}: {reason}", "choose another address with http.listen"
        ) from None


def _listen(path: Path) -> socket.socket:
    """A socket of mode 0660 at `path`, in the place of one that a dead daemon left."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.is_socket():
            if _somebody_listens(path):
                raise AlreadyRunningError(
                    f"another daemon listens at {path}",
                    "stop it, or give this one a socket of its own",
                )
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        raise StoreUnwritableError(
            f"cannot listen at {path}: {error.strerror}", "choose another path with socket"
        ) from None
    return listener


def _somebody_listens(path: Path) -> bool:
    """The state lock says nothing here: a daemon on another state directory may be configured to
    the same socket, and would be deaf without it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its backlog is full
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


def run_daemon(config: Config, *, log_level: str = "info") -> ExitCode:
    """Run in the foreground; the exit code. Raises PrewarmdError when it cannot start."""
    log.set_up(log_level, secrets=config.secrets)
    setproctitle("prewarmd: supervisor")
    garbage.collect_seldom()
    return uvloop.run(Daemon(config, log.get("supervisor")).run())
