"""Addresses of servers, as people write them, and names within them."""

from __future__ import annotations

from urllib.parse import quote

import httpx2

from service.client.errors import InvalidAddress, InvalidName

EXAMPLE = "http://127.0.0.1:8000"


def parse_address(text: str) -> httpx2.URL:
    """The address of a server, with or without a path.  Raises InvalidAddress."""
    try:
        address = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise InvalidAddress(
            f"{text!r} is no address of a server: {sentence(error)} Give one such as {EXAMPLE}."
        ) from error
    if address.scheme not in ("http", "https") or not address.host or address.query or address.fragment:
        raise InvalidAddress(f"{text!r} is no address of a server. Give one such as {EXAMPLE}.")
    return address


def shown(address: httpx2.URL) -> str:
    """An address for people to read: without a user's name and password, and without a slash at the end."""
    return str(address.copy_with(userinfo=b"")).rstrip("/")


def sentence(error: BaseException) -> str:
    """What an error says, with the stop at its end."""
    return f"{str(error).rstrip('.')}."


def step(name: str) -> str:
    """A name as one step of a path, whatever is in it.  Raises InvalidName for one that no path can hold."""
    if name in ("", ".", ".."):  # would lead to another address, whose answer is that to another question
        raise InvalidName(f"{name!r} names nothing. Give the id, such as the service has answered with.")
    return quote(name, safe="")
