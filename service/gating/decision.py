"""A decision: pass, fail or abstain, rule by rule, with the figures that it rests on.

Attribute docstrings are the fields' documentation, in code and on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.estimation.record import Record
from service.estimation.report import Recommendation
from service.gating.policy import Plan, Policy, Severity


class Decided(StrEnum):
    """May the run start?"""

    PASS = "pass"  # noqa: S105 - a decision  # nosec B105
    FAIL = "fail"
    ABSTAIN = "abstain"


class Outcome(StrEnum):
    """How a rule came out."""

    PASS = "pass"  # noqa: S105 - an outcome  # nosec B105
    WARN = "warn"
    FAIL = "fail"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class RuleResult(Record):
    """One rule, held against the report."""

    rule: str
    """Its name in the policy's `require`; for a rule over labels with the label: `rehearsed_score[digit]`."""
    severity: Severity
    """What it does when it does not hold."""
    observed: str | float | None
    """What the report says; null where it says nothing."""
    required: str | float
    """What the policy asks for, as text with its sign (`>= 0.8`)."""
    outcome: Outcome
    """pass; fail, or warn where that is the severity, when it does not hold; undetermined when the report leaves it
    open, or cannot say it: the message tells which."""
    message: str
    """The same in a sentence, and what to do where it does not hold."""


@dataclass(frozen=True)
class Decision(Record):
    """The answer to: may this run start?"""

    decision: Decided
    """pass, fail or abstain."""
    plan: Plan
    """The run that was judged; where the policy left a choice, the objective and direction that satisfied it best."""
    rules: tuple[RuleResult, ...]
    """Every rule, in the policy's order."""
    summary: str
    """The decision and its reason in one sentence."""
    recommendation: Recommendation
    """What the report recommends."""
    policy: Policy
    """The policy, defaults filled in."""
