"""What deploy/ ships is true: the example loads, and says the defaults that the code has."""

import configparser
import re
import tomllib
from pathlib import Path

from prewarmd.config import load
from prewarmd.config.tree import Config, Score
from prewarmd.errors import ExitCode
from prewarmd.supervisor.daemon import GRACE_S

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EXAMPLE = DEPLOY / "prewarmd.example.toml"


def loaded(text: str, directory: Path) -> Config:
    """The configuration in `text`, its secret files found in `directory`."""
    for name, content in (("r2.secret", "s" * 32), ("alpha.token", "12345:" + "x" * 35)):
        (directory / name).write_text(content)
        (directory / name).chmod(0o600)
    file = directory / "prewarmd.toml"
    file.write_text(text.replace("/etc/prewarmd", str(directory)))
    file.chmod(0o600)
    return load(file, {"HOME": str(directory)})


def test_the_example_loads(tmp_path: Path) -> None:
    """As it is, once its secret files are there."""
    config = loaded(EXAMPLE.read_text(), tmp_path)
    assert config.warnings == ()
    assert config.bots[0].bot_id == 12345
    assert "0123456789abcdef0123456789abcdef" in config.r2.endpoint_url


def test_what_the_example_calls_a_default_is_one(tmp_path: Path) -> None:
    """Every commented key, put in force, changes nothing."""
    places = ("state_dir", "socket", "endpoint", "listen", "ca_file", "token_file", "proxy")
    text = EXAMPLE.read_text()
    plain = loaded(text, tmp_path)
    lines = []
    for line in text.splitlines():
        found = re.match(r"# (\w+) = ", line)
        lines.append(line[2:] if found and found[1] not in places else line)
    assert len([1 for one, two in zip(lines, text.splitlines(), strict=True) if one != two]) > 15
    forced = loaded("\n".join(lines), tmp_path)
    assert forced.model_dump(exclude={"file"}) == plain.model_dump(exclude={"file"})


def test_every_key_is_in_the_example() -> None:
    """A key that the code reads and the example does not name is one nobody finds."""
    text = EXAMPLE.read_text()
    tables = tomllib.loads(text)
    fields = set(Config.model_fields)
    for table in ("r2", "telegram", "cache", "limits", "queue", "http"):
        assert table in tables
        annotation = Config.model_fields[table].annotation
        assert annotation is not None
        fields |= set(annotation.model_fields)
    fields |= set(Score.model_fields)
    named = set(re.findall(r"^(?:# )?(\w+) = ", text, re.MULTILINE))
    tables_ = {"r2", "telegram", "cache", "limits", "queue", "http", "score"}
    derived = {"bots", "warnings", "file", *tables_}
    missing = fields - named - derived
    assert missing - {"secret_access_key", "token"} == set()


def test_the_unit_fits_the_daemon() -> None:
    """systemd waits longer than the daemon drains, and does not restart what cannot get better."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    unit.read(DEPLOY / "prewarmd.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["TimeoutStopSec"]) > GRACE_S
    assert service["KillMode"] == "mixed"
    hopeless = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert hopeless == {ExitCode.DATA, ExitCode.CONFIG}
