"""The header with which a call may be repeated, and what an answer says that is given again."""

from __future__ import annotations

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENT_REPLAYED = "Idempotent-Replayed"
