"""Addresses as people write them."""

import pytest

from service.access.hosts import is_loopback
from service.client import InvalidAddress, Phasegate
from service.client.addresses import parse_address, shown


@pytest.mark.parametrize(
    "text", ["127.0.0.1:8000", "localhost", "", "ftp://host", "http://", "http://h:x", "http://h?a=1"]
)
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(InvalidAddress, match=r"Give one such as http://127\.0\.0\.1:8000\."):
        Phasegate(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        (" https://host/behind/a/path ", "https://host/behind/a/path"),
        ("https://ann:secret@host", "https://host"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_or_idle(text, expected):
    assert shown(parse_address(text)) == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost", "a.localhost"])
def test_hosts_of_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "example.org", "localhost.example.org", "128.0.0.1", "::2"])
def test_hosts_elsewhere(host):
    assert not is_loopback(host)


def test_a_proxy_that_cannot_be_used_is_named_unless_the_service_is_here(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "nonsense://proxy:1")
    with pytest.raises(InvalidAddress, match="HTTP_PROXY"):
        Phasegate("http://example.org")
    for address, use_proxies in (("http://127.0.0.1:8000", True), ("http://example.org", False)):
        Phasegate(address, use_proxies=use_proxies).close()
