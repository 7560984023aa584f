"""A bound on request bodies, announced or not.

Starlette has one built in, but answers an announced excess itself, as plain text: here every 413 becomes a problem.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD_ADVICE = "Send fewer pairs or features, or float32 in place of float64."
OTHER_ADVICE = "Only forms and the parts of a dataset may be larger: send arrays and tables as files."
OTHER_BYTES = 1024 * 1024  # of a body that is not an upload: it is read whole
FORM = "multipart/form-data"
FORMS = re.compile(r"/v1/(?:datasets|analyses|datasets/[^/]+/label-sets)")
PARTS = re.compile(r"/v1/datasets/[^/]+/[^/]+")


def media_type(headers: Headers) -> str:
    """The media type of a body, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_upload(method: str, path: str, kind: str) -> bool:
    """Whether a call takes its body in pieces, to disk; every other call reads its body whole, whatever it is called.

    Arguments: kind, media type of the body.
    """
    if method == "PUT":
        return PARTS.fullmatch(path) is not None
    return method == "POST" and kind == FORM and FORMS.fullmatch(path) is not None


class BodyLimit:
    """ASGI middleware: reading a body that is too long raises HTTPException(413) inside the route.

    Uploads may have `max_upload_bytes`.
    """

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what is read of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        upload = is_upload(scope["method"], scope["path"], media_type(headers))
        limit = self._max_upload_bytes if upload else min(OTHER_BYTES, self._max_upload_bytes)
        refusal = HTTPException(413, f"The limit is {limit} bytes. {UPLOAD_ADVICE if upload else OTHER_ADVICE}")
        announced = headers.get("content-length", "")
        too_large = announced.isdigit() and int(announced) > limit
        received = 0

        async def counted() -> Message:
            nonlocal received
            if too_large:
                raise refusal
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise refusal
            return message

        await self._app(scope, counted, send)
