"""`python -m prewarmd` and the console script.

Imports nothing at module level: children started by forkserver import this module again as
`__mp_main__`, and must not pay for the command line.
"""


def main() -> None:
    """Run the command line."""
    from prewarmd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
