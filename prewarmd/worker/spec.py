"""What a child is told at its start: plain values, picklable, with secrets that do not show."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Where objects come from, and how long to wait for it. Limits are this child's share."""

    endpoint: str
    region: str
    access_key_id: str | None
    secret_access_key: str | None = field(repr=False)
    ca_file: str | None = None
    connections: int = 10
    keepalive_s: float = 120.0
    connect_timeout_s: float = 5.0
    header_timeout_s: float = 30.0
    body_timeout_s: float = 60.0
    """Idle, between two reads."""
    downloads: str = "direct"
    """Over connections of our own, or by "aiobotocore"."""


@dataclass(frozen=True, slots=True)
class TelegramSpec:
    """Where uploads go."""

    api_base: str
    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)
    connections: int = 20
    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0
    """Longest time in which the socket takes not a byte of the body..."""
    slow_timeout_s: float = 20.0
    """...and in which it may take so few as `Patience` says."""
    answer_timeout_s: float = 120.0
    """From the last byte to the answer, of a media of no size: see `Telegram`."""
    photo_fallback: str = "document"
    """What becomes of a photo that Telegram would refuse: "document", or "fail"."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child."""

    index: int
    slots: int
    store: StoreSpec
    telegram: TelegramSpec
    tokens: dict[str, str] = field(repr=False)
    """Bot slug -> token."""
    cut_through_bytes: int = 512 << 10
    """Of objects from this size on it is told when their first bytes have landed; 0: of none."""
    links: dict[str, str] = field(default_factory=dict)
    """Bot slug -> what stands before a key in a URL that Telegram fetches, or "presigned"."""
