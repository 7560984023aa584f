"""Policies and decisions on the wire.  Both are the gate's own dataclasses; nothing is described twice."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from service.analyses.errors import InvalidRequest
from service.estimation.report import Recommendation
from service.estimation.terms import Regime
from service.gating.checking import (
    EMBEDDING_BOUNDS,
    LARGEST_SCORE,
    MAX_DESCRIPTION_CHARACTERS,
    MAX_LABEL_CHARACTERS,
    check_policy,
)
from service.gating.decision import Decided, Decision, RuleResult
from service.gating.errors import InvalidPolicy
from service.gating.figures import Figures
from service.gating.policy import SCHEMA_VERSION, Plan, Policy
from service.gating.references import NAME_PATTERN, REFERENCE_PATTERN
from service.schemas.documents import as_json
from service.schemas.wire import WireModel, first_error

POLICY_BYTES = 64 * 1024

IN_SCORES = {"exclusiveMinimum": -LARGEST_SCORE, "exclusiveMaximum": LARGEST_SCORE}
BOUNDS: dict[str, dict[str, dict[str, Any]]] = {
    "Policy": {
        "schema_version": {"const": SCHEMA_VERSION},
        "description": {"maxLength": MAX_DESCRIPTION_CHARACTERS},
    },
    "Plan": {"embedding_dim": {"minimum": EMBEDDING_BOUNDS[0], "maximum": EMBEDDING_BOUNDS[1]}},
    "MinimumRule": {"min": {"exclusiveMinimum": 0}},
    "ScoreRule": {"min": IN_SCORES, "label": {"minLength": 1, "maxLength": MAX_LABEL_CHARACTERS}},
    "LossRule": {"max": IN_SCORES, "label": {"minLength": 1, "maxLength": MAX_LABEL_CHARACTERS}},
    "RegimeRule": {"any_of": {"minItems": 1, "maxItems": len(Regime) - 1, "uniqueItems": True}},
    "WarningRule": {"none_of": {"minItems": 1, "uniqueItems": True}},
}
"""What `check_policy` asks of single fields of a policy, in the words of JSON schema, for descriptions."""

POLICY = TypeAdapter(Policy)
DECISION = TypeAdapter(Decision)

PolicyName = Annotated[str, Field(pattern=NAME_PATTERN)]
PolicyReference = Annotated[str, Field(pattern=REFERENCE_PATTERN)]


class PolicyRequest(WireModel):
    """A policy to be kept under a name."""

    name: str = Field(json_schema_extra={"pattern": NAME_PATTERN})
    """Its name: letters a to z, digits and hyphens, 64 at most; not that of a preset."""
    policy: Policy
    """What must hold."""


class PolicyView(WireModel, defer_build=True):
    """A version of a named policy.  It never changes."""

    name: str
    """Its name."""
    version: int
    """1 for the first of this name, and one more for each that differs from the one before."""
    created_at: datetime | None
    """When this version was stored; null for one that is built in."""
    sha256: str
    """SHA-256 of the policy, defaults filled in, as compact JSON with sorted names."""
    built_in: bool
    """Whether it is one of the presets, which nobody has stored."""
    policy: Policy
    """What must hold, defaults filled in."""


class PolicyPage(WireModel, defer_build=True):
    """Policies in their latest version, by name, the presets first."""

    items: list[PolicyView]
    """The policies."""
    next_cursor: str | None
    """Send it as `cursor` for those after them; null at the end."""


class GateRequest(WireModel):
    """What a report is to be held against."""

    policy: Annotated[str, Field(json_schema_extra={"pattern": REFERENCE_PATTERN})] | Policy
    """A policy by its name, which means the latest version, or `name@version`; or a policy in full."""


class DecisionView(WireModel, defer_build=True):
    """A decision, as it is kept, with what it rests on."""

    id: str
    """Its id."""
    analysis_id: str
    """The analysis whose report was judged; it may be gone by now."""
    decided_at: datetime
    """When this was first asked; the same question has the same answer ever after."""
    expires_at: datetime
    """When it expires: it is removed within minutes after, and served until then."""
    decision: Decided
    """pass, fail or abstain."""
    plan: Plan
    """The run that was judged; where the policy left a choice, the objective and direction that satisfied it best."""
    rules: list[RuleResult]
    """Every rule, in the policy's order."""
    summary: str
    """The decision and its reason in one sentence."""
    recommendation: Recommendation
    """What the report recommends."""
    policy: Policy
    """The policy, defaults filled in."""
    policy_name: str | None
    """Its name; null if it came with the question."""
    policy_version: int | None
    """Its version; null without a name."""
    policy_sha256: str
    """SHA-256 of the policy, as the policy itself has it."""
    report_sha256: str
    """SHA-256 of the report's bytes, in hex."""
    metadata: dict[str, str]
    """What was attached to the analysis."""
    figures: Figures
    """What the decision rests on: the report without its spectra."""

    def as_decision(self) -> Decision:
        """The decision alone, as `decide` gives it."""
        return Decision(
            decision=self.decision,
            plan=self.plan,
            rules=tuple(self.rules),
            summary=self.summary,
            recommendation=self.recommendation,
            policy=self.policy,
        )


class DecisionPage(WireModel, defer_build=True):
    """Some decisions, newest first."""

    items: list[DecisionView]
    """The decisions; a filter may leave fewer than asked for, and still more after them."""
    next_cursor: str | None
    """Send it as `cursor` for those after them; null at the end."""


def read_policy(text: str | bytes, part: str = "policy") -> Policy:
    """The policy that a document in JSON or YAML says, defaults where it says nothing.

    Arguments: text, of 64 KiB at most; JSON where it begins with a brace; part, what it is called in messages.

    Raises: InvalidPolicy, with the place and what to do.
    """
    try:
        said = as_json(text, part, POLICY_BYTES)
    except InvalidRequest as error:
        raise InvalidPolicy(error.message, part=part) from error
    try:
        policy = POLICY.validate_json(said, strict=True)
    except ValidationError as error:
        raise InvalidPolicy(unreadable(error, part), part=part) from error
    check_policy(policy, part)
    return policy


def unreadable(error: ValidationError, part: str) -> str:
    """What keeps a policy from being read, where, and what to do."""
    place, message = first_error(error)
    advice = "The fields of a policy are listed in /docs and in docs/gating.md."
    if place == ("schema_version",):
        advice = 'Write "schema_version": "1.0".'
    return f"{'.'.join((part, *place))}: {message}. {advice}"
