"""What of a form Starlette would take on trust: that it has come to its end, and that its texts are UTF-8.

It takes a form that breaks off, dropping the part in which it does, and decodes texts by any codec that a client names.
"""

from __future__ import annotations

from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.types import Message, Receive

from service.analyses.errors import UnreadableBody

LINE_END = b"\r\n"
UTF_8 = (b"utf-8", b"utf8")


def whole_form(request: Request) -> Receive:
    """The request's `receive`, which raises UnreadableBody where a form ends without the delimiter that closes it.

    Raises UnreadableBody for a form that says that its texts are anything but UTF-8.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    if parameters.get(b"charset", UTF_8[0]).strip().lower() not in UTF_8:
        raise UnreadableBody("The form's Content-Type names a charset. Send texts in UTF-8, and leave charset out.")
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
