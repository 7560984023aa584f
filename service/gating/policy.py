"""What a policy says: what is planned, what must hold, and what becomes of an answer that the data leave open.

Attribute docstrings are the fields' documentation, in code and on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.estimation.record import Record
from service.estimation.terms import Direction, Regime

SCHEMA_VERSION = "1.0"
SERIOUS = "serious"


class Planned(StrEnum):
    """What the run would train; any: whichever cross-modal objective does best."""

    ALIGNMENT = "alignment"
    PREDICTION = "prediction"
    ANY = "any"


class Severity(StrEnum):
    """What a rule that does not hold does: fail the decision, or warn."""

    FAIL = "fail"
    WARN = "warn"


class OnUndetermined(StrEnum):
    """The decision when no rule fails and a rule of severity fail is undetermined; abstain in place of pass where the
    report cannot answer one of them, whatever the data."""

    ABSTAIN = "abstain"
    FAIL = "fail"
    PASS = "pass"  # noqa: S105 - a decision  # nosec B105


@dataclass(frozen=True)
class Plan(Record):
    """The run that asks whether it may start."""

    objective: Planned
    """alignment, prediction, or any: whichever cross-modal objective satisfies the policy best."""
    direction: Direction | None = None
    """The way to predict; null: the better one. For alignment, which has none, the way whose regime counts; null:
    x_to_y."""
    embedding_dim: int | None = None
    """Size of the planned embedding; scores are read where it was rehearsed. Null: the number of signal components."""


@dataclass(frozen=True)
class MinimumRule(Record):
    """Something must be at least so much."""

    min: float
    """The least value that satisfies the rule."""
    severity: Severity = Severity.FAIL
    """What the rule does when it does not hold."""


@dataclass(frozen=True)
class ScoreRule(Record):
    """A rehearsed score must be at least so much."""

    min: float
    """The least score that satisfies the rule: R², or balanced accuracy."""
    label: str | None = None
    """The label column that counts; null: each of them."""
    severity: Severity = Severity.FAIL
    """What the rule does when it does not hold."""


@dataclass(frozen=True)
class LossRule(Record):
    """A rehearsed score may stay behind that of the best single modality by at most so much."""

    max: float
    """The largest loss that satisfies the rule, in the units of the score."""
    label: str | None = None
    """The label column that counts; null: each of them."""
    severity: Severity = Severity.FAIL
    """What the rule does when it does not hold."""


@dataclass(frozen=True)
class RegimeRule(Record):
    """The regime must be one of these."""

    any_of: tuple[Regime, ...]
    """The regimes that satisfy the rule."""
    severity: Severity = Severity.FAIL
    """What the rule does when it does not hold."""


@dataclass(frozen=True)
class WarningRule(Record):
    """The report must carry none of these warnings."""

    none_of: tuple[str, ...]
    """Codes of warnings; `serious` stands for all that the service calls serious."""
    severity: Severity = Severity.FAIL
    """What the rule does when it does not hold."""


@dataclass(frozen=True)
class Requirements(Record):
    """What must hold; what is left out is not asked for."""

    recovery_probability: MinimumRule | None = None
    """Probability that the planned objective recovers the shared signal."""
    regimes: RegimeRule | None = None
    """The regime, of the planned direction."""
    ratio_lower_bound: MinimumRule | None = None
    """Lower end of the interval of the planned objective's separation ratio. A ratio without nuisance satisfies every
    minimum, one without signal none."""
    rehearsed_score: ScoreRule | None = None
    """Score of the planned objective's linear encoder on labels that it has not seen."""
    single_modality_loss: LossRule | None = None
    """How far that score stays behind the better single modality's."""
    warnings: WarningRule | None = None
    """Warnings that the report may not carry."""


@dataclass(frozen=True)
class Policy(Record):
    """What must hold of a report before a run may start."""

    schema_version: str
    """Version of this schema: 1.0."""
    planned: Plan
    """The run."""
    require: Requirements
    """What must hold."""
    on_undetermined: OnUndetermined = OnUndetermined.ABSTAIN
    """The decision when the data leave a rule open."""
    description: str = ""
    """What the policy is for."""
