"""The data plane and the whole daemon beside others, with the goals they must meet.

All clients talk to one nginx on loopback, each in a process of its own; what counts is the CPU of
that process, because wall time is shared with the servers. Rounds alternate between the clients,
the clock of the machine is watched by a fixed loop beside each (`bench.calibrate`), ratios are
taken within a round, and the median over the rounds counts. Objects are of 100 KB +- 10 %, no two
alike. Without pacing, so that Telegram's rates do not hide what a media costs.

Needs nginx (Debian: nginx-light). `--quick` only shows that all of it works.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.calibrate import loop_s, speed
from bench.data import catalogue, daemon, large, objects, signing, table
from bench.data.clients.base import Plan
from bench.data.nginx import MissingError, Nginx
from bench.data.objects import BUCKET, Object
from bench.data.process import Clients
from bench.data.samples import Samples
from bench.data.sink import Sink
from bench.hashing import hash_scaling

LARGE_BYTES = 20_000_000
GETTERS = ("prewarmd", "hashing", "aiobotocore", "boto3", "obstore", "aiohttp")
TLS_GETTERS = ("prewarmd", "aiobotocore", "boto3", "aiohttp")
LARGE_GETTERS = ("prewarmd", "aiobotocore", "obstore", "aiohttp")
POSTERS = ("prewarmd", "aiohttp")
CHILDREN, SLOTS = 5, 16


@dataclass(slots=True)
class Scale:
    """How much is done."""

    photo_bytes: int = 100_000
    """The goals are for this."""
    rounds: int = 5
    daemon_rounds: int = 3
    requests: int = 1000
    """In a round, by each client."""
    large: int = 24
    media: int = 3000
    """In a run of a daemon, behind as many that warm it up."""
    rows: int = 1_000_000
    hits: int = 1000
    far: int = 5
    """Large media from far away, each both ways."""
    relay_bytes: int = 2_000_000_000
    """The goal is for this."""

    @classmethod
    def quick(cls) -> "Scale":
        """Shows that it works, and nothing else."""
        return cls(
            rounds=1, daemon_rounds=1, requests=200, large=4, media=400, rows=20_000, hits=200,
            far=1, relay_bytes=200_000_000,
        )  # fmt: skip


class Ground:
    """What all measure on; each thing is made when the first of them wants it."""

    def __init__(self, scale: Scale, folder: Path, stack: ExitStack) -> None:
        self.scale = scale
        self.folder = folder
        self.figures: dict[str, float] = {}
        self._stack = stack
        self._root = folder / "root"

    @cached_property
    def nginx(self) -> Nginx:
        """Serves what is in the root. Raises MissingError."""
        self._root.mkdir(exist_ok=True)
        return self._stack.enter_context(Nginx(self.folder / "nginx", self._root))

    @cached_property
    def before(self) -> list[Object]:
        """For warming up."""
        return objects.make(self._root, "before", self.scale.media, self.scale.photo_bytes)

    @cached_property
    def photos(self) -> list[Object]:
        """To be measured."""
        return objects.make(self._root, "photos", self.scale.media, self.scale.photo_bytes)

    @cached_property
    def large(self) -> list[Object]:
        """The same, of 20 MB."""
        return objects.make(self._root, "large", self.scale.large, LARGE_BYTES)

    @cached_property
    def full(self) -> Path:
        """A state directory with a full catalogue."""
        directory = self.folder / "full"
        print(f"filling a catalogue with {self.scale.rows:,} rows", flush=True)
        catalogue.fill(directory, self.scale.rows, daemon.BOTS)
        return directory

    def plan(self, *, tls: bool = False, slots: int = SLOTS, about: int = 0) -> Plan:
        """For a client and objects of about that size, or photos."""
        about = about or self.scale.photo_bytes
        url = self.nginx.url(tls=tls)
        ca_file = str(self.nginx.ca_file) if tls else None
        return Plan(url, url, BUCKET, ca_file, slots, about * 11 // 10)

    def place(self, *, tls: bool = False, telegram: str = "", **more: Any) -> daemon.Place:
        """For a daemon."""
        url = self.nginx.url(tls=tls)
        return daemon.Place(url, telegram or url, self.nginx.ca_file if tls else None, **more)


# -- one client's requests -------------------------------------------------------------------------


def _transfer(
    ground: Ground, verb: str, names: tuple[str, ...], plan: Plan, asked: list[Object]
) -> Samples:
    """CPU seconds per request of those clients."""
    samples = Samples()
    with ExitStack() as stack:
        clients = {name: stack.enter_context(Clients(name, plan)) for name in names}
        for client in clients.values():  # connections, and memory that is touched first
            client.run(verb, asked)
        for number in range(ground.scale.rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                samples.add(name, clients[name].run(verb, asked).cpu_s / len(asked) * 1e6)
    print(f"{verb} x {len(asked)}, us: {samples.told()}", flush=True)
    return samples


def measure_gets(ground: Ground) -> None:
    """GET of 100 KB, over http and over TLS."""
    asked = ground.photos[: ground.scale.requests]
    for tls, names in ((False, GETTERS), (True, TLS_GETTERS)):
        what = "get_100k_tls" if tls else "get_100k"
        samples = _transfer(ground, "get", names, ground.plan(tls=tls), asked)
        for name in names:
            ground.figures[f"{what}_us.{name}"] = samples.median(name)
        for name in names[1:]:
            ground.figures[f"{what}_ratio.{name}"] = samples.ratio("prewarmd", name)


def measure_large_gets(ground: Ground) -> None:
    """GET of 20 MB, over http."""
    plan = ground.plan(slots=4, about=LARGE_BYTES)
    samples = _transfer(ground, "get", LARGE_GETTERS, plan, ground.large)
    gb = sum(one.size_bytes for one in ground.large) / len(ground.large) / 1e9
    for name in LARGE_GETTERS:
        ground.figures[f"get_20m_s_per_gb.{name}"] = samples.median(name) / 1e6 / gb


def measure_posts(ground: Ground) -> None:
    """POST of 100 KB out of memory, over http and over TLS."""
    asked = ground.photos[: ground.scale.requests]
    for tls in (False, True):
        what = "post_100k_tls" if tls else "post_100k"
        samples = _transfer(ground, "post", POSTERS, ground.plan(tls=tls), asked)
        for name in POSTERS:
            ground.figures[f"{what}_us.{name}"] = samples.median(name)
        ground.figures[f"{what}_ratio.aiohttp"] = samples.ratio("prewarmd", "aiohttp")


def measure_signing(ground: Ground) -> None:
    """Signatures, a key of its own each."""
    if not signing.agree("strange/käy +%~.jpg"):
        raise RuntimeError("the signers do not agree")
    samples = Samples()
    for number in range(ground.scale.rounds + 1):
        count = ground.scale.requests
        keys = [f"alpha/photo/{number:08x}/{n:032x}.jpg" for n in range(count)]
        ours, theirs = (signing.us_each(s, keys) for s in (signing.prewarmd, signing.botocore))
        if number:  # the first one warms up
            samples.add("prewarmd", ours)
            samples.add("botocore", theirs)
    print(f"sign, us: {samples.told()}", flush=True)
    ground.figures["sign_us.prewarmd"] = samples.median("prewarmd")
    ground.figures["sign_us.botocore"] = samples.median("botocore")
    ground.figures["sign_ratio.botocore"] = samples.ratio("prewarmd", "botocore")


# -- whole media -----------------------------------------------------------------------------------


def measure_daemon(ground: Ground) -> None:
    """The whole daemon beside clients that do the same work and keep nothing."""
    full = ground.full
    samples, rates = Samples(), Samples()
    shapes = {
        f"{name}.{word}": (name, count)
        for word, count in (("one", 1), ("five", CHILDREN))
        for name in ("minimal", "obstore_aiohttp")
    }
    with ExitStack() as stack:
        clients = {
            shape: stack.enter_context(Clients(name, ground.plan(), count))
            for shape, (name, count) in shapes.items()
        }
        for client in clients.values():
            client.run("media", ground.before)
        for number in range(ground.scale.daemon_rounds):
            for what in ("http", "tls", "1m_rows"):
                directory = ground.folder / "states" / f"{what}-{number}"
                if what == "1m_rows":
                    catalogue.copy(full, directory)
                place = ground.place(tls=what == "tls")
                run = asyncio.run(daemon.work(place, directory, ground.before, ground.photos))
                samples.add(what, run.cpu_us)
                rates.add(what, run.per_minute)
                if what == "http":
                    samples.add("supervisor", run.supervisor_us)
                    for shape, client in clients.items():
                        spent = client.run("media", ground.photos)
                        samples.add(shape, spent.cpu_s / len(ground.photos) * 1e6)
            print(f"media, us: {samples.told()}", flush=True)
    print(f"media per minute: {rates.told()}", flush=True)
    found = ground.figures
    found["daemon_cpu_us_per_media"] = samples.median("http")
    found["daemon_supervisor_us"] = samples.median("supervisor")
    found["daemon_tls_cpu_us_per_media"] = samples.median("tls")
    found["daemon_1m_rows_cpu_us_per_media"] = samples.median("1m_rows")
    found["daemon_media_per_minute"] = rates.median("http")
    found["daemon_tls_media_per_minute"] = rates.median("tls")
    for shape, (name, _) in shapes.items():
        found[f"{name}_us.{shape.partition('.')[2]}"] = samples.median(shape)
    # One process is what costs the rivals least, so that is what they are judged by.
    found["ratio_to_minimal_client"] = samples.ratio("http", "minimal.one")
    found["ratio_to_obstore"] = samples.ratio("http", "obstore_aiohttp.one")


def measure_sink(ground: Ground) -> None:
    """That every byte arrives: the same runs, into a sink that hashes."""
    full = ground.full
    for what in ("http", "tls", "1m_rows"):
        tls = what == "tls"
        directory = ground.folder / "states" / f"sink-{what}"
        if what == "1m_rows":
            catalogue.copy(full, directory)
        with Sink(ground.nginx.folder if tls else None) as sink:
            place = ground.place(tls=tls, telegram=sink.url)
            run, wrong = asyncio.run(daemon.wrong_bodies(place, directory, sink, ground.photos))
        ground.figures[f"sink_wrong.{what}"] = wrong
        print(f"sink, {what}: {wrong} of {len(ground.photos)} wrong, {run.cpu_us:,.0f} us")


def measure_hits(ground: Ground) -> None:
    """Media whose bytes are in the arena already, beside media that are downloaded."""
    samples, count = Samples(), ground.scale.hits
    place = ground.place(cache_bytes=256 << 20)
    for number in range(ground.scale.daemon_rounds):
        directory = ground.folder / "states" / f"hits-{number}"
        before, asked = ground.before[:count], ground.photos[:count]
        miss_us, hit_us, again_bytes = asyncio.run(daemon.hits(place, directory, before, asked))
        samples.add("miss", miss_us)
        samples.add("hit", hit_us)
        samples.add("bytes", again_bytes)
    print(f"hits, us: {samples.told()}", flush=True)
    ground.figures["hit_us"] = samples.median("hit")
    ground.figures["miss_us"] = samples.median("miss")
    ground.figures["hit_downloaded_bytes"] = samples.median("bytes")
    ground.figures["hit_ratio"] = samples.ratio("hit", "miss")


def measure_cut_through(ground: Ground) -> None:
    """How long a large media from far away takes, if its upload follows its download."""
    samples = asyncio.run(large.from_far_away(ground.folder / "states", ground.scale.far))
    print(f"far away, s: {samples.told()}", flush=True)
    for name in large.WAYS:
        ground.figures[f"far_s.{name}"] = samples.median(name)
    ground.figures["cut_through_ratio"] = samples.ratio(*large.WAYS)


def measure_relay(ground: Ground) -> None:
    """What memory a child takes for an object that does not fit into the arena."""
    size_bytes = ground.scale.relay_bytes
    found = asyncio.run(large.relayed(ground.folder / "states" / "relay", size_bytes))
    mib = [each / 2**20 for each in (found.before_bytes, found.most_bytes)]
    print(f"relay of {size_bytes / 1e6:,.0f} MB: child {mib[0]:.1f}, at most {mib[1]:.1f} MiB")
    ground.figures["relay_rss_mib"] = mib[1] - mib[0]
    ground.figures["relay_s"], ground.figures["relay_cpu_s"] = found.wall_s, found.cpu_s


def measure_hashing(ground: Ground) -> None:
    """Whether hashing uses every core."""
    found = hash_scaling()
    ground.figures["hash_scaling"] = found.ratio
    ground.figures["hash_cores.one"] = found.one_cores
    ground.figures["hash_cores.five"] = found.five_cores


MEASURES: dict[str, Callable[[Ground], None]] = {
    "gets": measure_gets,
    "large": measure_large_gets,
    "posts": measure_posts,
    "signing": measure_signing,
    "daemon": measure_daemon,
    "sink": measure_sink,
    "hits": measure_hits,
    "cut_through": measure_cut_through,
    "relay": measure_relay,
    "hashing": measure_hashing,
}
"""By the names that choose them. What is measured next gets a function and a name here, and a line
in `table.SECTIONS`."""


# -- all of it -------------------------------------------------------------------------------------


def measure(names: list[str], scale: Scale) -> dict[str, float]:
    """The figures of those measures."""
    loops = [loop_s()]
    with tempfile.TemporaryDirectory(prefix="prewarmd-bench-") as path, ExitStack() as stack:
        ground = Ground(scale, Path(path), stack)
        for name in names:
            MEASURES[name](ground)
            loops.append(loop_s())
    ground.figures["machine_speed"] = speed(*loops)
    return ground.figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-data", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--quick", action="store_true", help="show that it works")
    for each in fields(Scale):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=int, metavar="N")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in MEASURES]
    if unknown:
        parser.error(f"nothing is called {unknown[0]}; there are {', '.join(MEASURES)}")
    scale = Scale.quick() if asked.quick else Scale()
    given = {each.name: getattr(asked, each.name) for each in fields(Scale)}
    scale = replace(scale, **{name: value for name, value in given.items() if value is not None})
    try:
        figures = measure(asked.names or list(MEASURES), scale)
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1
    print(table.render(figures))
    print(f"\nmachine speed {figures['machine_speed']:.2f}")
    if asked.json:
        print(json.dumps(table.as_object(figures)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
