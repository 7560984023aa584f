"""/docs works where there is no way out of the network."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings


def test_the_page_of_the_calls_needs_nothing_from_elsewhere():
    http = TestClient(create_app(Settings()), "http://127.0.0.1")
    page = http.get("/docs")
    assert page.status_code == 200
    needed = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert len(needed) >= 3
    for address in needed:
        assert address.startswith("/"), "of this service"
        answer = http.get(address)
        assert answer.status_code == 200, address
        assert len(answer.content) > 500, address
    assert "https://" not in page.text
    assert http.get("/docs/files/nothing.js").json()["code"] == "not_found"
