"""Which names the service answers to, and which addresses it may listen on."""

import pytest

from service.access.errors import OpenToTheNetwork, UnknownHost
from service.access.hosts import addresses_of, check_binding, check_host, host_rule, read_names

HERE = host_rule("127.0.0.1", (), require_keys=False)
REBOUND = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "2130706433", "0x7f.0.0.1", "testserver"]


@pytest.mark.parametrize(
    "given", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:8000", "a.localhost", "localhost."]
)
def test_loopback_is_a_name_of_the_service(given):
    check_host([given], HERE)


@pytest.mark.parametrize(
    "given",
    [*([name] for name in REBOUND), [], [""], ["localhost", "localhost"], ["localhost:99999999"], ["localhost/"],
     ["user@localhost"], ["[::1"], ["10.0.0.5:8000"], ["::1"]],
)  # fmt: skip
def test_any_other_name_and_none_and_two_are_refused_on_loopback(given):
    with pytest.raises(UnknownHost, match="PHASEGATE_ALLOWED_HOSTS"):
        check_host(given, HERE)


def test_names_that_the_operator_lists_are_names_of_the_service():
    rule = host_rule("127.0.0.1", read_names("Gate.Example., [fd00::7]"), require_keys=False)
    check_host(["gate.example:443"], rule)
    check_host(["[fd00::7]"], rule)
    with pytest.raises(UnknownHost):
        check_host(["sub.gate.example"], rule)


def test_who_listens_elsewhere_is_reached_by_address_but_by_no_unlisted_name():
    rule = host_rule("0.0.0.0", read_names("gate.example"), require_keys=True)
    for given in ("10.0.0.5:8000", "[fd00::7]", "gate.example", "127.0.0.1"):
        check_host([given], rule)
    for given in REBOUND[:3]:
        with pytest.raises(UnknownHost):
            check_host([given], rule)
    check_host(["gate.internal:8000"], host_rule("gate.internal", (), require_keys=False))


def test_with_keys_and_no_list_any_name_will_do():
    check_host(["api:8000"], host_rule("0.0.0.0", (), require_keys=True))
    with pytest.raises(UnknownHost):
        check_host(["api:8000"], host_rule("0.0.0.0", (), require_keys=False))


@pytest.mark.parametrize("text", ["a b", "http://gate", "gate:443", "gate,;", "*"])
def test_what_is_no_list_of_names_is_refused(text):
    with pytest.raises(ValueError, match="separated by commas"):
        read_names(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_may_be_listened_on_without_keys(host):
    found = addresses_of(host)
    assert found
    check_binding(found, require_keys=False, let_anyone=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.5", "fe80::1"])
def test_any_other_address_needs_keys_or_the_ugly_flag(host):
    found = addresses_of(host)
    assert found
    with pytest.raises(OpenToTheNetwork) as refused:
        check_binding(found, require_keys=False, let_anyone=False)
    said = str(refused.value)
    assert "PHASEGATE_REQUIRE_KEYS=true" in said
    assert "--let-anyone-on-the-network-use-this-service" in said
    check_binding(found, require_keys=True, let_anyone=False)
    check_binding(found, require_keys=False, let_anyone=True)


def test_a_name_of_several_addresses_is_as_open_as_the_most_open_of_them():
    with pytest.raises(OpenToTheNetwork, match=r"192\.0\.2\.1"):
        check_binding(["127.0.0.1", "192.0.2.1"], require_keys=False, let_anyone=False)
