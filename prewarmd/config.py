"""The configuration: one frozen object from TOML, environment and flags, all mistakes at once.

Flags beat the environment (`PREWARMD_R2__BUCKET=...`, bots as JSON in `PREWARMD_BOTS`), which beats
the file, which beats the defaults. Secrets are `SecretStr`, so nothing prints them by accident; a
`*_file` keeps them out of the file and the environment altogether.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError

from prewarmd.core.content import KeyPattern
from prewarmd.errors import ConfigError, Mistake

SYSTEM_FILE = Path("/etc/prewarmd/prewarmd.toml")
SOCKET_PATH_MAX = 107
"""sun_path of a Unix socket, less its closing zero (unix(7))."""
_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_TOKEN = re.compile(r"[1-9]\d{0,15}:[A-Za-z0-9_-]{10,}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def parse_size(value: Any) -> Any:
    """ "256MiB" -> bytes; whatever is no text goes on to pydantic."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    unit = match[2].lower() if match else "?"
    if match is None or unit not in _UNITS:
        raise ValueError("is no size; write a number and B, KB, MB, GB, KiB, MiB or GiB")
    return int(float(match[1]) * _UNITS[unit])


def _read_secret(path: Path) -> SecretStr:
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if not path.is_absolute() and credentials and (Path(credentials) / path).exists():
        path = Path(credentials) / path
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    if not text:
        raise ValueError(f"{path} is empty")
    return SecretStr(text)


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("must be an http:// or https:// address")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class R2(_Section):
    """The object store."""

    endpoint: Url | None = None
    account_id: str | None = None
    bucket: str = Field(min_length=1)
    buckets: tuple[str, ...] = ()
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    secret_access_key_file: Path | None = None
    region: str = "auto"
    connections: int = Field(default=50, ge=1, le=10_000)
    keepalive_s: Positive = 120.0
    connect_timeout_s: Positive = 5.0
    header_timeout_s: Positive = 30.0
    body_timeout_s: Positive = 60.0
    ca_file: Path | None = None
    key_pattern: str = "{bot}/{kind}/{sha256}.{ext}"

    @field_validator("key_pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if value:
            KeyPattern.parse(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.endpoint is None and self.account_id is None:
            raise ValueError("endpoint is missing; set r2.endpoint, or r2.account_id for R2")
        if self.secret_access_key_file is not None:
            if self.secret_access_key is not None:
                raise ValueError("set secret_access_key or secret_access_key_file, not both")
            secret = _read_secret(self.secret_access_key_file)
            object.__setattr__(self, "secret_access_key", secret)
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self

    @property
    def url(self) -> str:
        """The S3 endpoint."""
        return self.endpoint or f"https://{self.account_id}.r2.cloudflarestorage.com"


class Telegram(_Section):
    """The Bot API server."""

    api_base: Url = "https://api.telegram.org"
    server: Literal["hosted", "local"] = "hosted"
    connections: int = Field(default=100, ge=1, le=10_000)
    ca_file: Path | None = None


class WarmupChat(_Section):
    """A private chat of the bot; its kind is asked with getChat when absent."""

    id: int
    kind: Literal["private", "group", "supergroup", "channel"] | None = None


class Bot(_Section):
    """A bot whose file_ids are wanted."""

    slug: str
    token: SecretStr | None = None
    token_file: Path | None = None
    warmup_chats: tuple[WarmupChat, ...] = Field(min_length=1)

    @field_validator("slug")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not _SLUG.fullmatch(value):
            raise ValueError("must be 1 to 64 letters, digits, '_', '-' or '.'")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("set token or token_file, not both")
        if self.token_file is not None:
            object.__setattr__(self, "token", _read_secret(self.token_file))
        if self.token is None:
            raise ValueError("token is missing; set token or token_file")
        if not _TOKEN.fullmatch(self.token.get_secret_value()):
            raise ValueError("the token is not of the form 123456:ABC..., as @BotFather gives it")
        return self

    @property
    def secret(self) -> str:
        """The token itself."""
        assert self.token is not None
        return self.token.get_secret_value()

    @property
    def bot_id(self) -> int:
        """The bot's user id: the number before the token's colon."""
        return int(self.secret.split(":")[0])


class Cache(_Section):
    """The shared download cache."""

    bytes: Size = 256 << 20
    items: int = Field(default=10_000, ge=1)
    """Bounds the index, not the use: 256 MiB hold 2,600 photos of 100 KB, or 10,000 of 26 KB."""
    ttl_s: float = Field(default=300.0, ge=0)


class Limits(_Section):
    """Pace towards Telegram."""

    profile: Literal["documented", "none"] = "documented"
    private_per_s: Positive = 1.0
    group_per_min: Positive = 20.0
    bot_per_s: Positive = 30.0


class Queue(_Section):
    """The durable queue."""

    capacity: int = Field(default=1_000_000, ge=1)
    attempts: int = Field(default=8, ge=1, le=100)
    retry_base_s: Positive = 1.0
    retry_cap_s: Positive = 300.0


class Http(_Section):
    """The API over TCP, beside the socket."""

    listen: str = ""
    token_file: Path | None = None
    max_body: Size = 8 << 20

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.listen:
            if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}", self.listen):
                raise ValueError("listen must be HOST:PORT")
            if self.token_file is None:
                raise ValueError("listen needs token_file: TCP is never open without a token")
            _read_secret(self.token_file)
        return self


class Config(BaseSettings):
    """Everything, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # type: ignore[assignment]  # BaseSettings wants its own ConfigDict, of which this is a part

    workers: int = Field(default=5, ge=1, le=64)
    slots: int = Field(default=64, ge=1, le=4096)
    state_dir: Path = Path()
    socket: Path = Path()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    r2: R2
    telegram: Telegram = Telegram()
    bots: tuple[Bot, ...] = Field(min_length=1)
    cache: Cache = Cache()
    limits: Limits = Limits()
    queue: Queue = Queue()
    http: Http = Http()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands in: it has put file, environment and flags together."""
        return (init_settings,)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        slugs = [bot.slug for bot in self.bots]
        if twins := sorted({slug for slug in slugs if slugs.count(slug) > 1}):
            raise ValueError(f"bots: two have the slug {twins[0]!r}; slugs must differ")
        return self

    @property
    def bot_ids(self) -> dict[str, int]:
        """slug -> bot_id."""
        return {bot.slug: bot.bot_id for bot in self.bots}

    def secrets(self) -> list[str]:
        """Every secret text, for the log's redactor."""
        key = self.r2.secret_access_key
        found = [bot.secret for bot in self.bots]
        found += [bot.secret.split(":", 1)[1] for bot in self.bots]
        return found + ([key.get_secret_value()] if key else [])


class _Environment(EnvSettingsSource):
    """PREWARMD_* of a given mapping, nested by `__`, JSON where a value is not plain."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = {key.lower(): value for key, value in env.items()}
        super().__init__(
            Config, case_sensitive=False, env_prefix="PREWARMD_", env_nested_delimiter="__"
        )

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._env


def default_state_dir(env: Mapping[str, str]) -> Path:
    """Root: /var/lib/prewarmd, else $XDG_STATE_HOME/prewarmd."""
    if os.geteuid() == 0:
        return Path("/var/lib/prewarmd")
    home = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME", "/")) / ".local/state")
    return Path(home) / "prewarmd"


def default_socket(env: Mapping[str, str], state_dir: Path) -> Path:
    """Root: /run/prewarmd/prewarmd.sock, else $XDG_RUNTIME_DIR/prewarmd.sock."""
    if os.geteuid() == 0:
        return Path("/run/prewarmd/prewarmd.sock")
    runtime = env.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "prewarmd.sock" if runtime else state_dir / "prewarmd.sock"


def find_file(path: Path | None, env: Mapping[str, str]) -> Path | None:
    """`-c` wins, then PREWARMD_CONFIG, ./prewarmd.toml, /etc/prewarmd/prewarmd.toml."""
    if path is not None:
        return path
    if named := env.get("PREWARMD_CONFIG"):
        return Path(named)
    return next((p for p in (Path("prewarmd.toml"), SYSTEM_FILE) if p.exists()), None)


def _read_toml(path: Path | None, mistakes: list[Mistake]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        mistakes.append(Mistake(str(path), f"cannot be read: {error.strerror}"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.append(Mistake(str(path), f"is not TOML: {error}"))
    return {}


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both and isinstance(old, dict) else value
    return merged


def load(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """The effective configuration; raises ConfigError with every mistake there is."""
    env = os.environ if env is None else env
    overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
    mistakes: list[Mistake] = []
    values = _read_toml(find_file(path, env), mistakes)
    try:
        values = _merge(values, _Environment(env)())
    except SettingsError as error:
        name = re.search(r'"(\w+)"', str(error))
        key = f"PREWARMD_{name[1].upper()}" if name else "environment"
        mistakes.append(Mistake(key, "is not the JSON it has to be"))
    mistakes += _unknown_variables(env)
    values = _merge(values, overrides)
    values["state_dir"] = values.get("state_dir") or default_state_dir(env)
    if not values.get("socket"):
        inside = "state_dir" in overrides
        state_dir = Path(values["state_dir"])
        values["socket"] = state_dir / "prewarmd.sock" if inside else default_socket(env, state_dir)
    if len(os.fsencode(str(values["socket"]))) > SOCKET_PATH_MAX:
        mistakes.append(
            Mistake("socket", f"is longer than {SOCKET_PATH_MAX} bytes, which no Unix socket can "
                    "be", "choose a shorter path with socket")
        )  # fmt: skip
    try:
        config = Config(**values)
    except ValidationError as error:
        mistakes += [_mistake(dict(one)) for one in error.errors(include_input=False)]
    if mistakes:
        raise ConfigError(mistakes)
    return config


def socket_path(path: Path | None, env: Mapping[str, str], state_dir: Path | None) -> Path:
    """Where the daemon's socket is, whatever else may be wrong with the configuration."""
    if state_dir is not None:
        return state_dir / "prewarmd.sock"
    if named := env.get("PREWARMD_SOCKET"):
        return Path(named)
    values = _read_toml(find_file(path, env), [])
    if values.get("socket"):
        return Path(str(values["socket"]))
    named_dir = env.get("PREWARMD_STATE_DIR") or values.get("state_dir")
    return default_socket(env, Path(named_dir) if named_dir else default_state_dir(env))


def state_dir_path(path: Path | None, env: Mapping[str, str]) -> Path:
    """Where the daemon's state is, likewise."""
    named = env.get("PREWARMD_STATE_DIR") or _read_toml(find_file(path, env), []).get("state_dir")
    return Path(named) if named else default_state_dir(env)


_NOT_KEYS = {"PREWARMD_CONFIG", "PREWARMD_BENCH"}


def _unknown_variables(env: Mapping[str, str]) -> list[Mistake]:
    known = [f"PREWARMD_{key.upper().replace('.', '__')}" for key in known_keys()]
    strange = {
        name
        for name in env
        if name.startswith("PREWARMD_") and name not in _NOT_KEYS and name.upper() not in known
    }
    return [Mistake(n, "is no known setting", _nearest(n, known)) for n in sorted(strange)]


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key, dotted; those of a list's items under the list's name."""
    keys: list[str] = []
    for name, info in model.model_fields.items():
        keys.append(prefix + name)
        for part in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += known_keys(part, f"{prefix}{name}.")
    return keys


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "see deploy/prewarmd.example.toml"


def _dotted(loc: tuple[Any, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "configuration"


def _mistake(error: dict[str, Any]) -> Mistake:
    loc: tuple[Any, ...] = error["loc"]
    key = _dotted(loc)
    if error["type"] == "extra_forbidden":
        plain = ".".join(str(part) for part in loc if not isinstance(part, int))
        return Mistake(key, "is no known key", _nearest(plain, known_keys()))
    if error["type"] == "missing":
        return Mistake(key, "is missing", f"set {key}; deploy/prewarmd.example.toml shows how")
    message = str(error["msg"]).removeprefix("Value error, ")
    problem, _, hint = message.partition("; ")
    return Mistake(key, problem[0].lower() + problem[1:], hint)
