"""Where webhooks may lead: hosts of the operator's list, addresses of the Internet or of networks that it names."""

from __future__ import annotations

import pytest

from service.access.targets import check_addresses, destination_of, read_targets
from service.analyses.errors import TargetRefused, WebhooksOff

LISTED = read_targets("hooks.example.org, *.example.com, hooks.example.net:8443, inner.local=10.0.0.0/8, 192.0.2.7")


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://hooks.example.org", "hooks.example.org", 443, "/"),
        ("https://HOOKS.example.org:443/a/b?c=d", "hooks.example.org", 443, "/a/b?c=d"),
        ("https://a.b.example.com/x", "a.b.example.com", 443, "/x"),
        ("https://hooks.example.net:8443/", "hooks.example.net", 8443, "/"),
        ("https://inner.local/", "inner.local", 443, "/"),
        ("https://xn--bcher-kva.example.com./", "xn--bcher-kva.example.com", 443, "/"),
        (f"https://{'a' * 63}.example.com/", f"{'a' * 63}.example.com", 443, "/"),
        ("https://my_service.example.com/", "my_service.example.com", 443, "/"),
        ("https://192.0.2.7/", "192.0.2.7", 443, "/"),
    ],
)
def test_what_is_listed_may_be_reached(url: str, host: str, port: int, path: str) -> None:
    found = destination_of(url, LISTED, allow_http=False)
    assert (found.host, found.port, found.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "//hooks.example.org/",
        "https://example.com/",
        "https://evilexample.com/",
        "https://example.com.evil.org/",
        "https://hooks.example.org.evil.org/",
        "https://hooks.example.org:8443/",
        "https://hooks.example.net/",
        "https://user@hooks.example.org/",
        "https://hooks.example.org:secret@evil.org/",
        "https://hooks.example.org\\@evil.org/",
        "https://hooks.example.org/#fragment",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org /",
        "https://hooks.example.org/\n",
        "https://hooks.exämple.org/",
        "https://[::1/",
        "https://3221225991/",
        "https://0xc0.0.2.7/",
        "https://hooks.example.org/" + "x" * 2048,
        "https:///",
        "https://a..example.com/",
        "https://.example.com/",
        "https://a.example.com../",
        f"https://{'a' * 64}.example.com/",
        f"https://{'.'.join(['a' * 60] * 5)}.example.com/",
        "https://-a.example.com/",
        "https://a-.example.com/",
        "https://a%2eb.example.com/",
        "https://a'b.example.com/",
        'https://a"b.example.com/',
        "https://a*b.example.com/",
        "https://[fe80::1%25eth0]/",
        "https://hooks.example.org:0/",
        "",
    ],
)
def test_nothing_else_may(url: str) -> None:
    with pytest.raises(TargetRefused) as caught:
        destination_of(url, LISTED, allow_http=False)
    assert caught.value.part == "url"


def test_plain_http_needs_the_operators_word() -> None:
    assert destination_of("http://hooks.example.org/", LISTED, allow_http=True).port == 80
    with pytest.raises(TargetRefused):
        destination_of("http://hooks.example.org:8080/", LISTED, allow_http=True)


def test_without_a_list_there_are_no_webhooks() -> None:
    with pytest.raises(WebhooksOff, match="PHASEGATE_WEBHOOK_HOSTS"):
        destination_of("https://hooks.example.org/", read_targets(" , "), allow_http=True)


INNER = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fec0::1",
    "192.0.0.8",
]


@pytest.mark.parametrize("address", INNER)
def test_no_name_may_stand_for_an_inner_address(address: str) -> None:
    found = destination_of("https://hooks.example.org/", LISTED, allow_http=False)
    for addresses in ([address], ["93.184.216.34", address]):
        with pytest.raises(TargetRefused):
            check_addresses(addresses, found.targets)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_an_address_of_the_internet_is_reached(address: str) -> None:
    check_addresses([address], destination_of("https://hooks.example.org/", LISTED, allow_http=False).targets)


def test_a_network_that_is_listed_with_a_name_is_reached_under_that_name_alone() -> None:
    inner = destination_of("https://inner.local/", LISTED, allow_http=False).targets
    check_addresses(["10.1.2.3"], inner)
    for address in ("192.168.1.1", "169.254.169.254", "127.0.0.1"):
        with pytest.raises(TargetRefused):
            check_addresses([address], inner)
    check_addresses(["192.0.2.7"], destination_of("https://192.0.2.7/", LISTED, allow_http=False).targets)


def test_a_name_without_addresses_is_refused() -> None:
    with pytest.raises(TargetRefused):
        check_addresses([], LISTED)


@pytest.mark.parametrize(
    "text",
    ["http://x.org", "x.org/path", "*", "*.", "a.*.org", "x.org=10.0.0.0/33", "x.org=", "x.org:0", "x.org:99999"],
)
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give names separated by commas"):
        read_targets(text)


def test_an_address_of_six_parts_is_listed_in_brackets() -> None:
    (target,) = read_targets("[::1]:9000")
    assert (target.name, target.port) == ("::1", 9000)
    found = destination_of("https://[0:0::1]:9000/", [target], allow_http=False)
    check_addresses(["::1"], found.targets)
