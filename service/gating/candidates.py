"""What a plan leaves open: each way to train that it allows is held against the policy by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.estimation.report import Report
from service.estimation.separation_records import Separation
from service.estimation.terms import Direction, Encoder, Objective
from service.gating.policy import Plan, Planned

ORDER = ("ca", "cp_x_to_y", "cp_y_to_x")
"""The spectra, in the order in which equals are preferred."""

ENCODERS = {
    "ca": (Encoder.CA_X, Encoder.CA_Y, Encoder.CA_BOTH),
    "cp_x_to_y": (Encoder.CP_X_TO_Y,),
    "cp_y_to_x": (Encoder.CP_Y_TO_X,),
}
NAMES = {"ca": "alignment", "cp_x_to_y": "prediction of y from x", "cp_y_to_x": "prediction of x from y"}


@dataclass(frozen=True)
class Candidate:
    """One way to train that a plan allows."""

    spectrum: str
    """ca, cp_x_to_y or cp_y_to_x."""
    plan: Plan
    """The plan with nothing left open but, for alignment, the direction, which it does not need."""

    @property
    def name(self) -> str:
        """What it is in words."""
        return NAMES[self.spectrum]

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The encoders that it trains, as a rehearsal has them."""
        return ENCODERS[self.spectrum]

    @property
    def direction(self) -> Direction:
        """The direction whose regime it is in; x_to_y for alignment that plans none."""
        return self.plan.direction or Direction.X_TO_Y

    def separation(self, report: Report) -> Separation:
        """How far the signal stands out in its spectrum."""
        found: Separation = getattr(report.separation, self.spectrum)
        return found

    def recovery_probability(self, report: Report) -> float | None:
        """Probability that it recovers the signal; None where the report knows none."""
        return None if report.recovery_probability is None else getattr(report.recovery_probability, self.spectrum)


def candidates_of(plan: Plan) -> tuple[Candidate, ...]:
    """The ways to train that a plan allows, one to three, in the order in which equals are preferred."""
    found = []
    if plan.objective is not Planned.PREDICTION:
        found.append(Candidate("ca", replace(plan, objective=Planned.ALIGNMENT)))
    if plan.objective is not Planned.ALIGNMENT:
        found += [
            Candidate(f"cp_{way}", replace(plan, objective=Planned.PREDICTION, direction=way))
            for way in (Direction.X_TO_Y, Direction.Y_TO_X)
            if plan.direction in (None, way)
        ]
    return tuple(found)


def is_recommended(candidate: Candidate, report: Report) -> bool:
    """Whether it is among what the report recommends."""
    recommendation = report.recommendation
    if candidate.spectrum == "ca":
        return recommendation.objective in (Objective.ALIGNMENT, Objective.EITHER)
    return (
        recommendation.objective in (Objective.PREDICTION, Objective.EITHER)
        and recommendation.direction is candidate.plan.direction
    )
