"""`python -m prewarmd` and the console script.

Imports nothing at module level: children started by forkserver import this module again as
`__mp_main__`, and must not pay for the command line.
"""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback from here on."""
    try:
        from prewarmd.cli.interrupt import at_once

        with at_once():
            from prewarmd.cli.main import main as run
        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
