"""Who comes in: keys and scopes on every route, hosts, origins, the audit log, what browsers are told."""

import re
from base64 import b64encode
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256

import pytest
import yaml
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.routing import Mount
from structlog.testing import capture_logs

from service.access.administration import create_key, revoke_key
from service.access.callers import OPEN, OPEN_FOLDER, demanded
from service.access.keys import id_in
from service.api.admission import resource_of
from service.api.app import create_app
from service.api.describing import ID_EXAMPLES
from service.api.description import description_yaml
from service.api.observation import observed
from service.settings import Settings
from service.wiring import open_keys

HERE = "http://127.0.0.1:8000"
APP = create_app(Settings())
DECIDED = {
    ("GET", "/docs"): "open",
    ("GET", "/docs/oauth2-redirect"): "open",
    ("GET", "/docs/files/{path}"): "open",
    ("GET", "/openapi.json"): "open",
    ("HEAD", "/openapi.json"): "open",
    ("GET", "/healthz"): "open",
    ("HEAD", "/healthz"): "open",
    ("GET", "/readyz"): "open",
    ("HEAD", "/readyz"): "open",
    ("GET", "/metrics"): "admin",
    ("GET", "/v1/limits"): "read",
    ("POST", "/v1/model/separation"): "read submit",
    ("POST", "/v1/model/phase-diagram"): "read submit",
    ("POST", "/v1/model/simulation"): "submit",
    ("GET", "/v1/datasets"): "read",
    ("POST", "/v1/datasets"): "submit",
    ("GET", "/v1/datasets/{dataset_id}"): "read",
    ("DELETE", "/v1/datasets/{dataset_id}"): "submit",
    ("PUT", "/v1/datasets/{dataset_id}/{part}"): "submit",
    ("GET", "/v1/datasets/{dataset_id}/label-sets"): "read",
    ("POST", "/v1/datasets/{dataset_id}/label-sets"): "submit",
    ("GET", "/v1/label-sets/{label_set_id}"): "read",
    ("DELETE", "/v1/label-sets/{label_set_id}"): "submit",
    ("GET", "/v1/analyses"): "read",
    ("POST", "/v1/analyses"): "submit",
    ("GET", "/v1/analyses/{analysis_id}"): "read",
    ("DELETE", "/v1/analyses/{analysis_id}"): "submit",
    ("GET", "/v1/analyses/{analysis_id}/report"): "read",
    ("GET", "/v1/analyses/{analysis_id}/events"): "read",
    ("POST", "/v1/analyses/{analysis_id}/cancel"): "submit",
    ("POST", "/v1/analyses/{analysis_id}/gate"): "submit",
    ("GET", "/v1/webhooks"): "read",
    ("POST", "/v1/webhooks"): "submit",
    ("GET", "/v1/webhooks/{webhook_id}"): "read",
    ("DELETE", "/v1/webhooks/{webhook_id}"): "submit",
    ("POST", "/v1/webhooks/{webhook_id}/rotate"): "submit",
    ("POST", "/v1/webhooks/{webhook_id}/test"): "submit",
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): "read",
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"): "submit",
    ("GET", "/v1/decisions"): "read",
    ("GET", "/v1/decisions/{decision_id}"): "read",
    ("GET", "/v1/policies"): "read",
    ("POST", "/v1/policies"): "submit",
    ("GET", "/v1/policies/{name}"): "read",
    ("GET", "/v1/policies/{name}/versions/{version}"): "read",
}
"""Which scopes each call demands one of.  A new call fails the test until somebody has decided."""


def routes() -> set[tuple[str, str]]:
    """Every method and route of the application, however it got there."""
    found = set()
    for route in iter_route_contexts(APP.routes):
        path = getattr(route, "path", None) or route.original_route.path
        if isinstance(route.original_route, Mount):
            found.add(("GET", f"{path}/{{path}}"))
        else:
            found |= {(method, path) for method in route.methods}
    return found


def filled_in(path: str) -> str:
    return path.format(part="x", path="swagger-ui.css", name="alignment", version=1, **ID_EXAMPLES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@contextmanager
def service(folder, **settings):
    """The application as it is served; the queue is away."""
    chosen = Settings(data_dir=folder / "data", redis_url=f"unix://{folder}/nothing.sock", **settings)
    with TestClient(observed(create_app(chosen)), HERE, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(folder):
    with service(folder, require_keys=True) as client:
        yield client


@pytest.fixture(scope="module")
def free(folder):
    with service(folder) as client:
        yield client


@pytest.fixture(scope="module")
def keys(folder, guarded):
    """A key for each scope, by its name."""
    kept = open_keys(Settings(data_dir=folder / "data"))
    return {scope: create_key(kept, scope, "default", [scope], None) for scope in ("read", "submit", "admin")}


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_route_has_been_decided_on():
    found = routes()
    assert found == set(DECIDED)
    assert {key: " ".join(sorted(demanded(key[0], filled_in(key[1])))) or "open" for key in found} == DECIDED
    assert {path for _, path in found if not path.startswith(("/v1/", "/metrics"))} == {*OPEN, f"{OPEN_FOLDER}{{path}}"}


@pytest.mark.parametrize(("method", "path"), sorted(DECIDED))
def test_a_call_is_open_or_lets_in_whoever_has_its_scope_and_nobody_else(guarded, keys, method, path):
    address, scopes = filled_in(path), DECIDED[method, path].split()
    without = guarded.request(method, address)
    if scopes == ["open"]:
        assert without.status_code in (200, 503)
        return
    assert (without.status_code, without.json()["code"]) == (401, "unauthenticated")
    assert without.headers["WWW-Authenticate"] == "Bearer"
    for scope, key in keys.items():
        answer = guarded.request(method, address, headers=bearing(key))
        if scope in scopes:
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert all(f"`{missing}`" in answer.json()["detail"] for missing in scopes)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "BREW"])
def test_methods_that_no_call_takes_are_no_way_in(guarded, method):
    for path in ("/v1/analyses", "/metrics", "/nothing"):
        assert guarded.request(method, path).status_code == 401


def test_every_key_that_does_not_count_gets_the_same_answer(guarded, keys, folder):
    kept = open_keys(Settings(data_dir=folder / "data"))
    expired = create_key(kept, "expired", "default", ["read"], timedelta(microseconds=1))
    revoked = create_key(kept, "revoked", "default", ["read"], None)
    revoke_key(kept, id_in(revoked))
    real = keys["read"]
    answers = [
        guarded.get("/v1/limits", headers=headers)
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic " + b64encode(f"user:{real}".encode()).decode()},
            {"Authorization": real},
            bearing("pg_" + "0" * 12 + "_" + "0" * 64),
            bearing(real[:-64] + "0" * 64),
            bearing(real + "x"),
            bearing(f"{real} {real}"),
            bearing(expired),
            bearing(revoked),
            [("Authorization", f"Bearer {real}"), ("Authorization", f"Bearer {real}")],
            {"X-API-Key": real},
            {"Cookie": f"Authorization=Bearer {real}"},
        )
    ]
    answers.append(guarded.get("/v1/limits", params={"api_key": real, "access_token": real}))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    heads = [{k: v for k, v in answer.headers.items() if k != "x-request-id"} for answer in answers]
    assert all(head == heads[0] for head in heads)


def test_a_body_is_not_read_of_who_may_not_send_it(guarded):
    head = {"Content-Type": "application/json", "Content-Length": "5000000000"}
    sent = []

    async def receive():
        sent.append(1)
        return {"type": "http.request", "body": b"", "more_body": True}

    answered = []

    async def send(message):
        answered.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in head.items()] + [(b"host", b"127.0.0.1")]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/model/separation", "raw_path": b"", "query_string": b"",
        "headers": raw, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "root_path": "",
        "http_version": "1.1",
    }  # fmt: skip
    guarded.portal.call(guarded.app, scope, receive, send)
    assert answered[0]["status"] == 401
    assert sent == []


def test_the_description_says_what_each_call_demands():
    description = yaml.safe_load(description_yaml(APP))
    assert description["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            scopes = DECIDED[method.upper(), path].split()
            if scopes == ["open"]:
                assert operation["security"] == []
                assert not {"401", "403"} & set(operation["responses"])
            else:
                assert operation["security"] == [*({"api_key": [scope]} for scope in scopes), {}]
                assert {"401", "403", "503"} <= set(operation["responses"])
            assert "421" in operation["responses"]


def test_without_keys_anyone_on_this_machine_may_come_in_whatever_he_shows(free):
    for headers in ({}, bearing("nonsense"), {"Authorization": "Basic eDp5"}):
        assert free.get("/v1/datasets", headers=headers).json() == {"items": [], "next_cursor": None}
    assert free.get("/metrics").status_code == 200


@pytest.mark.parametrize("path", ["/v1/limits", "/healthz", "/docs", "/metrics", "/nothing"])
def test_a_page_whose_name_leads_here_gets_nothing(free, path):
    answer = free.get(path, headers={"Host": "evil.example:8000"})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")
    assert answer.headers["content-type"] == "application/problem+json"
    assert free.get("/v1/limits", headers={"Host": "localhost:8000"}).status_code == 200


def test_a_form_of_another_sites_page_changes_nothing(free):
    form = {"files": {"x": b"x"}}
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("/v1/datasets", "/v1/analyses", "/nothing"):
            answer = free.post(path, headers=headers, **form)
            assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
        assert free.get("/v1/datasets", headers=headers).status_code == 200
    own = free.post("/v1/datasets", json={}, headers={"Origin": HERE, "Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 201
    assert free.delete(own.headers["Location"]).status_code == 204


def test_no_other_site_is_allowed_to_read_anything(free, guarded, keys):
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        free.options("/v1/analyses", headers=preflight),
        free.get("/v1/limits", headers={"Origin": "http://evil.example"}),
        free.post("/v1/analyses", headers={"Origin": "http://evil.example"}),
        guarded.options("/v1/analyses", headers=preflight),
        guarded.get("/v1/limits", headers={**bearing(keys["read"]), "Origin": "http://evil.example"}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_every_answer_tells_browsers_what_to_do_with_it(free, guarded, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("service.analyses.lifecycle.describe", broken)
    answers = {
        200: free.get("/v1/limits"),
        401: guarded.get("/v1/limits"),
        403: free.post("/v1/analyses", headers={"Origin": "null"}),
        404: free.get("/nothing"),
        405: free.put("/v1/analyses"),
        421: free.get("/v1/limits", headers={"Host": "evil.example"}),
        422: free.get("/v1/analyses", params={"colour": "red"}),
        503: free.get("/readyz"),
    }
    with capture_logs():  # a traceback takes seconds to draw
        answers[500] = free.get(f"/v1/analyses/{ID_EXAMPLES['analysis_id']}")
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "server" not in answer.headers
        assert answer.headers.get("Cache-Control") == (
            "no-store" if answer.request.url.path.startswith("/v1/") else None
        )
        assert answer.headers["X-Request-ID"]


def directives(policy: str) -> dict[str, list[str]]:
    return {part.split()[0]: part.split()[1:] for part in policy.split(";")}


def test_the_page_of_the_calls_may_run_its_own_files_and_its_one_script(guarded):
    page = guarded.get("/docs")
    allowed = directives(page.headers["Content-Security-Policy"])
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert allowed["script-src"] == ["'self'", f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"]
    assert allowed["connect-src"] == ["'self'"]
    kinds = {"script": "script-src", "link": "style-src", "img": "img-src"}
    needed = re.findall(r"<(script|link|img)[^>]* (?:src|href)=\"([^\"]+)\"", page.text)
    assert len(needed) >= 3
    for tag, address in needed:
        assert address.startswith("/docs/files/"), "what 'self' allows"
        directive = "img-src" if address.endswith(".png") else kinds[tag]
        assert "'self'" in allowed[directive]
        assert guarded.get(address).status_code == 200
    assert not re.findall(r"\son\w+=|javascript:", page.text), "no script in attributes, which no digest allows"
    assert guarded.head("/docs").status_code in (200, 405)
    assert guarded.get("/openapi.json").status_code == 200


def test_the_audit_log_says_who_did_what_and_who_was_refused(guarded, keys, folder):
    head = bearing(keys["submit"]) | {"X-Request-ID": "nightly-42"}
    opened = []
    wrong = bearing(keys["read"][:-64] + "0" * 64)
    with capture_logs() as lines:
        opened.append(guarded.post("/v1/datasets", json={}, headers=head).json()["id"])
        guarded.delete(f"/v1/datasets/{opened[0]}", headers=head)
        guarded.get("/v1/datasets", headers=bearing(keys["read"]))
        guarded.delete(f"/v1/datasets/{opened[0]}", headers=bearing(keys["read"]))
        guarded.get("/v1/datasets", headers=wrong)
        guarded.get("/v1/datasets/x%1B%5B2J", headers={"X-Forwarded-For": "203.0.113.9"})
        guarded.get("/healthz")
    found = [line for line in lines if line["event"] == "audit"]
    submit = {"key_id": id_in(keys["submit"]), "key_name": "submit", "tenant": "default", "client": "testclient"}
    reader, nobody = id_in(keys["read"]), {"key_name": None, "tenant": None, "client": "testclient"}
    expected = [
        {"action": "POST /v1/datasets", "resource": opened[0], "status": 201} | submit,
        {"action": "DELETE /v1/datasets/{dataset_id}", "resource": opened[0], "status": 204} | submit,
        {"action": "DELETE /v1/datasets/{dataset_id}", "resource": opened[0], "status": 403, "key_id": reader} | nobody,
        {"action": "GET /v1/datasets", "resource": None, "status": 401, "key_id": reader} | nobody,
        {"action": "GET /v1/datasets/{dataset_id}", "resource": "x%1B%5B2J", "status": 401, "key_id": None} | nobody,
    ]
    assert [{name: line[name] for name in expected[0]} for line in found] == expected
    for key in keys.values():
        assert key.rpartition("_")[2] not in str(lines)


def test_a_call_of_anyone_is_audited_too(free):
    with capture_logs() as lines:
        free.post("/v1/model/separation", json={})
    (found,) = [line for line in lines if line["event"] == "audit"]
    assert (found["key_name"], found["tenant"], found["status"]) == ("anyone", "default", 422)


@pytest.mark.parametrize(
    ("route", "path", "location", "resource"),
    [
        ("/v1/analyses", "/v1/analyses", "/v1/analyses/an-1", "an-1"),
        ("/v1/analyses/{analysis_id}/gate", "/v1/analyses/an-1/gate", "/v1/decisions/de-1", "de-1"),
        ("/v1/analyses/{analysis_id}/gate", "/v1/analyses/an-1/gate", None, "an-1"),
        ("/v1/policies", "/v1/policies", "/v1/policies/mine/versions/2", "mine/versions/2"),
        ("/v1/policies", "/v1/policies", None, None),
    ],
)
def test_the_audit_log_names_what_a_call_is_about(route, path, location, resource):
    assert resource_of(route, path, location) == resource


def test_making_and_revoking_a_key_are_audited(tmp_path):
    kept = open_keys(Settings(data_dir=tmp_path))
    with capture_logs() as lines:
        shown = create_key(kept, "ci", "vision", ["read", "submit"], None)
        revoke_key(kept, id_in(shown))
    assert [(line["action"], line["resource"], line["name"], line["tenant"]) for line in lines] == [
        ("keys create", id_in(shown), "ci", "vision"),
        ("keys revoke", id_in(shown), "ci", "vision"),
    ]
    assert shown.rpartition("_")[2] not in str(lines)


def test_a_service_that_requires_keys_and_has_none_starts_and_says_how_to_make_one(tmp_path):
    with capture_logs() as lines, service(tmp_path, require_keys=True) as client:
        assert client.get("/v1/limits").status_code == 401
        assert client.get("/healthz").status_code == 200
        shown = create_key(open_keys(Settings(data_dir=tmp_path / "data")), "first", "default", ["read"], None)
        assert client.get("/v1/limits", headers=bearing(shown)).status_code == 200
    (found,) = [line for line in lines if line["event"] == "no_keys"]
    assert "phasegate keys create" in found["advice"]


def test_a_store_of_keys_that_is_away_lets_nobody_in(tmp_path):
    with service(tmp_path, require_keys=True) as client:
        shown = create_key(open_keys(Settings(data_dir=tmp_path / "data")), "a", "default", ["read"], None)
        record = tmp_path / f"data/keys/{id_in(shown)}.json"
        record.unlink()
        record.symlink_to(record)  # an error of the file system, whoever reads it
        answer = client.get("/v1/limits", headers=bearing(shown))
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.headers["Retry-After"]
