"""Addresses and names of the service: who can reach it, and under which names it answers.

A page of another site can have its own name resolve to 127.0.0.1 (DNS rebinding): a browser then sends it to the
service, but cannot help sending the page's name in `Host`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from service.access.errors import OpenToTheNetwork, UnknownHost

HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class HostRule:
    """Which names a request may give to the service.

    names, those of the operator; addresses, whether any IP address will do, which nobody can have resolve elsewhere;
    everything, whether a request may give any name, because only a key lets it in.
    """

    names: frozenset[str] = frozenset()
    addresses: bool = False
    everything: bool = False


def host_rule(bound_to: str, listed: Collection[str], *, require_keys: bool) -> HostRule:
    """The rule for a service that listens on an address.

    No page has a key that the browser would send by itself, so that with keys only a list that was given binds.
    """
    bound = bound_to.strip("[]").lower()
    return HostRule(
        names=frozenset({*listed, bound} - {""}),
        addresses=not is_loopback(bound),
        everything=require_keys and not listed,
    )


def check_host(given: Sequence[str], rule: HostRule) -> None:
    """Raises UnknownHost unless the one `Host` of a request is a name that the rule knows."""
    if len(given) == 1:
        found = HOST.fullmatch(given[0])
        if found and (rule.everything or _is_known(found[1].strip("[]").rstrip(".").lower(), rule)):
            return
    raise UnknownHost(
        "The request's Host is not a name of this service. Use http://127.0.0.1 or http://localhost with its port, or "
        "have the operator add the name to PHASEGATE_ALLOWED_HOSTS."
    )


def read_names(text: str) -> frozenset[str]:
    """Host names, separated by commas.  Raises ValueError for what is none."""
    names = frozenset(name.strip().strip("[]").rstrip(".").lower() for name in text.split(",") if name.strip())
    for name in names:
        if not NAME.fullmatch(name) and _address(name) is None:
            raise ValueError(f"{name[:80]!r} is no host name; give names without port, separated by commas")
    return names


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, as far as its name tells."""
    found = _address(host)
    if found is not None:
        return found.is_loopback
    return host.lower() == "localhost" or host.lower().endswith(".localhost")


def addresses_of(host: str) -> Sequence[str]:
    """The addresses that a host's name stands for; none where it cannot be resolved, and nothing can listen there."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return ()
    return [str(entry[4][0]) for entry in found]


def check_binding(addresses: Sequence[str], *, require_keys: bool, let_anyone: bool) -> None:
    """Raises OpenToTheNetwork where strangers reach one of the addresses and no key is asked for."""
    reached = [address for address in addresses if not is_loopback(address.partition("%")[0])]
    if reached and not require_keys and not let_anyone:
        raise OpenToTheNetwork(
            f"Everybody who reaches {reached[0]} could use this service: set PHASEGATE_REQUIRE_KEYS=true and make keys "
            "with `phasegate keys create`, or listen on 127.0.0.1 (--let-anyone-on-the-network-use-this-service does "
            "without)."
        )


def _is_known(host: str, rule: HostRule) -> bool:
    return is_loopback(host) or host in rule.names or (rule.addresses and _address(host) is not None)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
