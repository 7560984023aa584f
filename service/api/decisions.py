"""The gate over HTTP: hold a report against a policy; look at decisions, and list them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from service.analyses import gate
from service.api.access import ServicesDep, StoreDep
from service.api.analyses import AnalysisId
from service.api.bodies import json_body
from service.api.datasets import Cursor, Limit
from service.api.describing import ID_EXAMPLES, LOCATION, RETRY_AFTER, json_content, problem, request_body
from service.api.once import begun
from service.api.views import decision_address, view_decision
from service.gating.decision import Decided
from service.gating.references import REFERENCE_PATTERN, read_reference
from service.schemas.analyses import read_report
from service.schemas.limits import DEFAULT_PAGE
from service.schemas.policies import DecisionPage, DecisionView, GateRequest

router = APIRouter(prefix="/v1", tags=["gate"])

DecisionId = Annotated[str, Path(description="Id of the decision.", examples=[ID_EXAMPLES["decision_id"]])]
UNKNOWN = problem("Unknown id.")


@router.post(
    "/analyses/{analysis_id}/gate",
    summary="May this run start?",
    responses={
        200: {"description": "The decision, as it is kept.", "headers": LOCATION},
        404: problem("Unknown analysis or policy."),
        409: problem(
            "Not finished (`report_not_ready`), no report (`no_report`), or none that can be judged.", RETRY_AFTER
        ),
        413: problem("Too large."),
        415: problem("Not JSON."),
        422: problem("No such policy; `detail` says where and what to do."),
    },
    openapi_extra=request_body(
        json_content(
            GateRequest,
            preset={"policy": "alignment"},
            version={"policy": "any-crossmodal@1"},
            inline={
                "policy": {
                    "schema_version": "1.0",
                    "planned": {"objective": "alignment"},
                    "require": {"recovery_probability": {"min": 0.9}},
                    "on_undetermined": "fail",
                }
            },
        )
    ),
    dependencies=[Depends(begun)],
)
def decide(
    services: ServicesDep,
    store: StoreDep,
    response: Response,
    analysis_id: AnalysisId,
    asked: Annotated[GateRequest, Depends(json_body(GateRequest))],
) -> DecisionView:
    """Hold the report of an analysis against a policy, by its name or in full: pass, fail or abstain, rule by rule.

    The same analysis and policy always have the same decision: it is made once, and kept with all that it rests on for
    longer than the report.
    """
    policy = read_reference(asked.policy) if isinstance(asked.policy, str) else asked.policy
    answer = gate.gate(store, analysis_id, policy, read_report)
    response.headers["Location"] = decision_address(answer.record.id)
    return view_decision(answer.record, services.settings.decision_retention)


@router.get("/decisions", summary="List decisions", responses={200: {"description": "A page, newest first."}})
def list_decisions(
    services: ServicesDep,
    store: StoreDep,
    analysis_id: Annotated[str | None, Query(description="Only those by the report of this analysis.")] = None,
    decision: Annotated[Decided | None, Query(description="Only those that came out so.")] = None,
    policy: Annotated[
        str | None,
        Query(
            description="Only those of the policy with this name, in any version, or in one (`name@version`).",
            json_schema_extra={"pattern": REFERENCE_PATTERN},
        ),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
) -> DecisionPage:
    """Decisions, newest first.

    A filter that few decisions pass gives short pages with a `next_cursor`: go on until it is null.
    """
    page = gate.list_decisions(
        store,
        analysis_id=analysis_id,
        decided=decision,
        policy=None if policy is None else read_reference(policy),
        cursor=cursor,
        limit=limit,
    )
    retention = services.settings.decision_retention
    return DecisionPage(items=[view_decision(record, retention) for record in page.items], next_cursor=page.next_cursor)


@router.get("/decisions/{decision_id}", summary="Look at a decision", responses={404: UNKNOWN})
def look(services: ServicesDep, store: StoreDep, decision_id: DecisionId) -> DecisionView:
    """The decision with what it rests on; the analysis may be gone by now."""
    return view_decision(gate.find(store, decision_id), services.settings.decision_retention)
