"""What schemathesis cannot know of this API.  Loaded by its command line (SCHEMATHESIS_HOOKS).

A description says that a part is a file, not what a file must hold: requests that are meant to be good get real files
here, so that they reach what lies behind the readers.  And it cannot say that two fields must go together, or that a
cursor must be one that was given out: good requests may be refused for that, and for nothing else.
"""

import itertools
from typing import Any

import schemathesis

from service.analyses.errors import (
    InvalidCursor,
    InvalidMetadata,
    JsonNumber,
    LabelSetMismatch,
    LabelsTooLarge,
    TargetRefused,
    UploadError,
)
from service.api.problems import subclasses
from service.estimation.errors import InputError
from service.gating.errors import InvalidPolicy, InvalidPolicyName, PolicyNotApplicable
from service.schemas.idempotency_key import IDEMPOTENCY_KEY
from tests.e2e.samples import Sample, npy

SAMPLE = Sample()
FILES = {
    "x": npy(SAMPLE.x),
    "y": npy(SAMPLE.y),
    "labels": SAMPLE.labels_csv(),
    "rows": npy(SAMPLE.rows),
    "groups": b"subject\n" + b"".join(b"s%d\n" % (row // 3) for row in range(SAMPLE.n)),
    "covariates": b"depth\n" + b"".join(b"%d.5\n" % (row % 7) for row in range(SAMPLE.n)),
}
TEXTS = {"label_types": "categorical", "covariate_types": "numeric", "options": '{"method": "reference"}'}
BEYOND_A_SCHEMA = {
    kind.code
    for kind in (
        *subclasses(UploadError),
        *subclasses(InputError),
        InvalidCursor,
        InvalidMetadata,
        InvalidPolicy,
        InvalidPolicyName,
        JsonNumber,
        LabelSetMismatch,
        LabelsTooLarge,
        PolicyNotApplicable,
        TargetRefused,
    )
}
WHOLE_NUMBER = "should be a valid integer"  # JSON schema takes 3.0 for one, and this API does not
PREFERENCE = "parameter `prefer` in header"  # whose every value is a text, and unknown ones are passed over (RFC 7240)


calls = itertools.count()
with_files: set[str] = set()
"""Requests that were good until they got bytes for text, which no schema takes."""


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Give good requests the files that they only name."""
    if case.meta is None or not all(component.mode.is_positive for component in case.meta.components.values()):
        return
    if IDEMPOTENCY_KEY in case.headers:
        case.headers[IDEMPOTENCY_KEY] = f"{next(calls)}"  # chosen afresh for every call, as it should be
    if isinstance(case.body, dict) and "url" in case.body and next(calls) % 2:
        case.body["url"] = "https://localhost:9/"  # which the service lets webhooks reach
    if case.media_type not in ("multipart/form-data", "application/octet-stream"):
        return
    with_files.add(case.id)
    if isinstance(case.body, dict):
        case.body = {name: FILES.get(name, value) for name, value in case.body.items()}
    else:
        case.body = FILES.get(case.path_parameters.get("part"), FILES["x"])


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure is one: good requests may be refused for what no schema says."""
    match type(failure).__name__:
        case "RejectedPositiveData":
            found = response.json()
            return found["code"] not in BEYOND_A_SCHEMA and WHOLE_NUMBER not in found["detail"]
        case "AcceptedNegativeData":
            return case.id not in with_files and PREFERENCE not in str(failure.message)
    return True
