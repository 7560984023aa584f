"""The digest of a policy: two policies that ask for the same have the same."""

from __future__ import annotations

import hashlib
import json

from service.estimation.record import as_dict
from service.gating.policy import Policy


def sha256_of(policy: Policy) -> str:
    """SHA-256, in hex, of a policy as compact JSON with sorted names in ASCII, defaults filled in."""
    text = json.dumps(as_dict(policy), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
