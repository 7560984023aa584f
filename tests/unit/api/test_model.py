"""The model's calls: every example is sent and answered, and what is refused says which field and what to do."""

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.description import description_yaml
from service.estimation.phase_diagram import PhaseDiagram
from service.estimation.record import as_dict
from service.estimation.simulation import MAX_ESTIMATED_VALUES, SMALL_FEATURES, SMALL_VALUES, simulate
from service.estimation.simulation_records import Simulation
from service.estimation.spiked_model import (
    GAMMA_BOUNDS,
    GAMMA_TILDE_BOUNDS,
    KAPPA_BOUNDS,
    NU_BOUNDS,
    ModelSeparation,
    model_separation,
    spiked_model,
)
from service.settings import Settings

APP = create_app(Settings())
ANSWERS = {"separation": ModelSeparation, "phase-diagram": PhaseDiagram, "simulation": Simulation}


def example_requests():
    """Call, name and body of every example in the description."""
    paths = yaml.safe_load(description_yaml(APP))["paths"]
    return [
        pytest.param(call, example["value"], id=f"{call}-{name}")
        for call in ANSWERS
        for name, example in paths[f"/v1/model/{call}"]["post"]["requestBody"]["content"]["application/json"][
            "examples"
        ].items()
        if "n_labeled" not in example["value"]  # runs as an analysis
    ]


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    """The application; the queue is away, and what is answered at once does not ask it."""
    folder = tmp_path_factory.mktemp("api")
    app = create_app(Settings(data_dir=folder / "data", redis_url=f"unix://{folder}/nothing.sock", rate_per_minute=0))
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


PARAMETERS = {
    "kappa": [1.5, 1.2],
    "gamma_x": 1,
    "gamma_y": [0.05, 0.1],
    "gamma_tilde_x": 1.0,
    "gamma_tilde_y": 5.0,
    "nu": 0.6,
    "dx": 12,
    "dy": 8,
}
SIMULATED = {**PARAMETERS, "n_pairs": 500, "seed": 7}
UNIFORM = {"gamma_x": 1.0, "gamma_y": 0.05, "gamma_tilde_x": 1.0, "gamma_tilde_y": 5.0}


def refusal(http, call, body):
    response = http.post(f"/v1/model/{call}", json=body)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()


@pytest.mark.parametrize(("call", "body"), example_requests())
def test_every_example_is_answered_as_described(http, call, body):
    response = http.post(f"/v1/model/{call}", json=body)
    assert response.status_code == 200, response.text
    answer = TypeAdapter(ANSWERS[call]).validate_json(response.content)
    assert as_dict(answer) == response.json()


def test_the_paper_s_panels_differ_in_prediction_alone(http):
    loud, quiet = (
        http.post("/v1/model/separation", json={**PARAMETERS, "gamma_tilde_y": loudness}).json()
        for loudness in (5.0, 0.05)
    )
    assert (loud["regimes"]["x_to_y"], quiet["regimes"]["x_to_y"]) == ("ca_only", "both")
    assert loud["rho"] == quiet["rho"]


def test_the_answer_is_the_core_s(http):
    model = spiked_model(**PARAMETERS)
    assert http.post("/v1/model/separation", json=PARAMETERS).json() == as_dict(model_separation(model))
    assert http.post("/v1/model/simulation", json=SIMULATED).json() == as_dict(simulate(model, 500, 7))


def test_a_diagram_has_the_grid_that_was_asked_for(http):
    body = {**UNIFORM, "direction": "y_to_x", "kappa": {"high": 2, "count": 5}, "nu": {"count": 3}}
    found = http.post("/v1/model/phase-diagram", json=body).json()
    assert found["kappa"] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert found["nu"] == [0.0, 0.5, 1.0]
    assert [len(row) for row in found["regions"]] == [5, 5, 5]
    assert found["direction"] == "y_to_x"


@pytest.mark.parametrize(
    ("call", "body", "part", "words"),
    [
        ("separation", {**PARAMETERS, "kappa": "1.5"}, "kappa", "Field kappa is not"),
        ("separation", {**PARAMETERS, "kappa": [1.5, "1.2"]}, "kappa", "Field kappa[1] is not"),
        ("separation", {**PARAMETERS, "gamma_x": -1}, "gamma_x", "greater than or equal to 0"),
        ("separation", {**PARAMETERS, "gamma_y": [0.1, None]}, "gamma_y", "Field gamma_y[1] is not"),
        ("separation", {**PARAMETERS, "nu": 1.5}, "nu", "less than or equal to 1"),
        ("separation", {**PARAMETERS, "dx": 12.5}, "dx", "valid integer"),
        ("separation", {**PARAMETERS, "dx": 513}, "dx", "less than or equal to 512"),
        ("separation", {**PARAMETERS, "kappa": [1.0] * 513}, "kappa", "at most 512 items"),
        ("separation", {**PARAMETERS, "kapa": [1.0]}, "kapa", "no field kapa"),
        ("separation", {"kappa": [1.0]}, "gamma_x", "gamma_x is missing"),
        ("phase-diagram", {**UNIFORM, "kappa": {"count": 202}}, "kappa", "Field kappa.count is not"),
        ("phase-diagram", {**UNIFORM, "direction": "sideways"}, "direction", "'x_to_y' or 'y_to_x'"),
        ("simulation", PARAMETERS, "n_pairs", "n_pairs is missing"),
        ("simulation", {**SIMULATED, "n_pairs": 100_001}, "n_pairs", "less than or equal to 100000"),
        ("simulation", {**SIMULATED, "n_labeled": 50, "options": {"rule": "x"}}, "options", "Field options.rule is"),
        ("simulation", {**SIMULATED, "n_labeled": 50, "options": {"rul": "x"}}, "options", "no field options.rul"),
    ],
)
def test_a_body_that_is_not_as_described_names_the_field(http, call, body, part, words):
    problem = refusal(http, call, body)
    code = "invalid_option" if part == "options" else "invalid_request"
    assert (problem["code"], problem["part"]) == (code, part)
    assert words in problem["detail"]
    assert "multipart" not in problem["detail"]


@pytest.mark.parametrize(
    ("call", "body", "code", "words"),
    [
        ("separation", {**PARAMETERS, "dx": 1}, "invalid_model", "dx is 1, but kappa has 2"),
        ("separation", {**PARAMETERS, "dx": None}, "invalid_model", "Give dx"),
        ("separation", {**PARAMETERS, "nu": [0.5]}, "invalid_model", "nu has 1 values"),
        ("phase-diagram", {**UNIFORM, "nu": {"low": 1, "high": 0.5}}, "invalid_model", "nu.high above nu.low"),
        ("phase-diagram", {**UNIFORM, "kappa": {"low": 1e-200}}, "invalid_model", "has a point at 1e-200"),
        ("simulation", {**SIMULATED, "options": {}}, "invalid_model", "Give n_labeled"),
        (
            "simulation",
            {**SIMULATED, "n_labeled": 50, "options": {"n_components": 1}},
            "invalid_option",
            "n_components is 1",
        ),
    ],
)
def test_what_no_model_has_is_refused_by_the_core(http, call, body, code, words):
    problem = refusal(http, call, body)
    assert problem["code"] == code
    assert words in problem["detail"]


@pytest.mark.parametrize(
    ("content", "media_type", "status", "words"),
    [
        (b"", "application/json", 422, "no JSON: EOF while parsing a value"),
        (b"[]", "application/json", 422, "not one JSON object"),
        (b"{a}", "application/json", 422, "no JSON: key must be a string"),
        (b"\x80{}", "application/json", 422, "no JSON: expected value"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_so(http, content, media_type, status, words):
    response = http.post("/v1/model/separation", content=content, headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["code"]) == (status, "invalid_request")
    assert words in response.json()["detail"]


@pytest.mark.parametrize("options", [{"seed": False}, {"n_components": "5"}, {"n_components": 3.0}, {"alpha": "0.1"}])
def test_options_of_a_simulation_are_read_as_strictly_as_those_of_an_analysis(http, options):
    body = {**SIMULATED, "n_labeled": 60, "options": options}
    assert refusal(http, "simulation", body)["code"] == "invalid_option"


def test_a_simulation_that_needs_more_memory_than_an_analysis_may_take_is_refused_and_a_small_one_answered(tmp_path):
    limit_bytes = 30_000_000
    settings = Settings(
        data_dir=tmp_path / "data",
        redis_url=f"unix://{tmp_path}/nothing.sock",
        rate_per_minute=0,
        analysis_memory_limit_bytes=limit_bytes,
    )
    with TestClient(create_app(settings), "http://127.0.0.1") as client:
        small = client.post("/v1/model/simulation", json={**SIMULATED, "n_pairs": 2000})
        assert small.status_code == 200
        body = refusal(client, "simulation", {**SIMULATED, "n_pairs": 50_000, "n_labeled": 1000})
        assert body["code"] == "memory_limit_exceeded"
        assert str(limit_bytes) in body["detail"]
        accepted = client.post("/v1/model/simulation", json={**SIMULATED, "n_labeled": 20})
        assert accepted.status_code == 202
        assert len(client.get("/v1/analyses").json()["items"]) == 1


def test_a_long_name_is_cut_before_it_is_told_again(http):
    problem = refusal(http, "separation", {**PARAMETERS, "k" * 1000: 1})
    assert problem["part"] == "k" * 40
    assert len(problem["detail"]) < 200


def test_an_upload_is_still_told_of_its_parts(http):
    response = http.post("/v1/analyses", files={"x": b"1"})
    assert response.status_code == 422
    assert "no part 'y'" in response.json()["detail"]


def test_what_is_no_upload_is_bounded_more_tightly(http):
    response = http.post(
        "/v1/model/separation", content=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert "1048576 bytes" in response.json()["detail"]


def test_the_description_names_the_bound_of_simulations_with_the_estimator():
    described = yaml.safe_load(description_yaml(APP))["components"]["schemas"]["SimulationRequest"]["description"]
    assert f"{MAX_ESTIMATED_VALUES:,}" in described


def test_bounds_on_the_page_about_the_api_are_the_core_s():
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    page = " ".join(page.split())
    bounds = {"kappa": KAPPA_BOUNDS, "gamma": GAMMA_BOUNDS, "gamma-tilde": GAMMA_TILDE_BOUNDS, "nu": NU_BOUNDS}
    ranges = {name: f"{low:.15g} to {high:,.15g}" for name, (low, high) in bounds.items()}
    for words in (
        f"`kappa` is {ranges['kappa']}, a gamma {ranges['gamma']}",
        f"a gamma-tilde {ranges['gamma-tilde']}, `nu` {ranges['nu']}",
        f"more than {SMALL_VALUES:,} values",
        f"more than {SMALL_FEATURES} features",
    ):
        assert words in page
