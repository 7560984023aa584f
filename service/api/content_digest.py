"""Digests that are sent with content (`Content-Digest`, RFC 9530), verified on the bytes as they come.

Algorithms that are not known here are passed over, as the RFC has it: of several digests the known ones count.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import BinaryIO, cast

import http_sf
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.analyses.errors import DigestMismatch, InvalidDigest
from service.schemas.content_digest import CONTENT_DIGEST

ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}  # by the names that the RFC has registered as active
READ_BYTES = 1024 * 1024


class DigestCheck:
    """Follows content and compares it with its digests."""

    def __init__(self, announced: Sequence[str], part: str | None = None) -> None:
        """Arguments: announced, the values of the header's lines; part, what of the request they are about.

        Raises InvalidDigest.
        """
        self._part = part
        self._wanted = _digests(announced, part)
        self._found = {name: hashlib.new(ALGORITHMS[name]) for name in self._wanted}

    @property
    def is_needed(self) -> bool:
        """Whether there is a digest to compare with."""
        return bool(self._wanted)

    def update(self, content: bytes) -> None:
        """Take further bytes."""
        for digest in self._found.values():
            digest.update(content)

    def finish(self) -> None:
        """All of the content has come.  Raises DigestMismatch."""
        for name, wanted in self._wanted.items():
            if not hmac.compare_digest(self._found[name].digest(), wanted):
                what = "The body" if self._part is None else f"Part {self._part!r}"
                raise DigestMismatch(
                    f"{what} has another {name} than its {CONTENT_DIGEST} says: it changed on the way, or the digest "
                    "is of other bytes. Nothing of it is kept: send it again.",
                    part=self._part,
                )


def check_file(announced: Sequence[str], file: BinaryIO, part: str) -> None:
    """Compare a received file with its digests, and rewind it.  Raises InvalidDigest, DigestMismatch."""
    check = DigestCheck(announced, part)
    if check.is_needed:
        while content := file.read(READ_BYTES):
            check.update(content)
        file.seek(0)
        check.finish()


async def check_empty_body(request: Request) -> None:  # not in a thread: they may all be busy
    """Dependency of every call: a body that is not there is verified too, which no route reads.

    Raises InvalidDigest, DigestMismatch.
    """
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        DigestCheck(headers.getlist(CONTENT_DIGEST)).finish()


class BodyDigest:
    """ASGI middleware: the end of a body that is not what its digest says raises DigestMismatch inside the route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, following its body if it has a digest."""
        announced = Headers(scope=scope).getlist(CONTENT_DIGEST) if scope["type"] == "http" else []
        if not announced:
            await self._app(scope, receive, send)
            return
        check: DigestCheck | None = None

        async def verified() -> Message:
            nonlocal check
            if check is None:
                check = DigestCheck(announced)
            message = await receive()
            if message["type"] == "http.request":
                check.update(message.get("body", b""))
                if not message.get("more_body", False):
                    check.finish()
            return message

        await self._app(scope, verified, send)


def _digests(announced: Sequence[str], part: str | None) -> dict[str, bytes]:
    """The digests of known algorithms, by name."""
    malformed = InvalidDigest(
        f"{CONTENT_DIGEST} cannot be read. Write it as sha-256=:<base64 of the digest>: (RFC 9530), or leave it out.",
        part=part,
    )
    try:
        found = cast(http_sf.DictionaryType, http_sf.parse(", ".join(announced).encode("latin-1"), tltype="dictionary"))
    except http_sf.StructuredFieldError as error:
        raise malformed from error
    digests: dict[str, bytes] = {}
    for name, item in found.items():
        value = item[0] if isinstance(item, tuple) else None
        if not isinstance(value, bytes):
            raise malformed
        if name in ALGORITHMS:
            if len(value) != hashlib.new(ALGORITHMS[name]).digest_size:
                raise malformed
            digests[name] = value
    return digests
