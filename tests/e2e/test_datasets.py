"""Datasets and label sets over HTTP, and what may be asked of analyses beside their reports."""

import hashlib
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.e2e.processes import processes_of
from tests.e2e.samples import Sample, npy

SAMPLE = Sample(seed=11)
PUBLISHED = {"method": "reference"}
WAIT = {"Prefer": "wait=30"}
DATASET = {"x": ("x", npy(SAMPLE.x)), "y": ("y", npy(SAMPLE.y))}
LABELS = {"labels": ("labels", SAMPLE.labels_csv()), "rows": ("rows", npy(SAMPLE.rows))}


def created(http, **parts) -> dict:
    answer = http.post("/v1/datasets", files=DATASET | {name: (name, content) for name, content in parts.items()})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return answer.json()


def labeled(http, dataset: dict, files=LABELS, **data) -> dict:
    answer = http.post(dataset["links"]["label_sets"], files=files, data=data)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return answer.json()


def refused(answer, status: int, code: str) -> str:
    """The detail of an answer that has to be this problem."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


def test_a_dataset_is_described_with_shapes_digests_and_expiry(http):
    dataset = created(http, covariates=b"depth\n" + b"".join(b"%d.5\n" % i for i in range(120)))
    assert (dataset["state"], dataset["missing_parts"], dataset["n_pairs"]) == ("ready", [], 120)
    assert dataset["x"] == {
        "shape": [120, 6],
        "dtype": "float32",
        "size_bytes": len(DATASET["x"][1]),
        "sha256": hashlib.sha256(DATASET["x"][1]).hexdigest(),
        "format": "npy",
        "understood": None,
    }
    assert (dataset["groups"], dataset["covariate_types"]) == (None, {"depth": "numeric"})
    assert dataset["created_at"] < dataset["expires_at"]
    assert http.get(dataset["links"]["self"]).json() == dataset


def test_several_label_sets_over_one_dataset_give_the_reports_of_single_uploads(http):
    dataset = created(http)
    by_kind = labeled(http, dataset)
    by_score = labeled(http, dataset, {"labels": ("l", npy(SAMPLE.score)), "rows": LABELS["rows"]})
    assert (by_kind["n_labeled"], by_kind["label_types"]) == (60, {"kind": "categorical", "score": "numeric"})
    listed = http.get(dataset["links"]["label_sets"]).json()
    assert {item["id"] for item in listed["items"]} == {by_kind["id"], by_score["id"]}
    assert http.get(by_score["links"]["self"]).json() == by_score
    for label_set, files in (
        (by_kind, LABELS),
        (by_score, {"labels": ("l", npy(SAMPLE.score)), "rows": LABELS["rows"]}),
    ):
        asked = {"dataset_id": dataset["id"], "label_set_id": label_set["id"], "options": PUBLISHED}
        stored = http.post("/v1/analyses", json=asked, headers=WAIT).json()
        assert (stored["dataset_id"], stored["label_set_id"]) == (dataset["id"], label_set["id"])
        single = http.post(
            "/v1/analyses", files=DATASET | files, data={"options": json.dumps(PUBLISHED)}, headers=WAIT
        ).json()
        assert single["dataset_id"] != dataset["id"]
        assert http.get(single["links"]["dataset"]).json()["x"] == dataset["x"]
        assert http.get(single["links"]["label_set"]).json()["labels"] == label_set["labels"]
        assert single["inputs"] == stored["inputs"]
        reports = [http.get(analysis["links"]["report"]).json() for analysis in (stored, single)]
        assert reports[0] | {"timings": None} == reports[1] | {"timings": None}


def test_an_opened_dataset_is_filled_part_by_part(http):
    parts = {"parts": ["x", "y", "groups"]}
    opened = http.post("/v1/datasets", json=parts)
    assert opened.status_code == 201
    dataset = opened.json()
    assert (dataset["state"], dataset["missing_parts"], dataset["n_pairs"]) == ("open", ["x", "y", "groups"], None)
    address = dataset["links"]["self"]
    refused(http.post(f"{address}/label-sets", files=LABELS), 409, "dataset_incomplete")
    asked = {"dataset_id": dataset["id"], "label_set_id": "ls-" + "0" * 32}
    assert "lacks x, y, groups" in refused(http.post("/v1/analyses", json=asked), 409, "dataset_incomplete")
    assert (
        "its parts are x, y, groups" in refused(http.put(f"{address}/z", content=b"1"), 422, "invalid_request").lower()
    )
    refused(http.put(f"{address}/x", content=b"\x00not an array"), 422, "unknown_format")
    assert http.put(f"{address}/y", content=DATASET["y"][1]).json()["missing_parts"] == ["x", "groups"]
    groups = npy(np.arange(120) // 3)
    assert http.put(f"{address}/groups", content=groups).json()["missing_parts"] == ["x"]
    refused(http.put(f"{address}/x", content=npy(SAMPLE.x[:-1])), 422, "unpaired_rows")
    assert http.get(address).json()["missing_parts"] == ["x"], "what does not go with the others is not kept"
    ready = http.put(f"{address}/x", content=DATASET["x"][1]).json()
    assert (ready["state"], ready["n_pairs"], ready["missing_parts"]) == ("ready", 120, [])
    assert ready["expires_at"] > dataset["expires_at"]
    assert http.put(f"{address}/x", content=DATASET["x"][1]).json() == ready, "a repeated call changes nothing"
    refused(http.put(f"{address}/x", content=npy(SAMPLE.x + 1)), 409, "dataset_immutable")
    label_set = labeled(http, ready)
    asked = {"dataset_id": ready["id"], "label_set_id": label_set["id"]}
    analysis = http.post("/v1/analyses", json=asked, headers=WAIT).json()
    assert http.get(analysis["links"]["report"]).json()["data"]["n_groups"] == 40


def test_parts_may_come_at_the_same_time(http):
    address = http.post("/v1/datasets", json={}).json()["links"]["self"]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda part: http.put(f"{address}/{part}", content=DATASET[part][1]), ("x", "y")))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert http.get(address).json()["state"] == "ready"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"y": npy(SAMPLE.y[:-1])}, "unpaired_rows"),
        ({"groups": npy(np.arange(7))}, "group_count_mismatch"),
        ({"covariates": npy(np.arange(120))}, "covariate_type_required"),
        ({"labels": b"a\n1.5\n"}, "invalid_request"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_and_leaves_nothing(http, running, files, code):
    before = running.stored()
    refused(http.post("/v1/datasets", files=DATASET | {name: (name, file) for name, file in files.items()}), 422, code)
    assert running.stored() == before
    assert running.received() == []


@pytest.mark.parametrize(
    ("files", "data", "code"),
    [
        ({"labels": npy(np.arange(60) % 3), "rows": npy(SAMPLE.rows)}, {}, "label_type_required"),
        ({"labels": npy(SAMPLE.score)}, {}, "label_count_mismatch"),
        ({"labels": npy(SAMPLE.score), "rows": npy(SAMPLE.rows + 100)}, {}, "label_row_out_of_range"),
        ({"labels": npy(SAMPLE.score), "rows": npy(SAMPLE.rows)}, {"label_types": "weird"}, "invalid_option"),
        ({"rows": npy(SAMPLE.rows)}, {}, "invalid_request"),
    ],
)
def test_labels_that_do_not_go_with_the_dataset_are_refused(http, files, data, code):
    dataset = created(http)
    sent = {name: (name, file) for name, file in files.items()}
    refused(http.post(dataset["links"]["label_sets"], files=sent, data=data), 422, code)
    assert http.get(dataset["links"]["label_sets"]).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("types", ["categorical", '"categorical"', '{"label_0": "categorical"}'])
def test_types_are_one_word_or_json(http, types):
    files = {"labels": ("l", npy(np.arange(60) % 3)), "rows": LABELS["rows"]}
    assert labeled(http, created(http), files, label_types=types)["label_types"] == {"label_0": "categorical"}


def test_too_few_groups_among_the_labeled_pairs_are_found_when_labels_come(http):
    dataset = created(http, groups=npy(np.where(np.isin(np.arange(120), SAMPLE.rows), 0, np.arange(120) + 1)))
    refused(http.post(dataset["links"]["label_sets"], files=LABELS), 422, "too_few_groups")


def test_a_label_set_of_another_dataset_is_refused(http):
    label_set, other = labeled(http, created(http)), created(http)
    asked = {"dataset_id": other["id"], "label_set_id": label_set["id"]}
    assert label_set["dataset_id"] in refused(http.post("/v1/analyses", json=asked), 422, "label_set_mismatch")


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"dataset_id": "ds-1"}, "invalid_request", "Field label_set_id is missing"),
        ({"options": {"rule": "magic"}}, "invalid_option", "options.rule"),
        ({"options": {"n_components": 1}}, "invalid_option", "from 2 to 500"),
        ({"options": {"label_types": "numeric"}}, "invalid_option", "options.label_types"),
        ({"metadata": {"a b": "c"}}, "invalid_metadata", "cannot be a name"),
        ({"metadata": {"team": 1}}, "invalid_metadata", "metadata.team"),
        ({"metadata": {"team": "a\nb"}}, "invalid_metadata", "not printable"),
        ({"metadata": {f"k{i}": "v" for i in range(17)}}, "invalid_metadata", "at most 16"),
        ({"colour": 1}, "invalid_request", "colour"),
    ],
)
def test_json_that_asks_for_something_else_is_refused(http, asked, code, message):
    ids = {"dataset_id": "ds-" + "0" * 32, "label_set_id": "ls-" + "0" * 32}
    answer = http.post("/v1/analyses", json=asked if asked == {"dataset_id": "ds-1"} else ids | asked)
    assert message in refused(answer, 422, code)


def test_a_value_of_no_kind_is_told_of_every_kind(http):
    asked = {"parts": ["x", "y", "covariates"], "covariate_types": "weird"}
    detail = refused(http.post("/v1/datasets", json=asked), 422, "invalid_request")
    assert "should be an object" in detail
    assert "'categorical' or 'numeric'" in detail


def test_bodies_of_other_kinds_are_refused(http):
    for address, content_type in (
        ("/v1/datasets", "text/plain"),
        ("/v1/analyses", "application/x-www-form-urlencoded"),
        (f"{created(http)['links']['label_sets']}", "application/json"),
    ):
        answer = http.post(address, content=b"{}", headers={"Content-Type": content_type})
        assert "Content-Type" in refused(answer, 415, "unsupported_media_type")
    refused(
        http.post("/v1/datasets", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid_request"
    )
    large = json.dumps({"parts": ["x"], "covariate_types": {"a" * 2_000_000: "numeric"}}).encode()
    refused(
        http.post("/v1/datasets", content=large, headers={"Content-Type": "application/json"}), 413, "body_too_large"
    )


@pytest.mark.parametrize("kind", ["datasets", "label-sets"])
@pytest.mark.parametrize("name", ["ds-" + "0" * 32, "ls-" + "f" * 32, "..%2F..%2Fetc", "nonsense"])
def test_unknown_datasets_and_label_sets_are_not_found(http, kind, name):
    code = "dataset_not_found" if kind == "datasets" else "label_set_not_found"
    for method in ("GET", "DELETE"):
        answer = http.request(method, f"/v1/{kind}/{name}")
        assert answer.status_code == 404
        assert answer.json()["code"] in (code, "not_found")


def test_reports_outlive_their_dataset(http):
    dataset = created(http)
    label_set = labeled(http, dataset)
    asked = {"dataset_id": dataset["id"], "label_set_id": label_set["id"], "options": PUBLISHED}
    analysis = http.post("/v1/analyses", json=asked, headers=WAIT).json()
    assert http.delete(label_set["links"]["self"]).status_code == 204
    refused(http.post("/v1/analyses", json=asked), 404, "label_set_not_found")
    assert http.delete(dataset["links"]["self"]).status_code == 204
    refused(http.get(dataset["links"]["self"]), 404, "dataset_not_found")
    refused(http.post("/v1/analyses", json=asked), 404, "dataset_not_found")
    assert http.get(analysis["links"]["report"]).status_code == 200
    assert http.get(analysis["links"]["self"]).json() == analysis
    assert http.delete(analysis["links"]["self"]).status_code == 204
    for address in (analysis["links"]["self"], analysis["links"]["report"]):
        refused(http.get(address), 404, "analysis_not_found")
    refused(http.delete(analysis["links"]["self"]), 404, "analysis_not_found")


def test_analyses_are_listed_newest_first_by_state_and_metadata(http):
    dataset = created(http)
    label_set = labeled(http, dataset)
    asked = {"dataset_id": dataset["id"], "label_set_id": label_set["id"], "options": PUBLISHED}
    ids = []
    for number in range(5):
        metadata = {"list-test": "yes", "parity": "even" if number % 2 == 0 else "odd"}
        ids.append(http.post("/v1/analyses", json=asked | {"metadata": metadata}, headers=WAIT).json()["id"])
    failing = npy(np.ones((120, 3)))
    metadata = json.dumps({"list-test": "yes"})
    sent = http.post(
        "/v1/analyses", files=DATASET | LABELS | {"x": ("x", failing)}, data={"metadata": metadata}, headers=WAIT
    )
    assert sent.json()["metadata"] == {"list-test": "yes"}
    ids.append(sent.json()["id"])

    def listed(**query) -> list[str]:
        found, cursor = [], None
        while True:
            params = {"metadata.list-test": "yes", **query} | ({"cursor": cursor} if cursor else {})
            page = http.get("/v1/analyses", params=params).json()
            found += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    assert listed() == ids[::-1]
    assert listed(limit=2) == ids[::-1], "page by page"
    assert listed(state="failed") == [ids[5]]
    assert listed(state=["failed", "succeeded"]) == ids[::-1]
    assert listed(**{"metadata.parity": "even"}) == [ids[4], ids[2], ids[0]]
    assert listed(**{"metadata.parity": "other"}) == []
    assert listed(state="queued") == []
    first = http.get("/v1/analyses", params={"limit": 1}).json()
    assert len(first["items"]) == 1
    assert first["next_cursor"] == first["items"][0]["id"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_request"),
        ("limit=201", "invalid_request"),
        ("cursor=ds-1", "invalid_cursor"),
        ("state=lost", "invalid_request"),
        ("colour=red", "invalid_request"),
        ("metadata.a=1&metadata.a=2", "invalid_request"),
        ("metadata.=1", "invalid_metadata"),
        ("metadata.a%20b=1", "invalid_metadata"),
        (f"metadata.a={'v' * 513}", "invalid_metadata"),
        ("&".join(f"metadata.k{place}=v" for place in range(17)), "invalid_metadata"),
    ],
)
def test_lists_refuse_what_they_would_ignore(http, query, code):
    refused(http.get(f"/v1/analyses?{query}"), 422, code)


def test_datasets_are_listed_page_by_page(http):
    made = [created(http)["id"] for _ in range(3)]
    newest = http.get("/v1/datasets?limit=2").json()
    assert [item["id"] for item in newest["items"]] == made[:0:-1]
    older = http.get(f"/v1/datasets?limit=2&cursor={newest['next_cursor']}").json()
    assert older["items"][0]["id"] == made[0]


def test_limits_are_told(http):
    limits = http.get("/v1/limits").json()
    assert limits["data"]["min_pairs"] == 20
    too_few = {part: (part, npy(getattr(SAMPLE, part)[:19])) for part in ("x", "y")}
    refused(http.post("/v1/datasets", files=too_few), 422, "too_few_pairs")
    enough = {part: (part, npy(getattr(SAMPLE, part)[:20])) for part in ("x", "y")}
    assert http.post("/v1/datasets", files=enough).status_code == 201


def long_upload() -> dict:
    """Some seconds of work for one core."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3000, 200))
    y = x[:, :190] + rng.standard_normal((3000, 190))
    return {name: (name, npy(values)) for name, values in (("x", x), ("y", y), ("labels", x[:, :3]))}


def wait_for_state(http, address: str, state: str) -> dict:
    deadline = time.monotonic() + 30
    while (analysis := http.get(address).json())["state"] != state:
        assert time.monotonic() < deadline, analysis
        time.sleep(0.02)
    return analysis


def test_running_and_queued_analyses_are_cancelled_and_the_next_one_runs(own):
    import httpx2

    service = own("--workers", "1")
    with httpx2.Client(base_url=service.address, timeout=30) as http:
        upload = long_upload()
        first, second = (http.post("/v1/analyses", files=upload).json() for _ in range(2))
        wait_for_state(http, first["links"]["self"], "running")
        refused(http.delete(first["links"]["self"]), 409, "analysis_active")
        refused(http.delete(first["links"]["dataset"]), 409, "dataset_in_use")
        refused(http.delete(second["links"]["label_set"]), 409, "label_set_in_use")
        logged = service.data_dir.parent / f"{service.data_dir.name}.log"
        child = int(re.findall(r'"pid": (\d+), "event": "attempt_started"', logged.read_text())[-1])
        assert child in processes_of(service.process.pid)
        for analysis in (second, first, first):
            answer = http.post(f"{analysis['links']['self']}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
            assert answer.json()["error"] is None
        deadline = time.monotonic() + 10
        while child in processes_of(service.process.pid):
            assert time.monotonic() < deadline, "the attempt goes on"
            time.sleep(0.02)
        assert "cancelled" in refused(http.get(first["links"]["report"]), 409, "no_report")
        assert [item["id"] for item in http.get("/v1/analyses?state=cancelled").json()["items"]] == [
            second["id"],
            first["id"],
        ]
        data = {"options": json.dumps(PUBLISHED)}
        third = http.post("/v1/analyses", files=DATASET | LABELS, data=data, headers=WAIT).json()
        assert third["state"] == "succeeded"
        late = http.post(f"{third['links']['self']}/cancel")
        assert (late.status_code, late.json()["state"]) == (202, "succeeded")
        assert http.get(third["links"]["report"]).status_code == 200
        for address in (first["links"]["self"], first["links"]["dataset"], second["links"]["label_set"]):
            assert http.delete(address).status_code == 204


def test_cancelling_what_does_not_exist_is_not_found(http):
    refused(http.post(f"/v1/analyses/an-{'0' * 32}/cancel"), 404, "analysis_not_found")
