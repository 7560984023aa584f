"""What every answer tells a browser: show it in no frame, guess no type, run nothing, give it to no other site."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE = "/docs"
INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def page_policy(page: bytes) -> str:
    """What the page of the calls may do: run its files and the one script in it, and call the service.

    The script in it is known by its digest, so that no other that would get into the page runs.  Styles may be inline:
    Swagger UI sets them, and its icons are data.
    """
    digests = [b64encode(sha256(script).digest()).decode() for script in INLINE_SCRIPT.findall(page)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    return (
        f"{NOTHING}; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
    )


class BrowserHeaders:
    """ASGI middleware, outside everything: answers to unforeseen errors have these headers too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to the head of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head: Message | None = None
        is_page = scope["path"] == PAGE

        async def sending(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in (HEADERS | {"Content-Security-Policy": NOTHING}).items():
                    headers[name] = value
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
                if is_page and message["status"] == 200:
                    head = message  # waits for the page, whose script it names
                    return
            elif head is not None:
                headers = MutableHeaders(raw=head["headers"])
                headers["Content-Security-Policy"] = page_policy(message.get("body", b""))
                begun, head = head, None
                await send(begun)
            await send(message)

        await self._app(scope, receive, sending)
