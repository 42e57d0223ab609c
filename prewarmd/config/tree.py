"""The tree: every key with its default and the rule for its value. Frozen, picklable, secret-safe.

It is what a child receives and what `prewarmd config` prints. Rules that concern several keys at
once live in `rules`. Policies belong to `core`, next to the logic they tune; here they are built.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
)
from pydantic_core import PydanticCustomError

from prewarmd.config.sizes import parse_bytes
from prewarmd.core.backoff import RetryPolicy
from prewarmd.core.content import KeyPattern
from prewarmd.core.jobs import Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.links import PRESIGNED
from prewarmd.core.scoring import ScorePolicy


def wrong(problem: str, hint: str = "") -> PydanticCustomError:
    """What a rule raises: a problem and a hint, never the value (it may be a misplaced secret)."""
    return PydanticCustomError("rule", "{problem}", {"problem": problem, "hint": hint})


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise wrong("must be a number, not true or false")
    return value


def _size(value: object) -> object:
    if not isinstance(value, str):
        return _no_bool(value)
    size_bytes = parse_bytes(value)
    if size_bytes is None:
        raise wrong("is not a size", 'write "256MiB" or "1GB"; units are B, KB, MB, KiB, MiB, GiB')
    return size_bytes


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise wrong("is not a URL", "an example: https://host:8081") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong("is not a http:// or https:// URL", "an example: https://host:8081")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise wrong("must have no user, query or fragment", "an example: https://host:8081")
    return value.rstrip("/")


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if value and not (colon and host and port.isdecimal() and int(port) < 65536):
        raise wrong("is not HOST:PORT", 'write "127.0.0.1:8787", or "" to switch TCP off')
    return value


def _key_pattern(value: str) -> str:
    try:
        KeyPattern.parse(value)
    except ValueError as error:
        raise wrong(str(error), 'the default is "{bot}/{kind}/{sha256}.{ext}"') from None
    return value


def _chat_id(value: object) -> object:
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        raise wrong("must be a number", "an example: -1001234567890; a @name will not do")
    if _no_bool(value) == 0:
        raise wrong("must not be 0", "getChat, or @userinfobot, tells a chat's id")
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Seconds = Annotated[float, BeforeValidator(_no_bool)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Url = Annotated[str, AfterValidator(_url)]
Bucket = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")]


class Section(BaseModel):
    """A table of the file: frozen, and without keys nobody knows."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


class R2(Section):
    """[r2]: the object store, Cloudflare's or any S3-compatible one."""

    endpoint: Url | None = None
    account_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")] | None = None
    bucket: Bucket
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    secret_access_key_file: Path | None = None
    region: Annotated[str, Field(min_length=1)] = "auto"
    connections: Annotated[Int, Field(ge=1, le=10_000)] = 50
    keepalive_s: Annotated[Seconds, Field(gt=0)] = 120.0
    connect_timeout_s: Annotated[Seconds, Field(gt=0)] = 5.0
    header_timeout_s: Annotated[Seconds, Field(gt=0)] = 30.0
    body_timeout_s: Annotated[Seconds, Field(gt=0)] = 60.0
    ca_file: Path | None = None
    downloads: Literal["direct", "aiobotocore"] = "direct"
    key_pattern: Annotated[str, AfterValidator(_key_pattern)] = "{bot}/{kind}/{sha256}.{ext}"
    buckets: tuple[Bucket, ...] = ()

    @property
    def endpoint_url(self) -> str:
        """Where requests go."""
        return self.endpoint or f"https://{self.account_id}.r2.cloudflarestorage.com"

    @property
    def all_buckets(self) -> tuple[str, ...]:
        """Every bucket a job may name, the default one first."""
        return tuple(dict.fromkeys((self.bucket, *self.buckets)))


def _proxy(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        legal = parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        legal = False
    if not legal or parts.path.strip("/") or parts.query or parts.fragment:
        example = "an example: http://user:password@host:3128"
        raise wrong("is not an http:// URL with a port", example)
    return value


class Telegram(Section):
    """[telegram]: the Bot API server."""

    api_base: Url = "https://api.telegram.org"
    server: Literal["hosted", "local"] = "hosted"
    connections: Annotated[Int, Field(ge=1, le=10_000)] = 100
    ca_file: Path | None = None
    proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = None
    photo_fallback: Literal["document", "fail"] = "document"
    cut_through_bytes: Annotated[Size, Field(ge=0)] = 512 << 10
    answer_timeout_s: Annotated[Seconds, Field(ge=1, le=3600)] = 120.0
    probe_per_day: Annotated[Int, Field(ge=0, le=86_400)] = 0


class Chat(Section):
    """One warm-up chat; its kind is asked with getChat when absent."""

    id: Annotated[int, BeforeValidator(_chat_id), Field(ge=-(2**52), le=2**52)]
    kind: Literal["private", "group", "supergroup", "channel"] | None = None


def _by_url(value: str) -> str:
    if value in ("", PRESIGNED):
        return value
    try:
        return _url(value)
    except PydanticCustomError:
        hint = f'write "{PRESIGNED}", or what stands before a key: "https://media.example.com"'
        raise wrong("is not a URL", hint) from None


def _token(value: SecretStr) -> SecretStr:
    number, colon, secret = value.get_secret_value().partition(":")
    legal = secret.isascii() and secret.replace("_", "").replace("-", "").isalnum()
    if not (colon and number.isascii() and number.isdecimal() and len(number) <= 19 and legal):
        raise wrong("is not a bot token", "@BotFather writes them as digits:letters")
    return value


class Bot(Section):
    """[[bots]]: one bot and the chats it may upload to."""

    slug: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$")]
    token: Annotated[SecretStr, AfterValidator(_token)]
    token_file: Path | None = None
    warmup_chats: Annotated[tuple[Chat, ...], Field(min_length=1)]
    by_url: Annotated[str, AfterValidator(_by_url)] = ""

    @property
    def bot_id(self) -> int:
        """The bot's own number, which its file_ids belong to."""
        return int(self.token.get_secret_value().partition(":")[0])


class Cache(Section):
    """[cache]: the shared download cache.

    `items` bounds the index, not the memory: 10,000 entries cost the supervisor about 10 MB, and
    with 256 MiB they are reached only by media below 27 KB on average.
    """

    bytes: Annotated[Size, Field(ge=1 << 20)] = 256 << 20
    items: Annotated[Int, Field(ge=1)] = 10_000
    ttl_s: Annotated[Seconds, Field(ge=0)] = 300.0
    relay_share: Annotated[float, Field(ge=0, le=1)] = 0.25


class Limits(Section):
    """[limits]: the pace. Profile "none" switches every pacing rule off."""

    profile: Literal["documented", "none"] = "documented"
    private_per_s: Annotated[Seconds, Field(gt=0)] = 1.0
    group_per_min: Annotated[Seconds, Field(gt=0)] = 20.0
    bot_per_s: Annotated[Seconds, Field(gt=0)] = 30.0
    download_bytes_per_s: Size = 0
    upload_bytes_per_s: Size = 0

    @property
    def policy(self) -> LimitPolicy:
        """As the engine takes it."""
        return LimitPolicy(
            paced=self.profile != "none",
            private_per_s=self.private_per_s,
            group_per_min=self.group_per_min,
            bot_per_s=self.bot_per_s,
        )


Points = Annotated[Int, Field(ge=-255, le=255)]


class Score(Section):
    """[queue.score]: what a job's priority is made of; larger runs first."""

    base: Points = 100
    tiny_below: Size = 100_000
    tiny: Points = 50
    small_below: Size = 1_000_000
    small: Points = 30
    huge_above: Size = 20_000_000
    huge: Points = -20
    photo: Points = 20
    video: Points = -10
    document: Points = 0
    audio: Points = 0
    animation: Points = 0
    voice: Points = 0
    video_note: Points = 0
    sticker: Points = 0
    young_s: Annotated[Seconds, Field(ge=0)] = 60.0
    young: Points = 15

    @property
    def policy(self) -> ScorePolicy:
        """As the engine takes it."""
        return ScorePolicy(
            self.base, self.tiny_below, self.tiny, self.small_below, self.small, self.huge_above,
            self.huge, self.young_s, self.young,
            {kind: getattr(self, kind) for kind in Kind},
        )  # fmt: skip


class Queue(Section):
    """[queue]: how much is accepted, and how often a job is tried."""

    capacity: Annotated[Int, Field(ge=1)] = 1_000_000
    attempts: Annotated[Int, Field(ge=1)] = 8
    retry_base_s: Annotated[Seconds, Field(gt=0)] = 1.0
    retry_cap_s: Annotated[Seconds, Field(gt=0)] = 300.0
    starve_after_s: Annotated[Seconds, Field(gt=0)] = 600.0
    prefetch_horizon_s: Annotated[Seconds, Field(gt=0, le=600)] = 10.0
    size_probe: bool = True
    score: Score = Score()

    @property
    def policy(self) -> RetryPolicy:
        """As the engine takes it."""
        return RetryPolicy(self.attempts, self.retry_base_s, self.retry_cap_s)


def _http_token(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 16:
        raise wrong("is too short to be safe", "make one with: openssl rand -hex 32")
    return value


class Http(Section):
    """[http]: the API beside its unix socket. TCP is off until `listen` says where."""

    listen: Annotated[str, AfterValidator(_listen)] = ""
    token: Annotated[SecretStr, AfterValidator(_http_token)] | None = None
    token_file: Path | None = None
    max_body: Annotated[Size, Field(ge=1 << 10, le=1 << 30)] = 8 << 20

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen at, None while TCP is off."""
        host, _, port = self.listen.rpartition(":")
        return (host.strip("[]"), int(port)) if self.listen else None


class Config(Section):
    """The whole configuration."""

    workers: Annotated[Int, Field(ge=1, le=64)] = 5
    slots: Annotated[Int, Field(ge=1, le=1024)] = 64
    state_dir: Path
    socket: Path
    r2: R2
    telegram: Telegram = Telegram()
    bots: Annotated[tuple[Bot, ...], Field(min_length=1)]
    cache: Cache = Cache()
    limits: Limits = Limits()
    queue: Queue = Queue()
    http: Http = Http()

    _file: Path | None = PrivateAttr(default=None)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    def model_post_init(self, context: dict[str, object] | None) -> None:
        """Remember what the loader found beside the values."""
        file, warnings = (context or {}).get("file"), (context or {}).get("warnings", ())
        self._file = file if isinstance(file, Path) else None
        self._warnings = tuple(map(str, warnings)) if isinstance(warnings, list) else ()

    @property
    def file(self) -> Path | None:
        """The file it was read from."""
        return self._file

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, but should be put right; free of secrets."""
        base = urlsplit(self.telegram.api_base)
        if base.scheme == "http" and not _is_loopback(base.hostname or ""):
            plain = "telegram.api_base is plain http to another host: bot tokens travel in clear"
            return (*self._warnings, plain)
        return self._warnings

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret in it, for the log's redactor."""
        values = [bot.token for bot in self.bots]
        values += [
            secret
            for secret in (self.r2.access_key_id, self.r2.secret_access_key, self.http.token)
            if secret is not None
        ]
        texts = [value.get_secret_value() for value in values]
        if self.telegram.proxy is not None:
            texts.append(urlsplit(self.telegram.proxy.get_secret_value()).password or "")
        return tuple(text for text in texts if text)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
