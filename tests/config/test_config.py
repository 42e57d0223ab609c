"""The configuration: layers, defaults, and every mistake at once with its key and a hint."""

import json
import pickle
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from prewarmd.config import Config, effective_toml, load
from prewarmd.config.show import MASK
from prewarmd.config.sizes import parse_bytes
from prewarmd.core.lanes import LimitPolicy
from prewarmd.errors import ConfigError, ExitCode, Mistake

TOKEN = "4242:planted-bot-token-0123456789abcdef"
KEY_ID = "planted-access-key-id"
SECRET = "planted-secret-access-key"
API_TOKEN = "planted-api-token-0123456789abcdef"

MINIMAL = f"""
[r2]
endpoint = "http://127.0.0.1:9000"
bucket = "media"
[[bots]]
slug = "shop"
token = "{TOKEN}"
warmup_chats = [{{ id = -1001234567890, kind = "channel" }}]
"""
ENV = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/run/user/1000"}


class Bench:
    """A working directory with a configuration file in it, and an environment beside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "prewarmd.toml"

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def load(
        self,
        text: str = MINIMAL,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        euid: int = 1000,
    ) -> Config:
        self.write(text)
        return load(None, {**ENV, **(env or {})}, overrides or {}, cwd=self.root, euid=euid)

    def mistakes(
        self,
        text: str = MINIMAL,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> list[Mistake]:
        with pytest.raises(ConfigError) as raised:
            self.load(text, env, overrides)
        assert raised.value.exit_code is ExitCode.CONFIG
        shown = str(raised.value)
        for planted in (TOKEN, KEY_ID, SECRET, API_TOKEN):
            assert planted not in shown
        return raised.value.mistakes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_everything_but_the_starred_keys_has_a_default(bench: Bench) -> None:
    """A store, a bucket, a bot and its chat are enough; the rest is the issue's table."""
    config = bench.load()
    assert (config.workers, config.slots) == (5, 64)
    assert config.state_dir == Path("/home/ada/.local/state/prewarmd")
    assert config.socket == Path("/run/user/1000/prewarmd.sock")
    assert config.r2.endpoint_url == "http://127.0.0.1:9000"
    assert (config.r2.region, config.r2.connections, config.r2.keepalive_s) == ("auto", 50, 120)
    assert config.r2.connect_timeout_s == 5
    assert (config.r2.header_timeout_s, config.r2.body_timeout_s) == (30, 60)
    assert config.r2.key_pattern == "{bot}/{kind}/{sha256}.{ext}"
    assert config.r2.all_buckets == ("media",)
    assert config.telegram.api_base == "https://api.telegram.org"
    assert (config.telegram.server, config.telegram.connections) == ("hosted", 100)
    assert (config.cache.bytes, config.cache.items, config.cache.ttl_s) == (256 << 20, 10_000, 300)
    assert config.limits.policy == LimitPolicy()
    assert (config.queue.capacity, config.queue.attempts) == (1_000_000, 8)
    assert (config.queue.retry_base_s, config.queue.retry_cap_s) == (1, 300)
    assert (config.http.address, config.http.max_body) == (None, 8 << 20)
    [bot] = config.bots
    assert (bot.slug, bot.bot_id, bot.warmup_chats[0].id) == ("shop", 4242, -1001234567890)
    assert config.file == bench.file
    assert config.warnings == ()


def test_flags_win_over_environment_over_file_over_defaults(bench: Bench) -> None:
    """One value per layer, and each is seen where nothing above it speaks."""
    config = bench.load(
        "workers = 2\nslots = 2\n[cache]\nbytes = '2MiB'\nitems = 2\n" + MINIMAL,
        {"PREWARMD_WORKERS": "3", "PREWARMD_SLOTS": "3", "PREWARMD_CACHE__BYTES": "3MiB"},
        {"workers": 4, "slots": None},
    )
    assert (config.workers, config.slots) == (4, 3)
    assert (config.cache.bytes, config.cache.items, config.cache.ttl_s) == (3 << 20, 2, 300)


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    """No file at all: bots come as JSON, sections by double underscores."""
    bots = [{"slug": "shop", "token": TOKEN, "warmup_chats": [{"id": -7}]}]
    env = {
        "PREWARMD_BOTS": json.dumps(bots),
        "PREWARMD_R2__ACCOUNT_ID": "abc123",
        "PREWARMD_R2__BUCKET": "media",
        "PREWARMD_R2__BUCKETS": '["archive", "media"]',
        "PREWARMD_HTTP__LISTEN": "",
        "PREWARMD_SERVICE_HOST": "10.0.0.1",
        "PREWARMD_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    }
    config = load(None, {**ENV, **env}, {}, cwd=tmp_path)
    assert config.r2.endpoint_url == "https://abc123.r2.cloudflarestorage.com"
    assert config.r2.all_buckets == ("media", "archive")
    assert config.bots[0].token.get_secret_value() == TOKEN
    assert config.file is None


@pytest.mark.parametrize("named_by", ["flag", "variable", "directory"])
def test_the_file_is_the_nearest_one_named(tmp_path: Path, named_by: str) -> None:
    """-c wins over PREWARMD_CONFIG, and that over ./prewarmd.toml."""
    for name in ("flag", "variable", "prewarmd"):
        (tmp_path / f"{name}.toml").write_text(f"[cache]\nitems = {len(name)}\n{MINIMAL}")
    path = Path("flag.toml") if named_by == "flag" else None
    env = ENV | ({} if named_by == "directory" else {"PREWARMD_CONFIG": "variable.toml"})
    config = load(path, env, {}, cwd=tmp_path)
    expected = {"flag": "flag.toml", "variable": "variable.toml", "directory": "prewarmd.toml"}
    assert config.file == tmp_path / expected[named_by]
    assert config.cache.items == len(expected[named_by].removesuffix(".toml"))


MISTAKES = [
    ("workers = 0", "workers", "at least 1", ""),
    ("workers = true", "workers", "must be a number", ""),
    ("workers = 2.5", "workers", "whole number", ""),
    ("worker = 2", "worker", "not a known key", "did you mean workers?"),
    ("bukcet = 'x'", "bukcet", "not a known key", "did you mean r2.bucket?"),
    ("[cache]\nbyte = 1", "cache.byte", "not a known key", "did you mean cache.bytes?"),
    ("[cache]\nzzz = 1", "cache.zzz", "not a known key", "bytes, items, ttl_s"),
    ("[cache]\nbytes = '12 parsecs'", "cache.bytes", "not a size", "256MiB"),
    ("[cache]\nbytes = 5", "cache.bytes", "at least", ""),
    ("[cache]\nttl_s = nan", "cache.ttl_s", "finite", ""),
    ("[telegram]\nserver = 'remote'", "telegram.server", "'hosted' or 'local'", ""),
    ("[telegram]\nphoto_fallback = 'no'", "telegram.photo_fallback", "'document' or 'fail'", ""),
    ("[telegram]\napi_base = 'api.telegram.org'", "telegram.api_base", "not a http", "https://"),
    ("[telegram]\napi_base = 'http://h:x'", "telegram.api_base", "not a URL", "https://"),
    ("[telegram]\napi_base = 'http://a:b@h'", "telegram.api_base", "no user", "https://"),
    ("[limits]\nprofile = 'fast'", "limits.profile", "'documented' or 'none'", ""),
    ("[limits]\nbot_per_s = 0", "limits.bot_per_s", "more than 0", ""),
    ("[queue]\nretry_cap_s = 0.5", "queue.retry_cap_s", "below", "cap"),
    (
        f"[http]\nlisten = 'somewhere'\ntoken = '{API_TOKEN}'",
        "http.listen",
        "HOST:PORT",
        "127.0.0.1",
    ),
    ("[http]\nlisten = '127.0.0.1:80'", "http.token_file", "is missing", "openssl"),
    ("[http]\ntoken = 'short'", "http.token", "too short", "openssl"),
    ("[http]\nmax_body = '2GiB'", "http.max_body", "at most", ""),
    ("cache = 3", "cache", "must be a table", ""),
]


@pytest.mark.parametrize(("text", "key", "problem", "hint"), MISTAKES)
def test_a_mistake_has_its_key_its_problem_and_a_hint(
    bench: Bench, text: str, key: str, problem: str, hint: str
) -> None:
    """One wrong line is one mistake, under the key a person would look for."""
    [mistake] = bench.mistakes(f"{text}\n{MINIMAL}")
    assert mistake.key == key
    assert problem in mistake.problem
    assert hint in mistake.hint


R2_MISTAKES = [
    ({"endpoint": None}, "r2.endpoint", "is missing", "account_id"),
    ({"account_id": "abc"}, "r2.account_id", "beside r2.endpoint", "one of the two"),
    ({"bucket": None}, "r2.bucket", "is missing", "bucket ="),
    ({"bucket": "a/b"}, "r2.bucket", "not a bucket's name", "bucket ="),
    ({"access_key_id": KEY_ID}, "r2.secret_access_key", "is missing", "secret_access_key_file"),
    ({"secret_access_key": SECRET}, "r2.access_key_id", "is missing", "drop both"),
    ({"connections": 3}, "r2.connections", "3 for 5 workers", "raise it"),
    ({"key_pattern": "{bot}/{name}"}, "r2.key_pattern", "unknown field {name}", "default"),
    ({"buckets": "archive"}, "r2.buckets", "must be a list", "archive"),
    ({"secret_access_key_file": "/nowhere/secret", "access_key_id": KEY_ID},
     "r2.secret_access_key_file", "cannot be read", "readable"),
    ({"ca_file": "/nowhere/ca.pem"}, "r2.ca_file", "cannot be read", "leave it out"),
    ({"ca_file": __file__}, "r2.ca_file", "no certificates", "leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "key", "problem", "hint"), R2_MISTAKES)
def test_a_mistake_about_the_store(
    bench: Bench, changed: dict[str, object], key: str, problem: str, hint: str
) -> None:
    """Endpoint or account, a bucket, both halves of a key pair or neither."""
    r2 = {"endpoint": "http://127.0.0.1:9000", "bucket": "media"} | changed
    lines = [f"{name} = {json.dumps(value)}" for name, value in r2.items() if value is not None]
    bots = MINIMAL[MINIMAL.index("[[bots]]") :]
    [mistake] = bench.mistakes("[r2]\n" + "\n".join(lines) + "\n" + bots)
    assert (mistake.key, problem in mistake.problem) == (key, True)
    assert hint in mistake.hint


CHAT = {"id": -7}
BOT_MISTAKES = [
    ([], "bots", "must not be empty", "[[bots]]"),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": []}], "bots[0].warmup_chats", "empty", "id ="),
    ([{"slug": "a", "token": TOKEN}], "bots[0].warmup_chats", "is missing", "private chat"),
    ([{"slug": "a", "warmup_chats": [CHAT]}], "bots[0].token", "is missing", "@BotFather"),
    ([{"token": TOKEN, "warmup_chats": [CHAT]}], "bots[0].slug", "is missing", "short name"),
    ([{"slug": "a/b", "token": TOKEN, "warmup_chats": [CHAT]}], "bots[0].slug", "slug", "letters"),
    ([{"slug": "a", "token": f"x{TOKEN}", "warmup_chats": [CHAT]}],
     "bots[0].token", "not a bot token", "digits:letters"),
    ([{"slug": "a", "token": TOKEN + "\n", "warmup_chats": [CHAT]}],
     "bots[0].token", "not a bot token", "digits:letters"),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": [{"id": "@name"}]}],
     "bots[0].warmup_chats[0].id", "must be a number", "@name will not do"),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": [{"id": 0}]}],
     "bots[0].warmup_chats[0].id", "must not be 0", "getChat"),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": [{"id": -7, "kind": "forum"}]}],
     "bots[0].warmup_chats[0].kind", "'private', 'group', 'supergroup' or 'channel'", ""),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": [{"id": 7, "kind": "channel"}]}],
     "bots[0].warmup_chats[0].kind", "is channel, but the id is positive", "negative"),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": [CHAT, CHAT]}],
     "bots[0].warmup_chats[1].id", "already", "paced"),
    ([{"slug": "a", "token": TOKEN, "warmup_chats": [CHAT]}] * 2, "bots[1].slug", "bots[0]", "own"),
    ([{"slug": "a", "token": TOKEN, "chats": [], "warmup_chats": [CHAT]}],
     "bots[0].chats", "not a known key", "warmup_chats"),
]  # fmt: skip


@pytest.mark.parametrize(("bots", "key", "problem", "hint"), BOT_MISTAKES)
def test_a_mistake_about_a_bot(
    bench: Bench, bots: list[dict[str, object]], key: str, problem: str, hint: str
) -> None:
    """Which bot, which chat, and never the token."""
    r2 = MINIMAL[: MINIMAL.index("[[bots]]")]
    [mistake] = bench.mistakes(r2, {"PREWARMD_BOTS": json.dumps(bots)})
    assert mistake.key == key
    assert problem in mistake.problem
    assert hint in mistake.hint


def test_two_slugs_may_share_a_token(bench: Bench) -> None:
    """A platform may know one bot under two names; its file_ids are the same."""
    chat = [{"id": -7}]
    bots = [{"slug": slug, "token": TOKEN, "warmup_chats": chat} for slug in ("a", "b")]
    config = bench.load(env={"PREWARMD_BOTS": json.dumps(bots)})
    assert [bot.bot_id for bot in config.bots] == [4242, 4242]


def test_all_mistakes_come_at_once(bench: Bench) -> None:
    """From every layer and every rule, each key once, in one error."""
    found = bench.mistakes(
        "workers = 0\ncolour = 'red'\n[cache]\nbytes = 'big'\n"
        f"[r2]\nsecret_access_key = '{SECRET}'\n"
        f"[[bots]]\nslug = 'a'\ntoken = '{TOKEN}!'\nwarmup_chats = []\n"
        "[[bots]]\nslug = 'a'\ntoken_file = 'nowhere'\nwarmup_chats = [{ id = 'x' }]\n",
        {"PREWARMD_R2__BUCKETS": "archive", "PREWARMD_WROKERS": "3", "PREWARMD_SLOTS": "many"},
    )
    keys = [mistake.key for mistake in found]
    assert sorted(keys) == sorted(set(keys))
    assert set(keys) == {
        "workers",
        "colour",
        "wrokers",
        "slots",
        "cache.bytes",
        "r2.endpoint",
        "r2.bucket",
        "r2.buckets",
        "r2.access_key_id",
        "bots[0].token",
        "bots[0].warmup_chats",
        "bots[1].slug",
        "bots[1].token_file",
        "bots[1].warmup_chats[0].id",
    }


def test_a_mistake_in_the_environment_names_its_variable(bench: Bench) -> None:
    """Who set it in a unit file long ago must find it again."""
    [mistake] = bench.mistakes(env={"PREWARMD_R2__CONNECTIONS": "lots"})
    assert mistake.key == "r2.connections"
    assert "PREWARMD_R2__CONNECTIONS" in mistake.problem
    [mistake] = bench.mistakes(env={"PREWARMD_WROKERS": "3"})
    assert "PREWARMD_WROKERS" in mistake.problem
    assert mistake.hint == "did you mean workers?"
    [mistake] = bench.mistakes(env={"PREWARMD_BOTS": "[{"})
    assert (mistake.key, "PREWARMD_BOTS" in mistake.problem) == ("bots", True)
    assert "slug" in mistake.hint


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        (b"workers = \n", "prewarmd.toml:1", "is not TOML"),
        (b"workers = 5\nslots = a\n", "prewarmd.toml:2", "is not TOML"),
        (b"workers = 5\nx = [1,\n", "prewarmd.toml", "is not TOML"),
        (b"workers = '\xff'\n", "prewarmd.toml", "UTF-8"),
    ],
)
def test_a_file_that_is_not_toml_is_one_mistake_with_its_line(
    bench: Bench, content: bytes, key: str, problem: str
) -> None:
    """No list of missing keys buries the one thing that is wrong."""
    bench.file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load(None, ENV, {}, cwd=bench.root)
    [mistake] = raised.value.mistakes
    assert mistake.key == str(bench.root / key)
    assert problem in mistake.problem


def test_a_file_asked_for_by_name_must_be_there(tmp_path: Path) -> None:
    """Silently running on defaults would be worse."""
    for path, env in ((Path("gone.toml"), {}), (None, {"PREWARMD_CONFIG": "gone.toml"})):
        with pytest.raises(ConfigError) as raised:
            load(path, ENV | env, {}, cwd=tmp_path)
        [mistake] = raised.value.mistakes
        assert mistake.key == str(tmp_path / "gone.toml")
        assert mistake.problem == "cannot be read: No such file or directory"
        assert "-c" in mistake.hint


def test_secrets_come_from_files_stripped_and_relative_to_the_configuration(bench: Bench) -> None:
    """A trailing newline is an editor's, not the token's; the file's own directory is the base."""
    for name, secret in (("bot", TOKEN), ("r2", SECRET), ("api", API_TOKEN)):
        (bench.root / name).write_text(f"{secret}\n")
        (bench.root / name).chmod(0o600)
    config = bench.load(
        MINIMAL.replace(f'token = "{TOKEN}"', 'token_file = "bot"').replace(
            "[r2]",
            f"[http]\nlisten = '127.0.0.1:8787'\ntoken_file = 'api'\n"
            f"[r2]\naccess_key_id = '{KEY_ID}'\nsecret_access_key_file = 'r2'",
        )
    )
    assert config.bots[0].token.get_secret_value() == TOKEN
    assert config.r2.secret_access_key is not None
    assert config.r2.secret_access_key.get_secret_value() == SECRET
    assert config.http.token is not None
    assert config.http.token.get_secret_value() == API_TOKEN
    assert config.http.address == ("127.0.0.1", 8787)
    assert set(config.secrets) == {TOKEN, KEY_ID, SECRET, API_TOKEN}
    assert config.warnings == ()


def test_systemd_credentials_are_found_by_their_name(bench: Bench, tmp_path: Path) -> None:
    """LoadCredential= puts them where only CREDENTIALS_DIRECTORY tells."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "shop-token").write_text(TOKEN)
    (credentials / "shop-token").chmod(0o400)
    text = MINIMAL.replace(f'token = "{TOKEN}"', 'token_file = "shop-token"')
    config = bench.load(text, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert config.bots[0].token.get_secret_value() == TOKEN
    assert config.bots[0].token_file == credentials / "shop-token"


def test_a_secret_given_twice_is_a_mistake(bench: Bench) -> None:
    """Which one counts must never be a riddle."""
    (bench.root / "bot").write_text(TOKEN)
    [mistake] = bench.mistakes(MINIMAL.replace("slug", "token_file = 'bot'\nslug"))
    assert mistake.key == "bots[0].token"
    assert "both inline and by a file" in mistake.problem
    assert "token_file" in mistake.hint


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * 70_000])
def test_a_secret_file_without_a_secret_is_a_mistake(bench: Bench, content: bytes) -> None:
    """Empty, not text, or clearly something else."""
    (bench.root / "bot").write_bytes(content)
    [mistake] = bench.mistakes(MINIMAL.replace(f'token = "{TOKEN}"', 'token_file = "bot"'))
    assert mistake.key == "bots[0].token_file"
    assert mistake.hint == "it should hold the secret and nothing else"


def test_secrets_that_others_can_read_are_a_warning(bench: Bench) -> None:
    """It works, and doctor says what to do about it."""
    bench.load()
    bench.file.chmod(0o644)
    [warning] = load(None, ENV, {}, cwd=bench.root).warnings
    assert f"chmod 600 {bench.file}" in warning
    assert TOKEN not in warning

    (bench.root / "bot").write_text(TOKEN)
    (bench.root / "bot").chmod(0o644)
    bench.write(MINIMAL.replace(f'token = "{TOKEN}"', 'token_file = "bot"'))
    [warning] = load(None, ENV, {}, cwd=bench.root).warnings
    assert f"chmod 600 {bench.root / 'bot'}" in warning
    assert stat.S_IMODE(bench.file.stat().st_mode) == 0o600


def test_tokens_in_clear_over_the_network_are_a_warning(bench: Bench) -> None:
    """A local Bot API server on this machine is fine, one elsewhere needs TLS."""
    for base, warned in (("http://127.0.0.1:8081", 0), ("http://bots.example:8081", 1)):
        assert len(bench.load(env={"PREWARMD_TELEGRAM__API_BASE": base}).warnings) == warned


def test_no_spelling_of_the_configuration_shows_a_secret(bench: Bench) -> None:
    """repr, str, and what `prewarmd config` prints: all masked, and the print is whole TOML."""
    config = bench.load(
        MINIMAL.replace(
            "[r2]",
            f"[http]\ntoken = '{API_TOKEN}'\n[r2]\naccess_key_id = '{KEY_ID}'\n"
            f"secret_access_key = '{SECRET}'",
        )
    )
    shown = effective_toml(config)
    for text in (shown, repr(config), str(config), config.model_dump_json(), repr(config.bots)):
        for planted in (TOKEN, KEY_ID, SECRET, API_TOKEN):
            assert planted not in text
    table = tomllib.loads(shown)
    assert table["bots"][0]["token"] == MASK
    assert table["bots"][0]["warmup_chats"] == [{"id": -1001234567890, "kind": "channel"}]
    assert table["cache"] == {
        "bytes": 256 << 20, "items": 10_000, "ttl_s": 300.0, "relay_share": 0.25,
    }  # fmt: skip
    assert shown.startswith(f"# from {bench.file}\n")


def test_it_is_frozen_and_travels_to_a_child(bench: Bench) -> None:
    """One object for the life of the daemon; pickling keeps everything."""
    config = bench.load()
    with pytest.raises(ValidationError, match="frozen"):
        config.workers = 1  # type: ignore[misc]  # that it is refused is the point
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert (copy.file, copy.secrets) == (config.file, config.secrets)


def test_importing_it_loads_no_client_library() -> None:
    """The tree is imported by every command, and the socket's path by the quickest of them."""
    script = (
        "import sys, prewarmd.config.loading\n"
        "print([m for m in ('aiohttp', 'aiobotocore', 'botocore', 'psutil') if m in sys.modules])"
    )
    quick = (
        "import sys; from prewarmd.config import socket_path\n"
        "print([m for m in ('pydantic', 'aiohttp') if m in sys.modules])"
    )
    for code in (script, quick):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("256MiB", 256 << 20),
        ("256 mib", 256 << 20),
        ("1KB", 1000),
        ("1.5GB", 1_500_000_000),
        ("0.5GiB", 1 << 29),
        ("7B", 7),
        ("", None),
        ("MiB", None),
        ("-1", None),
        ("1TiB", None),
        ("1 2", None),
        ("٣", None),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int | None) -> None:
    """Decimal and binary units, nothing guessed."""
    assert parse_bytes(text) == size_bytes
