"""Has all of a form come?  Starlette takes one that breaks off, and drops the part in which it does."""

from __future__ import annotations

from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.types import Message, Receive

from service.analyses.errors import UnreadableBody

LINE_END = b"\r\n"


def whole_form(request: Request) -> Receive:
    """The request's `receive`, which raises UnreadableBody where a form ends without the delimiter that closes it."""
    _, parameters = parse_options_header(request.headers.get("content-type"))
    delimiter = LINE_END + b"--" + parameters.get(b"boundary", b"") + b"--"
    latest, has_come = LINE_END, False  # a form without parts begins with its end

    async def receive() -> Message:
        nonlocal latest, has_come
        message = await request.receive()
        if message["type"] == "http.request" and not has_come:
            latest += message.get("body", b"")
            has_come = delimiter in latest
            latest = latest[-len(delimiter) + 1 :]  # it may be cut between two pieces
            if not has_come and not message.get("more_body", False):
                raise UnreadableBody(
                    "The form ends in the middle: the boundary that closes it is missing. Send all of it again."
                )
        return message

    return receive
