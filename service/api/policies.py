"""Policies over HTTP: store a version under a name, look at one, list them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from service.analyses import policies
from service.api.access import StoreDep
from service.api.bodies import JSON, read_json, unsupported
from service.api.body_limit import media_type
from service.api.datasets import Cursor, Limit
from service.api.describing import LOCATION, RETRY_AFTER, json_content, problem, request_body
from service.api.invalid_requests import invalid_json
from service.api.once import OnceDep
from service.api.views import policy_address, view_policy
from service.gating.references import NAME_PATTERN, Reference
from service.schemas.documents import as_json
from service.schemas.limits import DEFAULT_PAGE
from service.schemas.policies import POLICY_BYTES, PolicyPage, PolicyRequest, PolicyView

router = APIRouter(prefix="/v1/policies", tags=["gate"])

YAML = "application/yaml"
REQUEST = TypeAdapter(PolicyRequest)
UNKNOWN = problem("Unknown name or version.")
PolicyName = Annotated[
    str, Path(description="Name of the policy.", json_schema_extra={"pattern": NAME_PATTERN}, examples=["alignment"])
]
PolicyVersion = Annotated[int, Path(description="Version of the policy.", ge=1, le=999_999_999, examples=[1])]

EXAMPLE: dict[str, Any] = {
    "name": "pretraining",
    "policy": {
        "schema_version": "1.0",
        "description": "What the vision team asks of a pair before it trains.",
        "planned": {"objective": "prediction", "direction": "x_to_y", "embedding_dim": 64},
        "require": {
            "recovery_probability": {"min": 0.9},
            "regimes": {"any_of": ["both", "cp_only"]},
            "ratio_lower_bound": {"min": 1.0, "severity": "warn"},
            "rehearsed_score": {"min": 0.3, "label": "kind"},
            "single_modality_loss": {"max": 0.05, "severity": "warn"},
            "warnings": {"none_of": ["serious", "few_labels"]},
        },
        "on_undetermined": "abstain",
    },
}
EXAMPLE_YAML = """\
name: pretraining-alignment
policy:
  schema_version: 1.0
  planned:
    objective: alignment
  require:
    recovery_probability: {min: 0.9}
    warnings: {none_of: [serious], severity: warn}
  on_undetermined: fail
"""


@router.post(
    "",
    status_code=201,
    summary="Store a policy",
    response_model=PolicyView,
    responses={
        200: {
            "model": PolicyView,
            "description": "It equals the latest version of this name, which is the answer.",
            "headers": LOCATION,
        },
        201: {"description": "Stored as the next version of its name.", "headers": LOCATION},
        400: problem("The body cannot be read."),
        409: problem("There are too many versions, or the call is still being answered.", RETRY_AFTER),
        413: problem("Too large."),
        415: problem("Neither JSON nor YAML."),
        422: problem("No such policy can be stored; `detail` says where and what to do."),
    },
    openapi_extra=request_body(
        json_content(PolicyRequest, prediction=EXAMPLE),
        {
            YAML: {
                "schema": {"$ref": "#/components/schemas/PolicyRequest"},
                "examples": {"alignment": {"value": EXAMPLE_YAML}},
            }
        },
    ),
)
async def create(store: StoreDep, once: OnceDep, request: Request, response: Response) -> PolicyView:
    """Keep a policy under a name; JSON, or YAML with Content-Type application/yaml.

    A version never changes: what differs from the latest one becomes the next. `alignment` names the latest version of
    a policy, `alignment@2` the second. The names of the presets are taken.
    """
    kind = media_type(request.headers)
    if kind == YAML:
        asked = await run_in_threadpool(_read_yaml, await request.body())
    elif kind == JSON:
        asked = await read_json(request, REQUEST)
    else:
        raise unsupported(f"{JSON} or {YAML}")
    await once.begin(await request.body())
    found, is_new = await run_in_threadpool(policies.create, store, asked.name, asked.policy)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = policy_address(found.reference)
    return view_policy(found)


@router.get("", summary="List policies", responses={200: {"description": "A page, the presets first."}})
def list_policies(store: StoreDep, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE) -> PolicyPage:
    """Every policy in its latest version: the presets, then what has been stored, by name."""
    page = policies.list_policies(store, cursor=cursor, limit=limit)
    return PolicyPage(items=[view_policy(policy) for policy in page.items], next_cursor=page.next_cursor)


@router.get("/{name}", summary="Look at a policy", responses={404: UNKNOWN})
def look(store: StoreDep, name: PolicyName) -> PolicyView:
    """Its latest version."""
    return view_policy(policies.find(store, Reference(name)))


@router.get("/{name}/versions/{version}", summary="Look at a version of a policy", responses={404: UNKNOWN})
def look_at_version(store: StoreDep, name: PolicyName, version: PolicyVersion) -> PolicyView:
    """It is as it was when it was stored, for ever."""
    return view_policy(policies.find(store, Reference(name, version)))


def _read_yaml(body: bytes) -> PolicyRequest:
    try:
        return REQUEST.validate_json(as_json(body, "policy", POLICY_BYTES), strict=True)
    except ValidationError as error:
        raise invalid_json(error) from error
