"""Query strings: every call refuses what it does not describe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.api.describing import ID_EXAMPLES
from service.api.description import description_yaml
from service.settings import Settings

PATHS = yaml.safe_load(description_yaml(create_app(Settings())))["paths"]
CALLS = [(method, path) for path, operations in PATHS.items() if path.startswith("/v1/") for method in operations]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The application with its store; the queue is away."""
    folder = tmp_path_factory.mktemp("api")
    settings = Settings(
        data_dir=folder / "data", redis_url=f"unix://{folder}/nothing.sock", allowed_hosts="elsewhere.example"
    )
    app = create_app(settings)
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_parameter_that_does_not_exist_is_refused_by_every_call(http, method, path):
    address = path.format(part="x", name="alignment", version=1, **ID_EXAMPLES)
    body = {"json": {}} if method == "post" else {}
    answer = http.request(method, address, params={"colour": "red"}, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["detail"].startswith("There is no query parameter 'colour'. This call takes ")
    assert answer.json()["part"] == "colour"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=1&limit=2", "'limit' is given 2 times"),
        ("limit=1&limit=1", "'limit' is given 2 times"),
        ("cursor=a&cursor=b", "'cursor' is given 2 times"),
        ("metadata=1", "This call takes cursor, limit, metadata.<name>, state."),
        ("state[]=queued", "no query parameter 'state[]'"),
        ("c%20" * 50 + "=1", "no query parameter"),
    ],
)
def test_a_list_refuses_what_it_takes_once_or_not_at_all(http, query, words):
    answer = http.get(f"/v1/analyses?{query}")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 200


@pytest.mark.parametrize("query", ["state=queued&state=running", "metadata.run=1&metadata.team=2&limit=3", ""])
def test_a_list_takes_what_it_describes(http, query):
    assert http.get(f"/v1/analyses?{query}").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_machines_that_add_a_parameter_are_answered(http, path):
    assert http.get(f"{path}?cache=no").status_code == 200


@pytest.mark.parametrize("path", ["/v1/analyses/", "/v1/limits/", "/healthz/"])
def test_a_slash_at_the_end_leads_nowhere(http, path):
    """A redirect would lead to whatever host the request names."""
    answer = http.get(path, headers={"Host": "elsewhere.example"}, follow_redirects=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["detail"] == "There is nothing at this address. /docs lists the calls."
