"""Questions about the spiked model: closed forms, its phase diagram, simulations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from service.analyses.analysis import SimulatedProblem
from service.analyses.submission import submit_simulation
from service.api import problems
from service.api.access import ServicesDep, StoreDep
from service.api.bodies import json_body
from service.api.capacity import CapacityDep
from service.api.describing import LOCATION, RETRY_AFTER, json_examples, problem, request_body
from service.api.observation import request_id
from service.api.once import IN_USE, OnceDep, StemDep, begun
from service.api.views import analysis_address, view_analysis
from service.estimation.phase_diagram import PhaseDiagram, phase_diagram
from service.estimation.simulation import check_simulation, is_small, simulate
from service.estimation.simulation_records import Simulation
from service.estimation.spiked_model import ModelSeparation, model_separation
from service.schemas.analyses import AnalysisView
from service.schemas.model import ModelParameters, PhaseDiagramRequest, SimulationRequest

router = APIRouter(prefix="/v1/model", tags=["model"])

REFUSED: dict[int | str, dict[str, Any]] = {
    413: problem("Too large."),
    409: IN_USE,
    415: problem("Not JSON."),
    422: problem("No such model, or out of bounds; `code` and `detail` say what to mend."),
}

# The variances of the paper's two-panel figure: gamma_tilde_y is 5 on the left and 0.05 on the right.
TRAPPED = {"gamma_x": 1.0, "gamma_y": 0.05, "gamma_tilde_x": 1.0, "gamma_tilde_y": 5.0}
QUIET = {**TRAPPED, "gamma_tilde_y": 0.05}
TWO_SIGNALS = {"kappa": [1.5, 1.2], "nu": 0.6, "dx": 12, "dy": 8}

SEPARATIONS: dict[str, Any] = {
    "variance_trap": {
        "summary": "The paper's left panel: loud nuisance in y keeps prediction from the signal",
        "value": {**TWO_SIGNALS, **TRAPPED},
    },
    "quiet_target": {
        "summary": "The paper's right panel: the same with quiet nuisance in y",
        "value": {**TWO_SIGNALS, **QUIET},
    },
    "one_value_per_coordinate": {
        "summary": "Every coordinate with variances of its own; x has two nuisance coordinates, y three",
        "value": {
            "kappa": [2.0, 1.0],
            "gamma_x": [1.0, 0.5],
            "gamma_y": [0.05, 0.1],
            "gamma_tilde_x": [1.0, 2.0],
            "gamma_tilde_y": [5.0, 0.5, 0.1],
            "nu": [0.3, 0.7],
        },
    },
}
DIAGRAMS: dict[str, Any] = {
    "variance_trap": {"summary": "The paper's left panel", "value": TRAPPED},
    "quiet_target": {"summary": "The paper's right panel", "value": QUIET},
    "coarse_and_reversed": {
        "summary": "Prediction of x from y, on a grid of the caller's choice",
        "value": {
            **TRAPPED,
            "direction": "y_to_x",
            "kappa": {"low": 0.0, "high": 3.0, "count": 13},
            "nu": {"low": 0.0, "high": 1.0, "count": 11},
        },
    },
}
SIMULATIONS: dict[str, Any] = {
    "variance_trap": {
        "summary": "2000 pairs of a problem whose signal alignment finds and prediction of y from x misses",
        "value": {**TWO_SIGNALS, **TRAPPED, "n_pairs": 2000, "seed": 7},
    },
    "would_the_estimator_see_it": {
        "summary": "What the estimator would say of it with 300 labeled rows; runs as an analysis",
        "value": {**TWO_SIGNALS, **TRAPPED, "n_pairs": 2000, "seed": 7, "n_labeled": 300},
    },
}


@router.post(
    "/separation",
    summary="Closed forms of a spiked model",
    responses=REFUSED,
    dependencies=[Depends(begun)],
    openapi_extra=request_body(json_examples(ModelParameters, SEPARATIONS)),
)
def separation(
    parameters: Annotated[ModelParameters, Depends(json_body(ModelParameters))],
) -> ModelSeparation:
    """Singular values of every objective, signal and nuisance apart, with the separation ratios and regimes.

    They are exact: nothing is drawn and nothing estimated.
    """
    return model_separation(parameters.spiked_model())


@router.post(
    "/phase-diagram",
    summary="Phase diagram of the spiked model",
    responses=REFUSED,
    dependencies=[Depends(begun)],
    openapi_extra=request_body(json_examples(PhaseDiagramRequest, DIAGRAMS)),
)
def diagram(
    request: Annotated[PhaseDiagramRequest, Depends(json_body(PhaseDiagramRequest))],
) -> PhaseDiagram:
    """Regimes on a grid of signal strength and nuisance correlation, and the curves on which a ratio is 1.

    An objective recovers the signal below its curve. Louder nuisance in the target lowers the curve of prediction and
    leaves that of alignment alone.
    """
    return phase_diagram(request.variances(), request.direction, *request.axes())


@router.post(
    "/simulation",
    summary="Simulate a problem of known truth",
    response_model=Simulation,
    responses=REFUSED
    | {
        202: {
            "model": AnalysisView,
            "description": "Too large to wait for: queued as an analysis, whose report will be the simulation.",
            "headers": LOCATION | RETRY_AFTER,
        },
    },
    openapi_extra=request_body(json_examples(SimulationRequest, SIMULATIONS)),
)
def simulation(
    services: ServicesDep,
    store: StoreDep,
    capacity: CapacityDep,
    request: Annotated[SimulationRequest, Depends(json_body(SimulationRequest))],
    once: OnceDep,
    stem: StemDep,
) -> Simulation | JSONResponse:
    """Draw pairs of a spiked model, solve alignment and prediction on them, and compare with the truth.

    The answer is a function of the request: the same seed draws the same pairs. A simulation with `n_labeled`, and a
    large one, runs as an analysis.
    """
    model = request.spiked_model()
    options = request.options.options() if request.options else None
    check_simulation(model, request.n_pairs, request.seed, request.n_labeled, options)
    if is_small(model, request.n_pairs, estimated=request.n_labeled is not None):
        return simulate(model, request.n_pairs, request.seed)
    asked = SimulatedProblem(model, request.n_pairs, request.seed, request.n_labeled, options)
    limit_bytes = services.settings.analysis_memory_limit_bytes
    with capacity.place_in_queue(once.earlier_stem):
        analysis = submit_simulation(store, services.queue, asked, request_id(), stem, limit_bytes)
    headers = {"Location": analysis_address(analysis.submission.id), "Retry-After": str(problems.RETRY_AFTER_S)}
    return JSONResponse(
        view_analysis(analysis, services.settings.retention).model_dump(mode="json"), status_code=202, headers=headers
    )
