"""Signers: from (method, host, key, headers, time) to the finished set of headers, a key of its own
each time.

Ours keeps the day's key and botocore's derives it anew: both as they are used. That both say the
same is checked first; botocore reads the clock itself, so ours is given the time it took.
"""

import time
from calendar import timegm
from collections.abc import Callable, Mapping
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode

from bench.data.clients.base import CREDENTIALS, REGION
from bench.data.objects import BUCKET
from prewarmd.worker.signing import Signer, object_path

HOST = "account.r2.cloudflarestorage.com"
HEADERS = {"if-none-match": '"5d41402abc4b2a76b9719d911017c592"'}
STAMP = "%Y%m%dT%H%M%SZ"
_signer = Signer(REGION)
_theirs: Any = S3SigV4Auth(
    Credentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key), "s3", REGION
)


def prewarmd(key: str) -> Mapping[str, str]:
    """By `worker.signing`."""
    return _at(key, time.time())


def _at(key: str, unix: float) -> Mapping[str, str]:
    return _signer.sign("GET", HOST, object_path(BUCKET, key), HEADERS, CREDENTIALS, unix)


def botocore(key: str) -> Mapping[str, str]:
    """By botocore's S3SigV4Auth."""
    url = f"http://{HOST}/{BUCKET}/{percent_encode(key, safe='/-._~')}"
    request: Any = AWSRequest("GET", url, HEADERS)
    _theirs.add_auth(request)
    return dict(request.headers)


def agree(key: str) -> bool:
    """Whether both sign alike."""
    found = {name.lower(): value for name, value in botocore(key).items()}
    unix = timegm(time.strptime(found["x-amz-date"], STAMP))
    return _at(key, unix)["authorization"] == found["authorization"]


def us_each(sign: Callable[[str], Mapping[str, str]], keys: list[str]) -> float:
    """Microseconds of CPU a signature."""
    began = time.process_time()
    for key in keys:
        sign(key)
    return (time.process_time() - began) / len(keys) * 1e6
