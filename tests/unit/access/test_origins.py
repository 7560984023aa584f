"""Which pages may change something here."""

import pytest

from service.access.errors import CrossOrigin
from service.access.origins import check_origin

HOST = "127.0.0.1:8000"
OWN = [
    (None, None),
    ("same-origin", None),
    ("none", None),
    ("same-origin", "https://behind.example"),
    (None, f"http://{HOST}"),
]
OTHERS = [
    ("cross-site", None),
    ("same-site", f"http://{HOST}"),
    ("nonsense", f"http://{HOST}"),
    ("", None),
    (None, "null"),
    (None, ""),
    (None, "http://127.0.0.1:3000"),
    (None, "http://localhost:8000"),
    (None, "https://127.0.0.1:8000.evil.example"),
    (None, "http://evil.example"),
    (None, "file://"),
    (None, "http://127.0.0.1:x"),
]


@pytest.mark.parametrize(("fetch_site", "origin"), OWN)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_programs_and_the_services_own_page_may_change_something(method, fetch_site, origin):
    check_origin(method, HOST, fetch_site, origin)


@pytest.mark.parametrize(("fetch_site", "origin"), OTHERS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_pages_of_other_sites_may_not(method, fetch_site, origin):
    with pytest.raises(CrossOrigin, match="another site"):
        check_origin(method, HOST, fetch_site, origin)


@pytest.mark.parametrize(("fetch_site", "origin"), OTHERS)
def test_a_link_from_another_site_may_be_followed(fetch_site, origin):
    check_origin("GET", HOST, fetch_site, origin)


@pytest.mark.parametrize(
    ("origin", "host"), [("http://gate.example", "gate.example:80"), ("https://gate.example:443", "gate.example")]
)
def test_a_port_may_be_said_or_understood(origin, host):
    check_origin("POST", host, None, origin)
