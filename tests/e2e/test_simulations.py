"""Simulations over HTTP: small ones at once, others as an analysis."""

import pytest

from service.estimation.options import Options
from service.estimation.record import as_dict
from service.estimation.simulation import simulate
from service.estimation.spiked_model import spiked_model
from service.estimation.terms import Method
from tests.e2e.test_analyses import finished

PARAMETERS = {
    "kappa": [1.5, 1.2],
    "gamma_x": 1.0,
    "gamma_y": 0.05,
    "gamma_tilde_x": 1.0,
    "gamma_tilde_y": 5.0,
    "nu": 0.6,
    "dx": 7,
    "dy": 5,
}
MODEL = spiked_model(**PARAMETERS)


def test_a_small_simulation_is_answered_at_once(http):
    answer = http.post("/v1/model/simulation", json=PARAMETERS | {"n_pairs": 400, "seed": 3})
    assert answer.status_code == 200
    assert answer.json() == as_dict(simulate(MODEL, 400, 3))


def test_one_that_asks_the_estimator_runs_as_an_analysis(http):
    asked = {"n_pairs": 400, "seed": 3, "n_labeled": 100, "options": {"method": "reference"}}
    answer = http.post("/v1/model/simulation", json=PARAMETERS | asked)
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["links"]["self"]
    assert answer.headers["retry-after"]
    analysis = finished(http, answer.headers["location"])
    assert (analysis["state"], analysis["kind"]) == ("succeeded", "simulation")
    assert (analysis["dataset_id"], analysis["inputs"], analysis["links"]["label_set"]) == (None, None, None)
    assert analysis["simulation"] == {"model": as_dict(MODEL)} | {
        name: asked[name] for name in ("n_pairs", "seed", "n_labeled")
    }
    assert analysis["options"]["method"] == "reference"
    expected = simulate(MODEL, 400, 3, n_labeled=100, options=Options(method=Method.REFERENCE))
    assert http.get(analysis["links"]["report"]).json() == as_dict(expected)
    assert analysis["id"] in {item["id"] for item in http.get("/v1/analyses").json()["items"]}


@pytest.mark.parametrize("change", [{"n_pairs": 100_000, "dx": 20}, {"dx": 130, "n_pairs": 1000}])
def test_a_large_one_runs_as_an_analysis(http, change):
    answer = http.post("/v1/model/simulation", json=PARAMETERS | {"seed": 1} | change)
    assert answer.status_code == 202
    analysis = finished(http, answer.headers["location"])
    simulation = http.get(analysis["links"]["report"]).json()
    assert simulation["estimate"] is None
    assert simulation["regimes"] == simulation["truth"]["regimes"]
