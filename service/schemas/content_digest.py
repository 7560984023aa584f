"""The header in which content is sent with its digest (RFC 9530)."""

from __future__ import annotations

import http_sf

CONTENT_DIGEST = "Content-Digest"


def content_digest(sha256: bytes) -> str:
    """The header's value for content with this SHA-256 (its 32 bytes)."""
    return http_sf.ser({"sha-256": sha256})
