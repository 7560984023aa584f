"""Where the client sends an API key, and where it does not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.client import ClientError, KeyWithheld, Phasegate, UnexpectedAnswer

KEY = "pg_" + "0123456789ab" + "_" + "5" * 64
OTHER = "pg_" + "ba9876543210" + "_" + "7" * 64


@contextmanager
def listening(status: int, location: str = "") -> Iterator[tuple[str, list[str | None]]]:
    """A server's address, and the Authorization of every request that it gets."""
    shown: list[str | None] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", shown
        finally:
            server.shutdown()
            thread.join()


def test_the_key_goes_to_the_service_and_to_nobody_that_it_names():
    for status in (301, 302, 307, 308):
        with listening(200) as (elsewhere, there), listening(status, f"{elsewhere}/v1/limits") as (address, here):
            with Phasegate(address, api_key=KEY) as client, pytest.raises(UnexpectedAnswer, match="sends callers on"):
                client.limits()
            assert (here, there) == ([f"Bearer {KEY}"], [])


def test_without_a_key_none_is_sent(monkeypatch):
    monkeypatch.delenv("PHASEGATE_API_KEY", raising=False)
    with listening(404) as (address, shown), Phasegate(address) as client:
        with pytest.raises(ClientError):
            client.limits()
        assert shown == [None]


@pytest.mark.parametrize("address", ["http://gate.example", "http://10.0.0.5:8000", "http://127.0.0.1.evil.example"])
def test_a_key_does_not_cross_a_network_unencrypted_unless_it_may(address):
    with pytest.raises(KeyWithheld, match="without TLS") as withheld:
        Phasegate(address, api_key=KEY)
    assert KEY not in str(withheld.value)
    Phasegate(address, api_key=KEY, key_over_http=True, use_proxies=False).close()


@pytest.mark.parametrize("address", ["https://gate.example", "http://localhost:8000", "http://[::1]:8000"])
def test_a_key_may_go_over_tls_and_stay_on_this_machine(address):
    Phasegate(address, api_key=KEY, use_proxies=False).close()


@pytest.mark.parametrize("text", ["pg_1_2", KEY + "\n", f"{KEY}\r\nX-Evil: 1", "Bearer " + KEY])
def test_what_is_no_key_is_not_sent_and_not_repeated(text):
    with pytest.raises(KeyWithheld, match="12 hexadecimal digits") as withheld:
        Phasegate("http://127.0.0.1", api_key=text)
    assert "5" * 64 not in str(withheld.value)


def test_a_key_and_a_password_in_the_address_are_one_too_many():
    with pytest.raises(KeyWithheld, match="Give one"):
        Phasegate("https://ann:secret@host", api_key=KEY)


def test_a_key_is_in_no_text_of_a_client():
    with Phasegate("http://127.0.0.1", api_key=KEY) as client:
        assert KEY not in repr(client)
        assert KEY not in repr(vars(client))


def test_the_environment_says_which_service_and_which_key_unless_the_caller_does(monkeypatch):
    monkeypatch.setenv("PHASEGATE_API_KEY", KEY)
    for given, expected in (
        ({}, [f"Bearer {KEY}"]),
        ({"api_key": OTHER}, [f"Bearer {OTHER}"]),
        ({"api_key": ""}, [None]),
    ):
        with listening(404) as (address, shown):
            monkeypatch.setenv("PHASEGATE_URL", address)
            with Phasegate(**given) as client, pytest.raises(ClientError):
                client.limits()
        assert shown == expected


def test_the_environment_says_whether_a_key_may_cross_a_network_without_tls(monkeypatch):
    monkeypatch.setenv("PHASEGATE_URL", "http://10.0.0.1")
    monkeypatch.setenv("PHASEGATE_API_KEY", KEY)
    monkeypatch.setenv("PHASEGATE_API_KEY_OVER_HTTP", "True")
    Phasegate(use_proxies=False).close()
    with pytest.raises(KeyWithheld):
        Phasegate(key_over_http=False, use_proxies=False)
