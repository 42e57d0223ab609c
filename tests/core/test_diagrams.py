"""The diagrams people read are the tables the code runs on."""

from tests.support.diagrams import PAGE, renewed


def test_the_diagrams_are_those_of_the_code() -> None:
    """Somebody would design after a picture of last year. (`make diagrams` draws them anew.)"""
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page
