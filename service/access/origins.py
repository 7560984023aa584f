"""Which page of a browser may change something: one of the service's own, none of another site.

A form of any page may be sent to any address, 127.0.0.1 included, and a browser asks nobody first.  It says, though,
where the form comes from.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from service.access.callers import READING
from service.access.errors import CrossOrigin

OWN = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site` for the service's own pages, and for what a person has typed."""
PORTS = {"http": 80, "https": 443}


def check_origin(method: str, host: str, fetch_site: str | None, origin: str | None) -> None:
    """Raises CrossOrigin for a call that may change something and that a browser sends for another site's page.

    Arguments: host, fetch_site, origin: the headers Host, Sec-Fetch-Site and Origin.  Programs send the latter two
    seldom, browsers at least one of them.  Sec-Fetch-Site is believed first: no page can set it, and it holds
    behind a proxy that changes the host too.
    """
    if method in READING:
        return
    if not (origin is None or is_own(origin, host) if fetch_site is None else fetch_site in OWN):
        raise CrossOrigin(
            "A page of another site sent this, which may not change anything here. Call the service from a program, or "
            "from its own page at /docs."
        )


def is_own(origin: str, host: str) -> bool:
    """Whether an origin, such as http://127.0.0.1:8000, is the host that the request was sent to."""
    try:
        page = urlsplit(origin)
        asked = urlsplit(f"{page.scheme}://{host}")
        ports = [part.port or PORTS.get(page.scheme) for part in (page, asked)]
    except ValueError:
        return False
    return page.scheme in PORTS and bool(page.hostname) and page.hostname == asked.hostname and ports[0] == ports[1]
