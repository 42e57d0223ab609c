"""Run the benchmarks that are named, or all."""

import argparse
import importlib
import sys

NAMES = ("channel_roundtrip", "engine", "queue", "eviction", "rates", "idle", "end_to_end")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    for name in parser.parse_args().names or NAMES:
        if name not in NAMES:
            print(f"no benchmark is called {name}; there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
