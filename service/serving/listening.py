"""The address of the service: bound once by the root of the tree, so that it outlives every restart of the API."""

from __future__ import annotations

import errno
import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

BACKLOG = 1024  # connections that wait while the API is being restarted


class AddressUnavailable(Exception):
    """The address cannot be listened on; the message says what to do."""


@dataclass(frozen=True)
class Address:
    """Where the service is reached from this machine."""

    host: str
    port: int

    @property
    def base_url(self) -> str:
        """For example http://127.0.0.1:8000."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.  Raises AddressUnavailable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressUnavailable(
                f"Port {port} on {host} is in use. "
                "Stop what uses it, or choose another with --port or PHASEGATE_PORT (0 picks a free one)."
            ) from error
        raise AddressUnavailable(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from error


def address_of(listener: socket.socket) -> Address:
    """The address to reach a listener at."""
    host, port = listener.getsockname()[:2]
    return Address(reached_at(host), port)


def reached_at(host: str) -> str:
    """Where to reach what listens on a host from this machine; what listens everywhere is reached over loopback."""
    try:
        address = ip_address(host) if host else IPv4Address(0)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


@contextmanager
def published(address: Address, data_dir: Path) -> Iterator[None]:
    """Keep the base URL in `{data_dir}/address`, for whoever must find a port that was picked."""
    path = data_dir / "address"
    complete = data_dir / "address.new"
    complete.write_text(f"{address.base_url}\n", encoding="utf-8")
    os.replace(complete, path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def is_ready(address: Address) -> bool:
    """Whether GET /readyz answers 200 within half a second."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=0.5)
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
