"""The rules on what the spectra say: recovery, regime, ratio; and on the warnings.

Each takes one way to train and gives what the report says of it; nothing here depends on anything else.  Whether a
signal is claimed is asked afterwards, of all rules but that on warnings (`without_claim`).
"""

from __future__ import annotations

from dataclasses import replace

from service.estimation.report import Report
from service.estimation.separation_records import Separation
from service.estimation.terms import Objective, RatioStatus, Regime, Verdict
from service.estimation.verdicts import SURE, SURELY_NOT, probability_of, verdict
from service.estimation.warning_codes import SERIOUS as SERIOUS_CODES
from service.gating.candidates import Candidate
from service.gating.finding import Finding, exact, shown
from service.gating.policy import SERIOUS, MinimumRule, RegimeRule, WarningRule

USE_CALIBRATED = "Analyse the data again with method calibrated, which gives them."
NO_CLAIM = "The report claims no signal so far: check that x, y, labels and rows belong together."


def recovery_probability(report: Report, candidate: Candidate, rule: MinimumRule) -> Finding:
    """Holds from `min` on; does not hold below it where the report itself says that the objective does not recover the
    signal (a probability of 0.2 or less); open between, and with method reference, which knows no probabilities.
    """
    required = f">= {exact(rule.min)}"
    found = candidate.recovery_probability(report)
    if found is None:
        reason = "method reference gives no recovery probabilities"
        return Finding(None, None, required, reason, USE_CALIBRATED, is_answerable=False)
    said = verdict(found)
    numbers = f"(recovery probability {shown(found, rule.min)}, at least {exact(rule.min)} is required)"
    if found >= rule.min:
        does = "recovers the shared signal" if said is Verdict.RECOVERS else "is likely enough to recover the signal"
        return Finding(True, found, required, f"{candidate.name} {does} {numbers}")
    if said is Verdict.DOES_NOT_RECOVER:
        reason = f"{candidate.name} does not recover the shared signal {numbers}"
        return Finding(False, found, required, reason, recommended(report))
    reason = f"whether {candidate.name} recovers the shared signal is not sure enough {numbers}"
    advice = _what_would_settle(report, candidate.separation(report))
    if rule.min > SURE:
        advice += f" To settle it means a probability of {SURE:g} here: {exact(rule.min)} may take more."
    return Finding(None, found, required, reason, advice)


def regimes(report: Report, candidate: Candidate, rule: RegimeRule) -> Finding:
    """Holds where the allowed regimes of the direction together have a probability of 0.8 or more; does not hold at 0.2
    or less; open between.  With method reference, which knows no probabilities, the regime itself decides.
    """
    allowed = [regime for regime in Regime if regime in rule.any_of]
    names = " or ".join(allowed)
    of = f"the regime of {candidate.direction}"
    if report.regime_probabilities is None:
        regime: Regime = getattr(report.regimes, candidate.direction)
        held = regime in allowed
        allows = "one of those allowed" if held else "which is not allowed"
        reason = f"{of} is {regime}, {allows} ({names}; a point estimate, without probability)"
        return Finding(held, regime.value, names, reason, "" if held else recommended(report))
    shares = getattr(report.regime_probabilities, candidate.direction)
    share = min(1.0, sum(probability_of(shares, regime) for regime in allowed))
    required = f"{names} with probability >= {SURE!r}"
    numbers = f"(probability {shown(share, SURE, SURELY_NOT)}, at least {SURE:g} is required)"
    if share >= SURE:
        return Finding(True, share, required, f"{of} is {names} {numbers}")
    if share <= SURELY_NOT:
        return Finding(False, share, required, f"{of} is not {names} {numbers}", recommended(report))
    advice = _what_would_settle(report, candidate.separation(report))
    return Finding(None, share, required, f"whether {of} is {names} is not sure enough {numbers}", advice)


def ratio_lower_bound(report: Report, candidate: Candidate, rule: MinimumRule) -> Finding:
    """Holds where the whole interval of the ratio is at `min` or above it, and without nuisance; does not hold where
    the interval ends below it, and without signal; open where the minimum lies inside, and without an interval.
    """
    required = f">= {exact(rule.min)}"
    found = candidate.separation(report)
    if found.status is RatioStatus.NO_NUISANCE:
        return Finding(
            True, found.status.value, required, f"{candidate.name} has no nuisance beside its signal: any ratio is met"
        )
    if found.status is RatioStatus.NO_SIGNAL:
        reason = f"{candidate.name} has no signal, and its ratio meets no minimum"
        return Finding(False, found.status.value, required, reason, recommended(report))
    if found.interval is None:
        reason = f"the ratio of {candidate.name} has no interval (ratio {_ratio(found)}): method reference gives none"
        return Finding(None, found.ratio, required, reason, USE_CALIBRATED, is_answerable=False)
    low, high = found.interval.low, found.interval.high
    to = "unbounded" if high is None else shown(high, rule.min)
    numbers = (
        f"({100 * found.interval.level:.4g}% interval {shown(low, rule.min)} to {to}, its lower end must be at least "
        f"{exact(rule.min)})"
    )
    if low >= rule.min:
        return Finding(True, low, required, f"the ratio of {candidate.name} is high enough {numbers}")
    if high is not None and high < rule.min:
        reason = f"the ratio of {candidate.name} is too low {numbers}"
        return Finding(False, low, required, reason, recommended(report))
    advice = "More labeled rows or pairs make the interval narrower." + _no_claim(report)
    return Finding(None, low, required, f"the ratio of {candidate.name} may be too low {numbers}", advice)


def warnings(report: Report, rule: WarningRule) -> Finding:
    """Holds where the report carries none of the codes; `serious` stands for all that the service calls serious."""
    codes = {code for entry in rule.none_of for code in (SERIOUS_CODES if entry == SERIOUS else (entry,))}
    required = f"none of {', '.join(rule.none_of)}"
    found = [warning for warning in report.warnings if warning.code in codes]
    if not found:
        of = "none that is serious" if rule.none_of == (SERIOUS,) else "none of those asked about"
        return Finding(True, "none", required, f"the report carries no warning, or {of}")
    names = ", ".join(dict.fromkeys(warning.code for warning in found))
    advice = " ".join(dict.fromkeys(warning.message for warning in found))
    return Finding(False, names, required, f"the report warns of {names}", advice)


def without_claim(report: Report, finding: Finding) -> Finding:
    """What a finding comes to where the report claims no signal: what would hold is open.

    Probabilities, regimes and ratios of data without a claim are what was assumed before any were seen, and at chance
    no encoder stays behind another.  What does not hold, or is open already, stays as it is.
    """
    if claims_signal(report) or not finding.held:
        return finding
    advice = f"{NO_CLAIM} If they do, more labeled rows or pairs may show a signal."
    return replace(
        finding, held=None, reason=f"no signal is claimed, without which this is open: {finding.reason}", advice=advice
    )


def claims_signal(report: Report) -> bool:
    """Whether the report claims any signal; method reference tests none, and what it finds it takes for one."""
    return report.evidence is None or report.evidence.signal_claimed


def recommended(report: Report) -> str:
    """What the report recommends, in a sentence."""
    found = report.recommendation
    way = "" if found.direction is None else f" ({found.direction})"
    match found.objective:
        case Objective.UNIMODAL:
            return f"The report recommends a single modality: {found.modality}."
        case Objective.EITHER:
            return f"The report recommends alignment or prediction{way}."
        case Objective.UNDETERMINED:
            return "The report recommends nothing yet; its reasons say what is missing."
    return f"The report recommends {found.objective}{way}."


def _what_would_settle(report: Report, separation: Separation) -> str:
    settle = separation.would_settle
    wanted = [
        f"about {count} more {what}"
        for count, what in (
            (settle and settle.more_labels, "labeled rows"),
            (settle and settle.more_pairs, "pairs"),
        )
        if count is not None
    ]
    if wanted:
        return f"It would take {' or '.join(wanted)} to settle it.{_no_claim(report)}"
    if settle is not None and separation.status is not RatioStatus.NO_SIGNAL:
        return f"Even 16 times as many labels or pairs like these would not settle it.{_no_claim(report)}"
    return f"Label more rows, or ask for less.{_no_claim(report)}"


def _no_claim(report: Report) -> str:
    return "" if claims_signal(report) else f" {NO_CLAIM}"


def _ratio(found: Separation) -> str:
    return "none" if found.ratio is None else f"{found.ratio:.3g}"
