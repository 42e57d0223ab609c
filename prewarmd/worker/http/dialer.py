"""Makes connections to one host: names resolved off the loop, addresses tried in turn, TLS, and a
proxy's tunnel where one is needed.

What a name resolves to is believed for RESOLVED_S; an address that fails goes behind the others,
and when all have failed the name is resolved anew.
"""

import asyncio
import base64
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from prewarmd.worker.http.answer import Small
from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.errors import HttpError, UnreachableError
from prewarmd.worker.http.patience import Patience

RESOLVED_S = 60.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect."""

    host: str
    port: int
    is_tls: bool
    authority: str
    """What goes into the Host header: the port only where it is not the scheme's own."""

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Of an http or https URL; its path is of no interest here."""
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        usual = 443 if is_tls else 80
        host, port = parts.hostname or "", parts.port or usual
        shown = f"[{host}]" if ":" in host else host
        return cls(host, port, is_tls, shown if port == usual else f"{shown}:{port}")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels with CONNECT."""

    origin: Origin
    authorization: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> "Proxy":
        """Of http://[user:password@]host:port."""
        parts = urlsplit(url)
        if parts.username is None:
            return cls(Origin.of(url))
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(Origin.of(url), f"Basic {base64.b64encode(pair.encode()).decode()}")


class Dialer:
    """Of one host."""

    def __init__(
        self,
        origin: Origin,
        *,
        context: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        connect_s: float = 5.0,
        trust: str = "",
    ) -> None:
        """`trust`: the setting that says which certificates are good, for who has to mend it."""
        self.origin = origin
        self._trust = f" (see {trust})" if trust else ""
        self._context = (context or ssl.create_default_context()) if origin.is_tls else None
        self._proxy = proxy
        self._connect_s = connect_s
        self._near = proxy.origin if proxy else origin
        """Where TCP goes to."""
        self._addresses: list[str] = []
        self._resolved_at = 0.0

    async def dial(self) -> Connection:
        """A new connection; raises UnreachableError with the reason of the last address tried."""
        why = "no address"
        for address in await self._resolve():
            try:
                async with asyncio.timeout(self._connect_s):
                    return await self._connect(address)
            except TimeoutError:
                why = f"no connection within {self._connect_s:g} s"
            except ssl.SSLCertVerificationError as error:
                why = f"the certificate is not good: {error.verify_message}{self._trust}"
            except ssl.SSLError as error:
                why = f"no TLS: {error.reason or 'the handshake failed'}"
            except HttpError as error:
                why = str(error)
            except OSError as error:
                why = error.strerror or type(error).__name__
            if address in self._addresses:  # others dial at the same time
                self._addresses.remove(address)
                self._addresses.append(address)
        self._addresses = []
        raise UnreachableError(why)

    async def _resolve(self) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        if not self._addresses or loop.time() > self._resolved_at + RESOLVED_S:
            near = self._near
            try:
                async with asyncio.timeout(self._connect_s):
                    found = await loop.getaddrinfo(near.host, near.port, type=socket.SOCK_STREAM)
            except TimeoutError:
                raise UnreachableError(f"{near.host} was not resolved in time") from None
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise UnreachableError(f"{near.host}: {reason}") from None
            self._addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
            self._resolved_at = loop.time()
        return tuple(self._addresses)

    async def _connect(self, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        through = self._proxy is not None
        near_tls = None if through else self._context
        transport, connection = await loop.create_connection(
            lambda: Connection(loop.time()),
            address,
            self._near.port,
            ssl=near_tls,
            server_hostname=self.origin.host if near_tls else None,
        )
        with ExitStack() as undo:
            undo.callback(transport.abort)
            if self._proxy is not None:
                await self._tunnel(connection, transport, self._proxy)
            undo.pop_all()
        return connection

    async def _tunnel(
        self, connection: Connection, transport: asyncio.Transport, proxy: Proxy
    ) -> None:
        target = f"{self.origin.host}:{self.origin.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        request = "\r\n".join([*lines, "", ""]).encode()
        connection.is_tunnelling = True
        answer = await connection.exchange(request, Small(), Patience(head_s=self._connect_s))
        connection.is_tunnelling, connection.used = False, 0
        status = answer.head.status
        if not 200 <= status < 300:
            raise UnreachableError(f"the proxy answered {status}")
        if self._context is not None:
            loop = asyncio.get_running_loop()
            inner = await loop.start_tls(
                transport, connection, self._context, server_hostname=self.origin.host
            )
            assert inner is not None
            connection.attach(inner)
