"""`prewarmd config`."""

import tomllib

from tests.cli.conftest import PLANTED, Site


def test_shows_what_counts_and_masks_secrets(site: Site) -> None:
    """File, environment and defaults in one TOML document, without a secret."""
    done = site.run("config", env={"PREWARMD_SLOTS": "7"})
    assert done.code == 0
    assert done.out.startswith(f"# from {site.file}\n")
    table = tomllib.loads(done.out)
    assert (table["workers"], table["slots"], table["queue"]["attempts"]) == (1, 7, 8)
    assert table["bots"][0]["token"] == table["r2"]["secret_access_key"] == "********"
    assert not any(planted in done.out for planted in PLANTED)


def test_flags_win(site: Site) -> None:
    """As for `run`."""
    table = tomllib.loads(site.run("config", "--workers", "3", "--state-dir", "elsewhere").out)
    assert table["workers"] == 3
    assert table["socket"] == str(site.root / "elsewhere" / "prewarmd.sock")


def test_a_readable_file_with_secrets_is_warned_of(site: Site) -> None:
    """On stderr, so that stdout stays TOML."""
    site.file.chmod(0o644)
    done = site.run("config")
    assert done.code == 0
    assert "warning" in done.err
    assert f"chmod 600 {site.file}" in done.err
    tomllib.loads(done.out)
