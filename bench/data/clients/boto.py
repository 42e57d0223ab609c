"""What aiobotocore and boto3 are told alike."""

from typing import Any

from bench.data.clients.base import CREDENTIALS, REGION, Plan


def settings(plan: Plan) -> dict[str, Any]:
    """Of a `Config`: as the daemon's own client for rare requests has them."""
    return {
        "region_name": REGION,
        "signature_version": "s3v4",
        "max_pool_connections": plan.slots,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": "path"},
    }


def place(plan: Plan) -> dict[str, Any]:
    """Of a client: where the store is, and who asks."""
    return {
        "service_name": "s3",
        "endpoint_url": plan.store,
        "aws_access_key_id": CREDENTIALS.access_key_id,
        "aws_secret_access_key": CREDENTIALS.secret_access_key,
        "verify": plan.ca_file,
    }
