"""What a rule finds in a report, before its severity makes an outcome of it."""

from __future__ import annotations

from dataclasses import dataclass

from service.gating.decision import Outcome, RuleResult
from service.gating.policy import Severity

NO_ANSWER = "The report cannot answer this, so that no policy passes on it, on_undetermined: pass or not."


@dataclass(frozen=True)
class Finding:
    """One rule held against one report."""

    held: bool | None
    """Whether it holds; None where the report leaves that open."""
    observed: str | float | None
    """What the report says."""
    required: str
    """What the policy asks for."""
    reason: str
    """Why, as a sentence without its full stop, its first word in small letters unless a name."""
    advice: str = ""
    """What to do, in sentences; empty where nothing needs to be done."""
    is_answerable: bool = True
    """Whether reports like this one can say it at all.  False goes with `held` None: not the data leave it open, and no
    policy may take that for a yes."""

    def outcome(self, rule: str, severity: Severity) -> RuleResult:
        """The outcome of the rule with this name."""
        if self.held is None:
            outcome = Outcome.UNDETERMINED
        elif self.held:
            outcome = Outcome.PASS
        else:
            outcome = Outcome.WARN if severity is Severity.WARN else Outcome.FAIL
        said = [f"{self.reason[:1].upper()}{self.reason[1:]}.", self.advice]
        if not self.is_answerable and severity is Severity.FAIL:
            said.append(NO_ANSWER)
        message = " ".join(sentence for sentence in said if sentence)
        return RuleResult(rule, severity, self.observed, self.required, outcome, message)


def shown(value: float, *bounds: float) -> str:
    """A number with as many digits as it takes to tell it from the bounds that it is held against."""
    for digits in (3, 6, 9, 17):
        text = f"{value:.{digits}g}"
        if all((float(text) == bound) == (value == bound) for bound in bounds):
            break
    return text


def exact(bound: float) -> str:
    """A bound with all its digits, and no others."""
    return repr(float(bound)).removesuffix(".0")
