"""Signatures after the Standard Webhooks specification (www.standardwebhooks.com, symmetric, `v1`)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from service.analyses.webhook import Secret

PREFIX = "whsec_"


def signed_headers(delivery_id: str, body: bytes, secrets: Sequence[Secret], at_s: int) -> dict[str, str]:
    """The headers that prove that a delivery is ours and recent: one signature for each secret that counts.

    A signature is the HMAC-SHA256, under the secret's bytes, of `id.timestamp.body`.

    Arguments: at_s, when this attempt is made (seconds since 1970).
    """
    signed = f"{delivery_id}.{at_s}.".encode() + body
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets),
    }


def _signature(secret: Secret, signed: bytes) -> str:
    key = base64.b64decode(secret.text.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
