"""Which hosts webhooks may reach: those that the operator has listed, at addresses that are nobody's inner network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from service.access.hosts import NAME
from service.analyses.errors import TargetRefused, WebhooksOff

MAX_URL_CHARACTERS = 2048
ENTRY = re.compile(r"(?P<name>\*\.[^:=\[\]]+|\[[^\]]+\]|[^:=\[\]*]+)(?::(?P<port>[0-9]{1,5}))?(?:=(?P<network>.+))?")
USUAL_PORTS = {"https": 443, "http": 80}
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
"""Of a name that can be looked up.  Names of inner networks have underscores at times."""
LOOKED_UP = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*")
NAT64 = ip_network("64:ff9b::/96")
NEVER_PUBLIC = tuple(
    ip_network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10", "192.0.0.0/24")
)
"""What stands for addresses of inner networks, though it is called global: IPv4 in forms that are out of use or of one
network alone, and addresses that were meant for one site (RFC 4291, 2765, 8215, 3879, 6890).
"""
ADVICE = (
    "give names separated by commas, such as hooks.example.org, *.example.org, hooks.example.org:8443, or, for a host "
    "of an inner network, hooks.internal=10.0.0.0/8"
)


@dataclass(frozen=True)
class Target:
    """An entry of the operator's list.

    name, or with `is_suffix` what names end in after a full stop; port, None for the usual one of the scheme; network,
    an inner network that the name may resolve into besides the Internet.
    """

    name: str
    is_suffix: bool
    port: int | None
    network: IPv4Network | IPv6Network | None


@dataclass(frozen=True)
class Destination:
    """Where a webhook's URL leads: what to connect to, and what to ask for there."""

    scheme: str
    host: str
    port: int
    path: str
    targets: tuple[Target, ...]
    """The entries that allow it."""


def read_targets(text: str) -> tuple[Target, ...]:
    """The entries of PHASEGATE_WEBHOOK_HOSTS.  Raises ValueError for what is none."""
    return tuple(_read_target(entry.strip()) for entry in text.split(",") if entry.strip())


def destination_of(url: str, targets: Sequence[Target], *, allow_http: bool) -> Destination:
    """Where a URL leads, if a webhook may lead there.  Raises TargetRefused, WebhooksOff."""
    if not targets:
        raise WebhooksOff(
            "This service sends no webhooks: its operator has listed no host that they may reach. Ask for yours to be "
            "added to PHASEGATE_WEBHOOK_HOSTS."
        )
    parts, port = _split(url)
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme not in schemes:
        raise TargetRefused(f"The URL must begin with {' or '.join(f'{s}://' for s in schemes)}.", part="url")
    if "@" in parts.netloc:
        raise TargetRefused(
            "The URL holds a user or a password. Leave them out: deliveries are signed with the webhook's secret.",
            part="url",
        )
    host = (parts.hostname or "").removesuffix(".")
    if "%" in host or (_address(host) is None and not LOOKED_UP.fullmatch(host)):
        raise TargetRefused(
            f"{host[:80]!r} is no name of a host. Use 1 to 63 letters, digits and hyphens between full stops, and "
            "write other letters in their encoded form (xn--).",
            part="url",
        )
    usual = USUAL_PORTS[parts.scheme]
    allowing = tuple(t for t in targets if _names(t, host) and (port or usual) == (t.port or usual))
    if not allowing:
        raise TargetRefused(
            f"Webhooks may not reach {host[:80]!r} at port {port or usual}. Use a host that the operator has listed in "
            "PHASEGATE_WEBHOOK_HOSTS, or ask for this one to be added.",
            part="url",
        )
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    return Destination(parts.scheme, host, port or usual, path, allowing)


def check_addresses(addresses: Sequence[str], targets: Sequence[Target]) -> None:
    """Raises TargetRefused unless every address is one of the Internet, or of a network that one of `targets` names.

    One that is not among several is enough: whoever answers for a name must not choose which of them is used.
    """
    if not addresses:
        raise TargetRefused("The host's name stands for no address. Check the name.")
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        networks = [target.network for target in targets if target.network is not None]
        if not _is_public(address) and not any(address in network for network in networks):
            raise TargetRefused(
                "The host's name stands for an address of an inner network, which webhooks do not reach. If that is "
                "meant, have the operator write name=network into PHASEGATE_WEBHOOK_HOSTS."
            )


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the Internet, and none that stands for another which is not."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None or (inner is not None and not _is_public(inner)):
            return False
        if inner is not None and address.ipv4_mapped is not None:
            return True
    is_refused = any(address in network for network in NEVER_PUBLIC)
    return address.is_global and not address.is_multicast and not is_refused


def _read_target(entry: str) -> Target:
    found = ENTRY.fullmatch(entry)
    if not found:
        raise ValueError(f"{entry[:80]!r} is no host; {ADVICE}")
    name = found["name"].strip("[]").rstrip(".").lower()
    is_suffix = name.startswith("*.")
    name = name.removeprefix("*.")
    network = _network(found["network"], entry) if found["network"] else None
    port = int(found["port"]) if found["port"] else None
    if _address(name) is not None and not is_suffix:
        name = str(ip_address(name))
        network = network or ip_network(name)  # an address that is listed is meant
    elif not NAME.fullmatch(name) or (port is not None and not 0 < port < 65536):
        raise ValueError(f"{entry[:80]!r} is no host; {ADVICE}")
    return Target(name, is_suffix, port, network)


def _network(text: str, entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip())
    except ValueError:
        raise ValueError(f"{entry[:80]!r} names no network after the =; {ADVICE}") from None


def _split(url: str) -> tuple[SplitResult, int | None]:
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise TargetRefused(
            f"The URL must be at most {MAX_URL_CHARACTERS} ASCII characters without spaces. Encode what is none.",
            part="url",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        advice = "The URL cannot be read. Send one such as https://hooks.example.org/x."
        raise TargetRefused(advice, part="url") from None
    if port == 0:
        raise TargetRefused("Nothing answers at port 0. Leave the port out, or give the right one.", part="url")
    if "#" in url:
        raise TargetRefused("The URL has a fragment, which no server sees. Leave it out.", part="url")
    return parts, port


def _names(target: Target, host: str) -> bool:
    if target.is_suffix:
        return host.endswith(f".{target.name}")
    address = _address(host)
    return host == target.name if address is None else str(address) == target.name


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
