"""How much of what Telegram permits is used: `bench.rates` in short. All time is simulated."""

import json

import pytest

from bench import rates
from bench.rates import MEASURED_FROM_S, Figures, measure, permitted
from prewarmd.core.policy import BotSpec

SCENES = {
    "private": [BotSpec("bot", ((7, "private"),))],
    "channel": [BotSpec("bot", ((-1, "channel"),))],
}
LEAST_USED = {1.0: 0.97, 0.7: 0.85, 1.3: 0.85}
"""By how much of the documented rates Telegram permits; issue 3, "rate use"."""


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("factor", LEAST_USED)
def test_what_is_permitted_is_used_without_a_send_inside_a_pause(name: str, factor: float) -> None:
    """A million media would take days longer than they must, or cost the bot a ban."""
    figures = measure(SCENES[name], factor, seed=1)
    assert figures.inside == 0
    assert figures.floods <= 1
    assert LEAST_USED[factor] <= figures.used <= 1.01, "no more than is permitted, either"


def test_four_channels_are_four_times_as_fast() -> None:
    """Chats of one bot would be in each other's way, and more of them be no gain."""
    figures = measure([BotSpec("bot", tuple((-n, "channel") for n in range(1, 5)))], 1.0, seed=1)
    assert figures.inside == 0
    assert figures.used >= 0.97


def test_the_same_seed_gives_the_same_figures() -> None:
    """A figure that nobody can repeat shows nothing."""
    assert measure(SCENES["channel"], 0.7, seed=2) == measure(SCENES["channel"], 0.7, seed=2)


def test_what_is_permitted_is_counted_from_the_model() -> None:
    """The figures would be flattered by a small divisor."""
    assert permitted(SCENES["private"], 1.0, 0.0) == 602  # its burst, and one a second
    assert permitted(SCENES["channel"], 1.0, 0.0) == 200
    assert permitted(SCENES["private"], 0.7, 120.0) == pytest.approx(336)
    assert permitted(SCENES["channel"], 1.3, 120.0) == pytest.approx(208)


def test_the_table_is_printed_for_people_and_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m bench.rates` would print something that nothing can read."""
    monkeypatch.setattr(rates, "SCENES", SCENES)
    monkeypatch.setattr(rates, "measure", lambda bots, factor, seed: Figures(0.9 + seed, seed, 0))
    rates.main(["--json", "--seeds", "2"])
    table = json.loads(capsys.readouterr().out)
    row = {str(factor): {"used": 0.9, "floods": 1, "inside": 0} for factor in MEASURED_FROM_S}
    assert table == {"private": row, "channel": row}
    rates.main(["--seeds", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(SCENES) * len(MEASURED_FROM_S)
    assert lines[1].split() == ["private", "100%", "90.0%", "1", "0"]
