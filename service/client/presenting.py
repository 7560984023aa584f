"""How a client shows its API key, and to whom it does not."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from service.access.hosts import is_loopback
from service.access.keys import id_in
from service.client.addresses import shown
from service.client.errors import KeyWithheld


def check_key(api_key: str, address: httpx2.URL, key_over_http: bool) -> None:
    """Raises KeyWithheld for what is no key, and for a key that would cross a network unencrypted; never repeats it."""
    if id_in(api_key) is None:
        raise KeyWithheld(
            "The API key is not one of Phasegate: pg_, 12 hexadecimal digits, _, 64 hexadecimal digits. Give the whole "
            "key, as `phasegate keys create` printed it."
        )
    if address.userinfo:
        raise KeyWithheld("The address has a name and a password in it, and there is an API key too. Give one of them.")
    if address.scheme != "https" and not is_loopback(address.host) and not key_over_http:
        raise KeyWithheld(
            f"The API key is not sent to {shown(address)}: without TLS everybody on the way could read it. Use an "
            "https:// address or, if you trust the network, PHASEGATE_API_KEY_OVER_HTTP=true (key_over_http=True)."
        )


def bearer(api_key: str) -> Callable[[httpx2.Request], httpx2.Request]:
    """Puts the key into every request."""

    def present(request: httpx2.Request) -> httpx2.Request:
        request.headers["Authorization"] = f"Bearer {api_key}"
        return request

    return present
