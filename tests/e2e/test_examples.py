"""Every example of openapi.yaml is sent as it stands there, and answered as it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.describing import ID_EXAMPLES
from tests.e2e.samples import Sample, npy

DESCRIPTION = yaml.safe_load((Path(__file__).parents[2] / "openapi.yaml").read_text(encoding="utf-8"))
SAMPLE = Sample()
FILES = {
    "x.npy": npy(SAMPLE.x),
    "y.npy": npy(SAMPLE.y),
    "labels.csv": b"kind\n" + "\n".join(SAMPLE.kind).encode() + b"\n",
    "rows.npy": npy(SAMPLE.rows),
}


def examples() -> list[Any]:
    """Every body example of every operation; an operation without a body once."""
    found = []
    for path, operations in DESCRIPTION["paths"].items():
        for method, operation in operations.items():
            contents = operation.get("requestBody", {}).get("content", {None: {"examples": {"": {"value": None}}}})
            for media_type, content in contents.items():
                for name, example in content["examples"].items():
                    label = f"{method} {path} {name}".strip()
                    found.append(pytest.param(method, path, media_type, example["value"], id=label))
    return found


@pytest.fixture
def ids(http) -> Iterator[dict[str, str]]:
    """A ready dataset, a label set of it, a finished analysis of both and a decision; an open dataset for `part`; a
    webhook with a delivery.
    """
    options = json.dumps({"method": "reference", "label_types": "categorical"})
    upload = {part: (part, FILES[name]) for part, name in (("x", "x.npy"), ("y", "y.npy"), ("labels", "labels.csv"))}
    upload["rows"] = ("rows", FILES["rows.npy"])
    answer = http.post("/v1/analyses", files=upload, data={"options": options}, headers={"Prefer": "wait=30"})
    analysis = answer.json()
    assert analysis["state"] == "succeeded", analysis
    decision = http.post(f"/v1/analyses/{analysis['id']}/gate", json={"policy": "alignment"}).json()
    asked = {"url": "https://localhost:9/", "events": ["analysis.failed"]}
    webhook = http.post("/v1/webhooks", json=asked).json()
    yield {
        "dataset_id": analysis["dataset_id"],
        "label_set_id": analysis["label_set_id"],
        "analysis_id": analysis["id"],
        "decision_id": decision["id"],
        "webhook_id": webhook["id"],
        "delivery_id": http.post(f"/v1/webhooks/{webhook['id']}/test").json()["id"],
        "open": http.post("/v1/datasets", json={}).json()["id"],
    }
    http.delete(f"/v1/webhooks/{webhook['id']}")


def filled_in(text: str, ids: dict[str, str]) -> str:
    """The example with ids of this service in place of those that it names."""
    for name, example in ID_EXAMPLES.items():
        text = text.replace(example, ids[name])
    return text.replace("https://hooks.example.org/phasegate", "https://localhost:9/phasegate")


@pytest.mark.parametrize(("method", "path", "media_type", "example"), examples())
def test_every_example_is_answered_as_described(http, ids, method, path, media_type, example):
    operation = DESCRIPTION["paths"][path][method]
    if "{part}" in path:
        ids = ids | {"dataset_id": ids["open"]}
    address, query = path, {}
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            (value,) = parameter["schema"].get("examples") or parameter["examples"]
            address = address.replace(f"{{{parameter['name']}}}", filled_in(str(value), ids))
        elif "examples" in parameter:
            for named in parameter["examples"].values():
                query |= named["value"]
    body: dict[str, Any] = {}
    match media_type:
        case "application/json":
            body = {"json": json.loads(filled_in(json.dumps(example), ids))}
        case "application/yaml":
            body = {"content": example, "headers": {"Content-Type": media_type}}
        case "application/octet-stream":
            body = {"content": FILES[example]}
        case "multipart/form-data":
            body = {
                "files": {part: (value, FILES[value]) for part, value in example.items() if value in FILES},
                "data": {part: value for part, value in example.items() if value not in FILES},
            }
    answer = http.request(method, address, params=query, **body)
    assert answer.is_success, answer.text
    described = operation["responses"].get(str(answer.status_code))
    assert described, f"{answer.status_code} is not described"
    for header in described.get("headers", {}):
        if header not in ("Idempotent-Replayed", "Preference-Applied", "Retry-After"):
            assert header in answer.headers
    if "application/json" in described.get("content", {}):
        assert answer.headers["content-type"] == "application/json"
    else:
        assert answer.content == b"" or "application/json" not in answer.headers["content-type"]


def test_no_id_of_an_example_is_one_of_this_service(http):
    addresses = ("datasets", "label-sets", "analyses", "decisions", "webhooks", None)
    for name, address in zip(ID_EXAMPLES, addresses, strict=True):
        if address is None:  # a delivery has none of its own
            continue
        assert http.get(f"/v1/{address}/{ID_EXAMPLES[name]}").status_code == 404
