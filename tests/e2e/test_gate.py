"""May this run start?  Policies and decisions over HTTP, against the whole service."""

import json
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.estimation.record import as_dict, to_json
from service.gating.deciding import decide
from service.gating.figures import figures_of
from service.gating.presets import PRESETS
from service.schemas.analyses import REPORT
from service.schemas.policies import DecisionView, read_policy
from tests.e2e.samples import Sample
from tests.e2e.test_analyses import PUBLISHED, WAIT

POLICY = {
    "schema_version": "1.0",
    "planned": {"objective": "any"},
    "require": {"regimes": {"any_of": ["both", "cp_only"]}, "warnings": {"none_of": ["serious"]}},
}


def submitted(http, **data: str) -> str:
    """An analysis that has ended."""
    form = {"options": PUBLISHED, "reuse": "false"} | data
    analysis = http.post("/v1/analyses", files=Sample().files(), data=form, headers=WAIT).json()
    assert analysis["state"] == "succeeded", analysis
    return analysis["id"]


@pytest.fixture
def analysis_id(http) -> str:
    return submitted(http, metadata='{"team": "vision"}')


@pytest.fixture
def name() -> str:
    """Of a policy of this test's own."""
    return f"policy-{secrets.token_hex(4)}"


def gated(http, analysis_id: str, policy, **headers: str) -> dict:
    answer = http.post(f"/v1/analyses/{analysis_id}/gate", json={"policy": policy}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["location"] == f"/v1/decisions/{answer.json()['id']}"
    return answer.json()


def problem(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_decision_is_that_of_the_core_with_all_that_it_rests_on(http, analysis_id):
    report = REPORT.validate_json(http.get(f"/v1/analyses/{analysis_id}/report").content)
    for policy, asked in ((PRESETS["any-crossmodal"], "any-crossmodal"), (read_policy(json.dumps(POLICY)), POLICY)):
        found = gated(http, analysis_id, asked)
        view = DecisionView.model_validate_json(json.dumps(found))
        assert to_json(view.as_decision()) == to_json(decide(report, policy))
        assert found["figures"] == json.loads(to_json(figures_of(report)))
        assert (found["analysis_id"], found["metadata"]) == (analysis_id, {"team": "vision"})
        assert http.get(f"/v1/decisions/{found['id']}").json() == found


def test_the_same_question_has_one_answer_which_outlives_the_analysis(http, analysis_id):
    with ThreadPoolExecutor(4) as pool:
        asked = ["alignment", "alignment@1"] * 2
        found = list(pool.map(lambda policy: gated(http, analysis_id, policy), asked))
    assert found == 4 * [found[0]]
    key = {"Idempotency-Key": secrets.token_hex(8)}
    assert gated(http, analysis_id, "alignment", **key) == gated(http, analysis_id, "alignment", **key) == found[0]
    assert http.delete(f"/v1/analyses/{analysis_id}").status_code == 204
    assert gated(http, analysis_id, "alignment") == found[0]
    assert http.get(f"/v1/decisions/{found[0]['id']}").json() == found[0]
    gone = http.post(f"/v1/analyses/{analysis_id}/gate", json={"policy": "prediction"})
    assert problem(gone) == (404, "analysis_not_found")


def test_policies_are_stored_in_versions_that_never_change(http, analysis_id, name):
    first = http.post("/v1/policies", json={"name": name, "policy": POLICY})
    assert (first.status_code, first.json()["version"], first.json()["built_in"]) == (201, 1, False)
    assert first.headers["location"] == f"/v1/policies/{name}/versions/1"
    assert first.json()["policy"] == as_dict(read_policy(json.dumps(POLICY)))
    again = http.post("/v1/policies", json={"name": name, "policy": POLICY})
    assert (again.status_code, again.json()) == (200, first.json())
    yaml = f"name: {name}\npolicy:\n  {json.dumps(POLICY | {'on_undetermined': 'fail'})}\n"
    second = http.post("/v1/policies", content=yaml, headers={"Content-Type": "application/yaml"})
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert http.get(f"/v1/policies/{name}").json() == second.json()
    for stored in (first, second):
        assert http.get(stored.headers["location"]).json() == stored.json()

    latest, old = gated(http, analysis_id, name), gated(http, analysis_id, f"{name}@1")
    assert [(found["policy_name"], found["policy_version"]) for found in (latest, old)] == [(name, 2), (name, 1)]
    assert latest["policy"] == second.json()["policy"]
    assert [found["policy_sha256"] for found in (latest, old)] == [second.json()["sha256"], first.json()["sha256"]]
    both = http.get("/v1/decisions", params={"policy": name}).json()["items"]
    assert both == [old, latest], "newest first"
    assert http.get("/v1/decisions", params={"policy": f"{name}@1", "analysis_id": analysis_id}).json()["items"] == [
        old
    ]


def test_a_policy_is_stored_once_under_its_key(http, name):
    key = {"Idempotency-Key": secrets.token_hex(8)}
    first, again = (http.post("/v1/policies", json={"name": name, "policy": POLICY}, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert "idempotent-replayed" in again.headers


def test_policies_are_listed_by_name_after_the_presets(http, name):
    http.post("/v1/policies", json={"name": name, "policy": POLICY})
    names, cursor = [], None
    while True:
        page = http.get("/v1/policies", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        names += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names[:3] == ["alignment", "any-crossmodal", "prediction"]
    assert names[3:] == sorted(names[3:])
    assert name in names


@pytest.mark.parametrize(
    ("policy", "status", "code", "words"),
    [
        ("unknown", 404, "policy_not_found", "name a preset: alignment"),
        ("alignment@2", 404, "policy_not_found", "alignment@2"),
        ("Alignment", 422, "invalid_policy_name", "alignment@2"),
        (3, 422, "invalid_policy", "Field policy is not as described"),
        ({**POLICY, "planned": {"objective": "align"}}, 422, "invalid_policy", "policy.planned.objective"),
        ({**POLICY, "require": {}}, 422, "invalid_policy", "no rule here can fail"),
        (
            {**POLICY, "require": {"warnings": {"none_of": ["few_label"]}}},
            422,
            "invalid_policy",
            "policy.require.warnings.none_of: ",
        ),
        (
            {**POLICY, "require": {"rehearsed_score": {"min": 0.5, "label": "colour"}}},
            422,
            "policy_not_applicable",
            "the report has no label 'colour'. Name one that it has ('kind', 'score')",
        ),
    ],
)
def test_what_is_no_policy_is_refused_with_what_to_do(http, analysis_id, policy, status, code, words):
    answer = http.post(f"/v1/analyses/{analysis_id}/gate", json={"policy": policy})
    assert problem(answer) == (status, code)
    assert words in answer.json()["detail"]


def test_a_body_of_another_kind_is_refused(http, analysis_id):
    for address in ("/v1/policies", f"/v1/analyses/{analysis_id}/gate"):
        answer = http.post(address, content="a", headers={"Content-Type": "text/plain"})
        assert problem(answer) == (415, "unsupported_media_type")
    answer = http.post("/v1/policies", content="a: [", headers={"Content-Type": "application/yaml"})
    assert problem(answer) == (422, "invalid_request")
    assert "line 1" in answer.json()["detail"]
