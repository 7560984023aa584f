"""Attempts over real lines: to the address that was looked at, and to no other; a hostile target costs seconds."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler

import pytest
from standardwebhooks import Webhook as Verifier

from service.access.targets import read_targets
from service.notifications.sending import MOST_READ_BYTES, Answered, Resolve, Sender, resolver
from tests.receiver import AUTHORITY, Receiver, receiving

from .samples import a_delivery, a_secret, a_webhook

LOOPBACK = "127.0.0.1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def secure() -> Iterator[Receiver]:
    with receiving(tls=True) as found:
        yield found


def to(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=AUTHORITY)


def attempt(url: str, hosts: str, resolve: Resolve | None = None, attempt_s: float = 10.0) -> Answered:
    webhook = a_webhook(url)
    sender = Sender(
        read_targets(hosts), allow_http=True, resolve=resolve or to(LOOPBACK), trusted=trusting(), attempt_s=attempt_s
    )
    return asyncio.run(sender.send(webhook, a_delivery(webhook)))


def test_a_target_gets_what_it_can_verify(receiver: Receiver) -> None:
    answered = attempt(f"http://hooks.test:{receiver.port}/in?key=1", f"hooks.test:{receiver.port}=127.0.0.0/8")
    assert (answered.attempt.status, answered.attempt.error) == (204, None)
    (received,) = receiver.received
    assert received.path == "/in?key=1"
    assert received.headers["host"] == f"hooks.test:{receiver.port}"
    assert received.headers["content-type"] == "application/json"
    assert "cookie" not in received.headers
    Verifier(a_secret(1).text).verify(received.body, received.headers)


def test_the_certificate_is_checked_against_the_name_though_the_address_is_given(secure: Receiver) -> None:
    hosts = f"hooks.example.org:{secure.port}=127.0.0.0/8,other.example:{secure.port}=127.0.0.0/8"
    assert attempt(f"https://hooks.example.org:{secure.port}/", hosts).attempt.status == 204
    wrong = attempt(f"https://other.example:{secure.port}/", hosts).attempt
    assert wrong.status is None
    assert "certificate" in (wrong.error or "")
    assert len(secure.received) == 1


def test_a_certificate_of_nobody_known_is_refused(secure: Receiver) -> None:
    webhook = a_webhook(f"https://hooks.example.org:{secure.port}/")
    hosts = read_targets(f"hooks.example.org:{secure.port}=127.0.0.0/8")
    found = asyncio.run(Sender(hosts, allow_http=False, resolve=to(LOOPBACK)).send(webhook, a_delivery(webhook)))
    assert "certificate" in (found.attempt.error or "")
    assert secure.received == []


@pytest.mark.parametrize("addresses", [[LOOPBACK], ["93.184.216.34", LOOPBACK], ["::1"], ["169.254.169.254"]])
def test_a_name_that_stands_for_an_inner_address_is_not_reached(receiver: Receiver, addresses: list[str]) -> None:
    found = attempt(f"http://hooks.test:{receiver.port}/", f"hooks.test:{receiver.port}", to(*addresses))
    assert found.attempt.status is None
    assert "inner network" in (found.attempt.error or "")
    assert receiver.received == []


def test_a_name_that_stands_for_another_address_the_next_time_is_looked_up_once(receiver: Receiver) -> None:
    """DNS rebinding: the first answer is fine, every later one is not."""
    answers = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    hosts = f"hooks.test:{receiver.port}=127.0.0.2/32"
    first = attempt(f"http://hooks.test:{receiver.port}/", hosts, resolve).attempt
    assert asked == ["hooks.test"]
    assert first.error == "Nothing answers at the target's address.", "the receiver is at 127.0.0.1 alone"
    second = attempt(f"http://hooks.test:{receiver.port}/", hosts, resolve).attempt
    assert "inner network" in (second.error or "")
    assert receiver.received == []


def test_a_host_that_is_listed_no_longer_is_not_reached(receiver: Receiver) -> None:
    found = attempt(f"http://hooks.test:{receiver.port}/", "other.test").attempt
    assert "PHASEGATE_WEBHOOK_HOSTS" in (found.error or "")
    assert receiver.received == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    with receiving() as other:
        receiver.statuses.append(status)
        receiver.headers["Location"] = f"http://127.0.0.1:{other.port}/"
        hosts = f"hooks.test:{receiver.port}=127.0.0.0/8,127.0.0.1:{other.port}"
        found = attempt(f"http://hooks.test:{receiver.port}/", hosts).attempt
        assert found.status == status
        assert "redirects are not followed" in (found.error or "")
        assert other.received == []


def test_what_the_environment_says_of_proxies_counts_for_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        attempt(f"http://hooks.test:{receiver.port}/", f"hooks.test:{receiver.port}=127.0.0.0/8")
        assert (len(receiver.received), proxy.received) == (1, [])


def test_a_target_that_asks_for_time_is_heard(receiver: Receiver) -> None:
    receiver.statuses.append(503)
    receiver.headers["Retry-After"] = "120"
    found = attempt(f"http://hooks.test:{receiver.port}/", f"hooks.test:{receiver.port}=127.0.0.0/8")
    assert (found.attempt.status, found.retry_after_s) == (503, 120.0)


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(2**40))
    request.end_headers()
    while True:
        request.wfile.write(bytes(MOST_READ_BYTES))


def silent(request: BaseHTTPRequestHandler) -> None:
    request.connection.recv(1)  # until the client hangs up


def dripping(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while True:
        request.wfile.write(b"x")
        request.connection.settimeout(0.02)
        try:
            if not request.connection.recv(1):
                return
        except TimeoutError:
            continue


def nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"\x00" * 100)
    request.close_connection = True


def headers_without_end(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        request.wfile.write(b"x-a: " + b"y" * 1000 + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "status"),
    [(endless, 200), (silent, None), (dripping, 200), (nonsense, None), (headers_without_end, None)],
)
def test_a_hostile_target_costs_no_more_than_the_time_of_an_attempt(receiver: Receiver, answer, status) -> None:
    receiver.answer = answer
    began = time.monotonic()
    found = attempt(
        f"http://hooks.test:{receiver.port}/", f"hooks.test:{receiver.port}=127.0.0.0/8", attempt_s=0.5
    ).attempt
    assert found.status == status
    assert (found.error is None) == (status == 200)
    assert time.monotonic() - began < 5


def test_a_name_that_nobody_knows_and_one_that_nobody_answers_for_fail(receiver: Receiver) -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    hosts = f"hooks.test:{receiver.port}=127.0.0.0/8"
    assert "resolved" in (attempt(f"http://hooks.test:{receiver.port}/", hosts, unknown).attempt.error or "")

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    slow = attempt(f"http://hooks.test:{receiver.port}/", hosts, never, attempt_s=0.05).attempt
    assert "within" in (slow.error or "")


def test_a_name_that_no_query_can_hold_cannot_be_resolved() -> None:
    with pytest.raises(socket.gaierror):
        asyncio.run(resolver()("a..example.org", 443))


@pytest.mark.parametrize("error", [UnicodeError("label empty or too long"), ValueError("odd"), KeyError("analysis_id")])
def test_whatever_goes_wrong_is_a_failed_attempt(receiver: Receiver, error: Exception) -> None:
    async def breaking(host: str, port: int) -> Sequence[str]:
        raise error

    found = attempt(f"http://hooks.test:{receiver.port}/", f"hooks.test:{receiver.port}=127.0.0.0/8", breaking).attempt
    assert found.status is None
    assert "Tell the operator" in (found.error or "")


def test_the_systems_own_resolver_is_asked_by_default(receiver: Receiver) -> None:
    webhook = a_webhook(f"http://localhost:{receiver.port}/")
    hosts = f"localhost:{receiver.port}=127.0.0.0/8,localhost:{receiver.port}=::1/128"
    sender = Sender(read_targets(hosts), allow_http=True)
    assert asyncio.run(sender.send(webhook, a_delivery(webhook))).attempt.status == 204


def test_an_address_at_which_nobody_answers_is_passed_over(receiver: Receiver) -> None:
    hosts = f"hooks.test:{receiver.port}=127.0.0.0/8"
    found = attempt(f"http://hooks.test:{receiver.port}/", hosts, to("127.0.0.2", "127.0.0.3", LOOPBACK))
    assert found.attempt.status == 204
