"""What comes back instead of an answer, in words."""

import ssl

import httpx2
import pytest

from service.client import (
    AccessDenied,
    InvalidName,
    NotReachable,
    NotSecure,
    Phasegate,
    ProblemReceived,
    UnexpectedAnswer,
)
from service.client.blocking.connection import Connection
from service.client.refusals import refusal, unanswered
from service.schemas.health import Health

ADDRESS = "http://host"
PROBLEM = {
    "type": "urn:phasegate:problem:unpaired_rows",
    "title": "t",
    "status": 422,
    "detail": "x has 3 rows.",
    "code": "unpaired_rows",
    "part": "x",
}


def answer(status, **content):
    return httpx2.Response(status, request=httpx2.Request("GET", f"{ADDRESS}/v1/limits"), **content)


def problem(status=422, **changed):
    headers = {"content-type": "application/problem+json"}
    return answer(status, json={**PROBLEM, "status": status, **changed}, headers=headers)


@pytest.fixture
def connection():
    opened = Connection(ADDRESS, 1.0, use_proxies=False)
    yield opened
    opened.close()


def test_a_problem_is_received_even_with_fields_of_a_newer_service():
    received = refusal(ADDRESS, problem(request_id="r"))
    assert isinstance(received, ProblemReceived)
    assert str(received) == "x has 3 rows. [unpaired_rows]"
    assert received.problem.part == "x"


@pytest.mark.parametrize(
    ("received", "kind", "words", "passes"),
    [
        (problem(503), ProblemReceived, "unpaired_rows", True),
        (problem(422), ProblemReceived, "unpaired_rows", False),
        (answer(502), NotReachable, "answers 502", True),
        (problem(401, code="unauthenticated"), ProblemReceived, "[unauthenticated]", False),
        (answer(401, text="who?"), AccessDenied, "answers 401: it lets nobody through", False),
        (answer(403), AccessDenied, "answers 403", False),
        (answer(404, text="no"), UnexpectedAnswer, "GET /v1/limits is answered 404", False),
        (answer(307, headers={"location": "/elsewhere"}), UnexpectedAnswer, "'/elsewhere'", False),
        (
            answer(400, json={"title": "another service's"}, headers={"content-type": "application/problem+json"}),
            UnexpectedAnswer,
            "answered 400",
            False,
        ),
    ],
)
def test_every_answer_that_is_no_success_is_an_error_in_words(received, kind, words, passes):
    error = refusal(ADDRESS, received)
    assert type(error) is kind
    assert words in str(error)
    assert str(error).endswith((".", "]"))
    assert error.passes is passes


def caused(error, cause):
    error.__cause__ = cause
    return error


UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (caused(httpx2.ConnectError("all failed"), ConnectionRefusedError(111, "Connection refused")), NotReachable,
         "No service answers at http://host (connection refused). Start one with `phasegate serve`"),
        (httpx2.RemoteProtocolError("Server disconnected."), NotReachable,
         "What answers at http://host breaks off (server disconnected): it is being restarted, or no HTTP service."),
        (httpx2.RemoteProtocolError("illegal status line: bytearray(b'SSH-2.0')"), NotReachable,
         "What answers at http://host is no HTTP service (illegal status line: bytearray(b'ssh-2.0')). Check"),
        (httpx2.ReadTimeout("late"), NotReachable, "has not answered for 5 s"),
        (httpx2.ProxyError("407 no"), NotReachable, "NO_PROXY"),
        (caused(httpx2.ConnectError("tls"), UNTRUSTED), NotSecure, "self-signed certificate. Check"),
        (caused(httpx2.ConnectError("tls"), ssl.SSLError(1, "[SSL] wrong version")), NotSecure, "as http://"),
    ],
)  # fmt: skip
def test_no_answer_at_all_is_an_error_in_words(error, kind, words):
    found = unanswered(ADDRESS, error, 5.0)
    assert type(found) is kind
    assert words in str(found)
    assert found.passes is (kind is NotReachable)


def test_what_a_newer_service_adds_is_left_out_and_what_is_missing_is_no_answer(connection):
    newer = answer(200, json={"status": "ok", "version": "9", "mood": "good"})
    assert connection.parse(Health, newer) == Health(status="ok", version="9")
    for other in (answer(200, json={"status": "ok"}), answer(200, text="<html>")):
        with pytest.raises(UnexpectedAnswer, match="GET /v1/limits is not answered with Health"):
            connection.parse(Health, other)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_leads_to_another_address_is_refused_before_anything_is_sent(name):
    """`GET /v1/datasets/` would be a list, and `DELETE /v1/datasets/..` an address that nobody meant."""
    with Phasegate("http://host.invalid", use_proxies=False) as client:
        for call in (client.dataset, client.delete_dataset, client.label_set, client.analysis, client.cancel):
            with pytest.raises(InvalidName, match="names nothing"):
                call(name)
        with pytest.raises(InvalidName, match="names nothing"):
            next(client.label_sets(name))
