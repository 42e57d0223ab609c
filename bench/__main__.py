"""Run the benchmarks that are named, or all, each in a process of its own."""

import argparse
import subprocess
import sys

NAMES = (
    "channel_roundtrip",
    "engine",
    "queue",
    "eviction",
    "rates",
    "idle",
    "end_to_end",
    "botapi",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", epilog="What begins with a dash is passed on: ARGS='queue --json'."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    asked, options = parser.parse_known_args()
    for name in asked.names or NAMES:
        if name not in NAMES:
            print(f"no benchmark is called {name}; there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{name}", *options], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
