"""What a store says no with, in our words: codes of `core.faults`.

Error codes: R2's documentation, "Error codes"; S3's for other stores.
"""

_CODES = {
    "NoSuchKey": "NoSuchKey",
    "404": "NoSuchKey",
    "NotFound": "NoSuchKey",
    "NoSuchBucket": "NoSuchBucket",
    "AccessDenied": "BadCredentials",
    "403": "BadCredentials",
    "401": "BadCredentials",
    "Unauthorized": "BadCredentials",
    "InvalidAccessKeyId": "BadCredentials",
    "SignatureDoesNotMatch": "BadCredentials",
    "ExpiredToken": "BadCredentials",
    "InvalidToken": "BadCredentials",
    "NotEntitled": "BadCredentials",
    "RequestTimeTooSkewed": "BadCredentials",
    "PreconditionFailed": "ObjectChanged",
    "412": "ObjectChanged",
}


class ObjectError(Exception):
    """A request to the store failed; `code` is a key of `core.faults.FAULTS`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class UnchangedError(Exception):
    """304: the object is still the one with the ETag that was asked about."""


def code_of(theirs: str, status: int) -> str:
    """Our code for a store's own, or for its status where it gives none that we know."""
    return _CODES.get(theirs) or ("BadCredentials" if status in (401, 403) else "StoreError")
