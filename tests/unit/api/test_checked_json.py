"""JSON that parsers would read differently, or that costs more than it says, is refused wherever it is sent."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.schemas.strict_json import MAX_DEPTH, MAX_VALUES, check_json
from service.settings import Settings
from tests.e2e.samples import Sample

JSON = {"Content-Type": "application/json"}


def names(count: int) -> str:
    """An object of so many distinct names, the last of which stands twice."""
    return "{" + "".join(f'"{number:x}":0,' for number in range(count)) + f'"{count - 1:x}":0}}'


CALLS = ["/v1/datasets", "/v1/analyses", "/v1/model/separation", "/v1/model/phase-diagram", "/v1/model/simulation"]
HOSTILE = [
    ('{"a": 1, "a": 2}', "invalid_request", "says 'a' twice"),
    ('{"o": {"\\u0061": 1, "a": 2}}', "invalid_request", "says 'a' twice"),
    ('{"a": NaN}', "json_number", "the number NaN"),
    ('{"a": [-Infinity]}', "json_number", "the number -Infinity"),
    ('{"a": 1e999}', "json_number", "the number 1e999"),
    ('{"a": ' + "9" * 5000 + "}", "json_number", "the number 9999"),
    ("[" * 100_000, "json_too_deep", "32 levels"),
    ('{"a":' * 40 + "1" + "}" * 40, "json_too_deep", "32 levels"),
    ("[" + "{}," * 300_000 + "{}]", "json_too_large", "20000 values"),
    # Comparing each name with all others would take minutes for the first of these, seconds for the second.
    (names(100_000), "json_too_large", "20000 values"),
    (names(MAX_VALUES - 1), "invalid_request", "says '4e1e' twice"),
    ('{"\\ud800": 1}', "invalid_request", "half of a character, \\ud800"),
    ('{"a": ["\\udc00x"]}', "invalid_request", "half of a character, \\udc00"),
]
NAMES = [
    "repeated",
    "repeated-escaped",
    "nan",
    "infinity",
    "overflow",
    "digits",
    "open",
    "deep",
    "many",
    "many-names",
    "many-names-one-repeated",
    "key",
    "value",
]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("api")
    app = create_app(Settings(data_dir=folder / "data", redis_url=f"unix://{folder}/nothing.sock"))
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("body", "code", "words"), HOSTILE, ids=NAMES)
def test_a_hostile_body_is_refused_by_every_call_that_takes_json(http, call, body, code, words):
    answer = http.post(call, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert words in answer.json()["detail"]
    assert answer.json()["part"] is None


@pytest.mark.parametrize("part", ["options", "metadata"])
@pytest.mark.parametrize(("body", "code", "words"), HOSTILE[:5], ids=NAMES[:5])
def test_hostile_texts_of_a_form_are_refused_alike(http, part, body, code, words):
    answer = http.post("/v1/analyses", files=Sample().files(), data={part: body})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert words in answer.json()["detail"]
    assert answer.json()["part"] == part


def test_hostile_types_of_a_label_set_are_refused_alike(http):
    sample = Sample()
    files = {part: file for part, file in sample.files().items() if part in ("x", "y")}
    dataset = http.post("/v1/datasets", files=files).json()["id"]
    labels = {part: file for part, file in sample.files().items() if part in ("labels", "rows")}
    types = '{"kind": "categorical", "kind": "numeric"}'
    answer = http.post(f"/v1/datasets/{dataset}/label-sets", files=labels, data={"label_types": types})
    assert (answer.status_code, answer.json()["part"]) == (422, "label_types")
    assert "says 'kind' twice" in answer.json()["detail"]


def test_what_is_within_bounds_passes_and_what_is_no_json_is_left_to_its_schema():
    check_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    check_json(json.dumps([1.5] * (MAX_VALUES - 1)))
    check_json('{"a": 1, "b": {"a": 1e308}, "c": "\\ud83d\\ude00", "d": 12345678901234567890}')
    for text in ("", "{", "nonsense", b"\x80{}", b"\xff\xfe"):
        check_json(text)


def test_a_million_small_values_cost_little_memory():
    body = ("[" + "{}," * 300_000 + "{}]").encode()
    tracemalloc.start()
    with pytest.raises(Exception, match="20000 values"):
        check_json(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000
