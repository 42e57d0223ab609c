"""nginx as object store and Bot API server: static files, and one canned answer to every upload.

A trap of such benchmarks: `return 200` answers a POST before its body was read, and a client is
measured that never had to wait for its own upload. Here `mirror` makes nginx take in the whole body
first (its subrequest goes nowhere); only then the file that is not there leads to the answer.

It needs no rights: a prefix of its own in a temporary folder, loopback ports, no log. GETs come
with signatures, which nobody checks: making them is what costs a client.
"""

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from random import Random

import trustme

from prewarmd.sandbox import children

PORTS = range(20_000, 32_768)
"""Below those that the kernel gives to outgoing connections."""
START_WAIT_S = 10.0
SILENCE_S = 0.3
ANSWER = (
    '{"ok":true,"result":{"message_id":7,"date":1700000000,"chat":{"id":-1001,"type":"channel"},'
    '"photo":[{"file_id":"AgACAgIAAx0Cbench-small","file_unique_id":"AQADsmall","file_size":1283,'
    '"width":90,"height":67},{"file_id":"AgACAgIAAx0Cbench-large","file_unique_id":"AQADlarge",'
    '"file_size":98304,"width":1280,"height":960}]}}'
)
CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 4096;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 900;
    keepalive_requests 1000000000;
    client_max_body_size 64m;
    client_body_buffer_size 64m;  # a body is kept in memory of its own size, never in a file
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    log_not_found off;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{ root {root}; }}
        location ~ ^/bot {{
            root {folder}/nothing;
            mirror /taken;
            error_page 404 405 =200 @sent;
        }}
        location = /taken {{ internal; return 204; }}
        location @sent {{ default_type application/json; return 200 '{answer}'; }}
    }}
}}
"""


class MissingError(Exception):
    """nginx is not installed."""


def free_port(random: Random) -> int:
    """A loopback port that nobody listens at."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def find() -> str:
    """The program; MissingError when there is none."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MissingError("nginx is missing; on Debian: apt install nginx-light")
    return found


class Nginx:
    """One server for both roles, over http and over TLS. A context: started and stopped."""

    def __init__(self, folder: Path, root: Path) -> None:
        random = Random()
        self.folder = folder
        """Its certificate and key are here, too, as `certificate.pem` and `key.pem`."""
        self._root = root
        self._port, self._tls_port = free_port(random), free_port(random)
        self._process: subprocess.Popen[bytes] | None = None
        self.ca_file = folder / "ca.pem"
        """Who signed its certificate."""

    @property
    def http(self) -> str:
        """Its plain URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def https(self) -> str:
        """The same over TLS."""
        return f"https://localhost:{self._tls_port}"

    def url(self, *, tls: bool) -> str:
        """One of the two."""
        return self.https if tls else self.http

    def __enter__(self) -> "Nginx":
        self.folder.mkdir(parents=True)
        self._certify()
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                user="user root;" if os.geteuid() == 0 else "",
                folder=self.folder,
                root=self._root,
                port=self._port,
                tls_port=self._tls_port,
                answer=ANSWER,
            )
        )
        command: list[str | Path] = [find(), "-p", self.folder, "-e", "stderr"]
        command += ["-c", configuration]
        log = self.folder / "log"
        self._process = children.start(command, log=log)
        deadline = time.monotonic() + START_WAIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"nginx does not start: {log.read_text()[-500:]}")
            time.sleep(0.02)
        if not self._waits_for_bodies():
            self.__exit__()
            raise RuntimeError("nginx answers uploads before it has read them")
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            children.stop(process)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._tls_port), 1.0):
                return True
        except OSError:
            return False

    def _waits_for_bodies(self) -> bool:
        """Whether the trap is avoided: nothing is said to half a body."""
        with socket.create_connection(("127.0.0.1", self._port)) as half:
            half.sendall(
                b"POST /bot1:x/sendPhoto HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
            )
            half.settimeout(SILENCE_S)
            try:
                half.recv(1)
                return False
            except TimeoutError:
                return True

    def _certify(self) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(str(self.ca_file))
        leaf.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        (self.folder / "certificate.pem").write_bytes(
            b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        )
        assert ssl.create_default_context(cafile=str(self.ca_file)).get_ca_certs()
