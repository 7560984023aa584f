"""What the framework refuses is told as completely as what we refuse."""

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("/v1/datasets", "GET, POST"),
        ("/v1/datasets/ds-1", "DELETE, GET"),
        ("/v1/datasets/ds-1/x", "PUT"),
        ("/v1/datasets/ds-1/label-sets", "GET, POST"),
        ("/v1/analyses/an-1/cancel", "POST"),
        ("/healthz", "GET"),
    ],
)
def test_allow_names_every_method_that_an_address_takes(tmp_path, address, allowed):
    app = create_app(Settings(data_dir=tmp_path / "data", redis_url=f"unix://{tmp_path}/nothing.sock"))
    with TestClient(app, "http://127.0.0.1") as http:
        answer = http.options(address)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
