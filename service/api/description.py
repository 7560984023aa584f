"""The API's description: openapi.yaml at the root of the repository is what `description_yaml` gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import yaml
from fastapi import FastAPI
from pydantic import TypeAdapter

from service.access.callers import demanded
from service.analyses.dataset import FEATURES
from service.api.capacity import CHANGING
from service.api.describing import RETRY_AFTER
from service.api.problems import MEDIA_TYPE
from service.api.told import described_webhooks
from service.estimation import inputs
from service.schemas import policies
from service.schemas.analyses import AnalysisProgress, AnalysisRequest
from service.schemas.content_digest import CONTENT_DIGEST
from service.schemas.datasets import OpenDataset
from service.schemas.idempotency_key import IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED
from service.schemas.model import ModelParameters, PhaseDiagramRequest, SimulationRequest
from service.schemas.options import OPTIONS_BYTES, SubmittedOptions
from service.schemas.policies import GateRequest, PolicyRequest
from service.schemas.uploads import DatasetForm, LabelSetForm, UploadForm, parts_of
from service.schemas.webhooks import AnalysisEvent, DecisionEvent, TrialEvent
from service.settings import Settings


def _between(bounds: tuple[float, float]) -> dict[str, float]:
    return {"minimum": bounds[0], "maximum": bounds[1]}


OPTION_BOUNDS: dict[str, dict[str, float]] = {
    "n_components": _between(inputs.COMPONENT_BOUNDS),
    "pca_components": _between(inputs.PCA_BOUNDS),
    "pca_variance": {"exclusiveMinimum": 0, "maximum": 1},
    "alpha": _between(inputs.ALPHA_BOUNDS),
    "embedding_dim": _between(inputs.EMBEDDING_BOUNDS),
    "seed": _between(inputs.SEED_BOUNDS),
    "interval_level": _between(inputs.INTERVAL_BOUNDS),
}
ON_ANY_CALL = {"422": "Refused", "500": "Failed", "503": "Unavailable"}
"""What every call of /v1 may answer, besides what it says itself."""
WITH_A_BODY = {"400": "Unreadable", "408": "Slow"}
"""What every call that takes a body may answer."""
ON_CHANGES = {"429": "TooMuch"}
"""What calls may answer that change something."""
ON_CALLS_WITH_KEY = {"401": "Unauthenticated", "403": "Forbidden", "503": "Unavailable"}
"""What every call may answer that demands a scope."""
DIGEST_TEXT = (
    f"`{CONTENT_DIGEST}` (RFC 9530) may be sent with it, sha-256 or sha-512. A body that is not what its digest says "
    "is refused."
)
"""As text: whoever makes up values by a schema would make up digests that nothing has."""
REPLAYED = {
    IDEMPOTENT_REPLAYED: {
        "description": "`true` if the call was made before, under its key, and this is the answer to that.",
        "schema": {"type": "string", "const": "true"},
    }
}
ON_EVERY_CALL = {"421": "Misdirected"}
KEY_SCHEME = "api_key"
ANYWHERE: dict[str, dict[str, Any]] = {
    "Unauthenticated": {
        "description": "Keys are required, and this is none that counts.",
        "headers": {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    },
    "Forbidden": {
        "description": "The key lacks the scope that this call demands (`forbidden`), or a page of another site sent "
        "this (`cross_origin`)."
    },
    "Misdirected": {"description": "`Host` is not a name of this service."},
    "Refused": {"description": "A parameter does not exist, is given twice, or cannot be read."},
    "TooMuch": {
        "description": "Too many calls, uploads or waiting analyses; `code` says which.",
        "headers": RETRY_AFTER,
    },
    "Failed": {"description": "The service failed; the operator finds out why under the request's id."},
    "Unreadable": {"description": "The body cannot be read, or is not what its `Content-Digest` says."},
    "Slow": {"description": "The body comes too slowly, or pauses for too long. The connection is closed."},
    "Unavailable": {"description": "Store or queue are away.", "headers": RETRY_AFTER},
}
BODIES = {
    model.__name__: model
    for model in (
        DatasetForm,
        LabelSetForm,
        UploadForm,
        SubmittedOptions,
        OpenDataset,
        AnalysisProgress,
        AnalysisRequest,
        AnalysisEvent,
        DecisionEvent,
        TrialEvent,
        PolicyRequest,
        GateRequest,
        ModelParameters,
        PhaseDiagramRequest,
        SimulationRequest,
    )
}


def describe(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI description, with what the framework cannot know put right.

    Its own form of validation errors never leaves the API; problems have a media type of their own, and every call may
    answer some of them; some routes read their bodies themselves; and the sizes of what may be sent (bytes) are those
    of `settings`.
    """
    description = FastAPI.openapi(app)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    description["components"]["responses"] = {name: said | {"content": problem} for name, said in ANYWHERE.items()}
    description["components"]["securitySchemes"] = {
        KEY_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "pg_<id>_<secret>",
            "description": "An API key, where the operator requires them. The names beside it in each call are the "
            "scopes of which the key must have one.",
        }
    }
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            scopes = sorted(map(str, demanded(method.upper(), path)))
            # The empty alternative is for a service that requires no keys.
            operation["security"] = [*({KEY_SCHEME: [scope]} for scope in scopes), *([{}] if scopes else [])]
            shared = ON_EVERY_CALL | (ON_CALLS_WITH_KEY if scopes else {})
            if path.startswith("/v1/"):
                shared |= ON_ANY_CALL | (ON_CHANGES if method.upper() in CHANGING else {})
                shared |= WITH_A_BODY if "requestBody" in operation else {}
            references = {status: {"$ref": f"#/components/responses/{name}"} for status, name in shared.items()}
            operation["responses"] = responses = dict(sorted((references | responses).items()))
            if "requestBody" in operation:
                operation["requestBody"]["description"] = DIGEST_TEXT
            has_key = any(parameter["name"] == IDEMPOTENCY_KEY for parameter in operation.get("parameters", []))
            for status, response in responses.items():
                if has_key and status < "400":
                    response["headers"] = response.get("headers", {}) | REPLAYED
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"] = problem
    description["webhooks"] = described_webhooks()
    schemas = description["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, schema in _beside().items():
        schemas.setdefault(name, schema)
    for form in (DatasetForm, LabelSetForm, UploadForm):
        for part, is_file in parts_of(form).items():
            largest = settings.max_label_bytes if is_file else OPTIONS_BYTES
            schemas[form.__name__]["properties"][part]["maxLength"] = (
                settings.max_upload_bytes if part in FEATURES else largest
            )
    for options in ("Options", "EstimationOptions", "SubmittedOptions"):
        for name, field in schemas[options]["properties"].items():
            field.setdefault("description", schemas["Options"]["properties"].get(name, {}).get("description"))
            _bound(field, OPTION_BOUNDS.get(name, {}))
    for part, bounds in policies.BOUNDS.items():
        for name, bound in bounds.items():
            _bound(schemas[part]["properties"][name], bound)
    return description


def _bound(field: dict[str, Any], bounds: Mapping[str, Any]) -> None:
    """Write bounds where the value is described that they are of, which null may stand for."""
    for kind in field.get("anyOf", [field]):
        if kind.get("type") != "null":
            kind |= bounds


def _beside() -> dict[str, Any]:
    """Schemas of bodies that routes read or write themselves."""
    models: list[tuple[Any, Literal["validation"], TypeAdapter[Any]]] = [
        (name, "validation", TypeAdapter(model)) for name, model in BODIES.items()
    ]
    _, definitions = TypeAdapter.json_schemas(models, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = definitions["$defs"]
    return found


class _Plain(yaml.SafeDumper):
    """Writes what stands in several places in full in each."""

    def ignore_aliases(self, data: Any) -> bool:
        """No value is a reference to an earlier one."""
        return True


def description_yaml(app: FastAPI) -> str:
    """The description as YAML, in a stable order."""
    text: str = yaml.dump(app.openapi(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
    return text
