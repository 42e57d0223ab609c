"""SigV4 against botocore's signer, to the letter: a store refuses a request that is signed wrongly,
and with it every job."""

from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import quote

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.worker.signing import Credentials, Signer, object_path

AWKWARD = "/ .~-_+%&=?#@:;,'\"\\()[]{}<>|^`$!*äß€\u200b日本🙂\t\x01\x7f"
KEY = st.text(st.one_of(st.sampled_from(AWKWARD), st.characters(codec="utf-8")), min_size=1)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
UNIX = st.integers(946_684_800, 4_102_444_799)
SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
CREDENTIALS = st.builds(Credentials, WORD, SECRET, st.none() | SECRET)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "range": st.builds("bytes={}-{}".format, st.integers(0, 9**9), st.integers(0, 9**9)),
        "if-match": st.builds('"{}"'.format, WORD),
        "if-none-match": st.builds('"{}"'.format, WORD),
    },
)


def theirs(
    region: str, path: str, host: str, headers: dict[str, str], keys: Credentials, unix: float
) -> dict[str, str]:
    """What botocore sends, names in lower case."""
    request = AWSRequest("GET", f"http://{host}{path}", headers=dict(headers))
    signer = botocore.auth.S3SigV4Auth(
        TheirCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token),
        "s3",
        region,
    )
    now = datetime.fromtimestamp(int(unix), UTC)
    with patch.object(botocore.auth, "get_current_datetime", lambda: now):
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()} | {"host": host}


@given(WORD, WORD, KEY, WORD, st.integers(1, 65_535), HEADERS, CREDENTIALS, UNIX)
def test_it_is_botocores_to_the_letter(
    region: str,
    bucket: str,
    key: str,
    name: str,
    port: int,
    headers: dict[str, str],
    keys: Credentials,
    unix: int,
) -> None:
    """Keys with awkward characters would be refused as SignatureDoesNotMatch."""
    path, host = object_path(bucket, key), f"{name}.example:{port}"
    if port == 80:
        host = f"{name}.example"  # botocore leaves a scheme's own port out
    ours = Signer(region).sign("GET", host, path, headers, keys, unix)
    assert ours == theirs(region, path, host, headers, keys, unix)


@given(st.lists(st.tuples(CREDENTIALS, UNIX), min_size=2, max_size=6))
def test_one_signer_outlives_midnights_and_rotations(turns: list[tuple[Credentials, int]]) -> None:
    """The key that is kept for a day would sign the next day's requests, or another's."""
    signer = Signer("auto")
    for keys, unix in (*turns, *reversed(turns)):
        for moment in (unix, unix // 86_400 * 86_400 - 1, unix // 86_400 * 86_400):
            ours = signer.sign("GET", "store.example", "/b/k", {}, keys, moment)
            assert ours == theirs("auto", "/b/k", "store.example", {}, keys, moment)


@given(WORD, KEY)
def test_a_path_is_encoded_as_botocore_encodes_it(bucket: str, key: str) -> None:
    """A key with two slashes, or with dots between slashes, is that very key and no other."""
    encoded = quote(key.encode(), safe="/-._~")
    assert object_path(bucket, key) == f"/{bucket}/{encoded}"


def test_the_days_key_is_derived_once() -> None:
    """Four HMACs a request would be twice the work."""
    signer, keys = Signer("auto"), Credentials("id", "secret")
    with patch.object(signer, "_derive", wraps=signer._derive) as derive:
        for second in range(0, 3 * 86_400, 600):
            signer.sign("GET", "h", "/b/k", {}, keys, float(second))
    days = [call.args[0] for call in derive.call_args_list]
    assert days == ["19700101", "19700102", "19700103"]


def test_secrets_do_not_show() -> None:
    """They would end in a log with the first object that is printed."""
    shown = repr(Credentials("id", "the-secret", "the-token"))
    assert "the-secret" not in shown
    assert "the-token" not in shown
