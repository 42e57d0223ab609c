"""A fault catalogue's rows, each with the tests that a docstring names for it."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def check_rows(doc: str | None, file: str, letter: str, last: int) -> None:
    """The docstring of a test file has the rows from 1 to `last`, in order, and each test that it
    names, in this file or as `place.test`, is there."""
    assert doc is not None
    rows = re.findall(rf"^{letter}(\d+): ", doc, re.MULTILINE)
    assert rows == [str(number) for number in range(1, last + 1)]
    here = Path(file)
    for where, name in re.findall(r"`(?:([\w/]+)\.)?(test_\w+)`", doc):
        paths = [TESTS / f"{where}.py", here.parent / f"{where}.py"]
        [path] = [path for path in paths if path.is_file()] if where else [here]
        is_file = (here.parent / f"{name}.py").is_file()
        assert is_file or re.search(rf"def {name}\b", path.read_text()), name
