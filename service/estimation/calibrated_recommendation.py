"""What to train, from probabilities, ratios and a rehearsal: a pure function with its reasons in sentences."""

from __future__ import annotations

from service.estimation.evidence import LEVEL
from service.estimation.recommendation import NAMES
from service.estimation.rehearsal_records import Rehearsal
from service.estimation.rehearsal_verdicts import beats_modalities, best_modality
from service.estimation.report import Evidence, Recommendation
from service.estimation.separation_records import RecoveryProbability, Separation, Separations
from service.estimation.terms import Direction, Modality, Objective, RatioStatus, Verdict

VERBS = {
    Verdict.RECOVERS: "recovers the whole signal",
    Verdict.DOES_NOT_RECOVER: "does not recover the whole signal",
    Verdict.UNDETERMINED: "is undetermined",
}
WORTH_NAMING = 0.1  # share of a floor component from which the covariate that explains it is named
NEAR_ONE = 0.2  # log ratio within which a ratio is said to be close to 1
HARDLY_BETTER = 0.6  # probability of the better direction below which it is said not to matter
LIKELY_NONE = 0.5  # probability that no objective recovers the signal from which a single modality is recommended


def recommend_calibrated(
    separations: Separations,
    recovery: RecoveryProbability,
    none_recovers: float,
    direction: Direction | None,
    direction_probability: float | None,
    evidence: Evidence,
    rehearsal: Rehearsal,
    alpha: float = LEVEL,
) -> Recommendation:
    """The objectives that surely recover the signal; the better single modality when probably none does.

    Else nothing is determined, and the reasons say what would settle it.  Arguments: none_recovers, probability that
    no ratio exceeds 1; alpha, level of the tests; the others as the report has them.
    """
    reasons = [describe_objective(NAMES[name], getattr(separations, name), getattr(recovery, name)) for name in NAMES]
    reasons += [
        f"{found.covariate} explains {found.explained:.2f} of the floor component of {NAMES[name].lower()}."
        for name in NAMES
        if (found := getattr(separations, name).floor_component) is not None
        and found.covariate is not None
        and found.explained is not None
        and found.explained >= WORTH_NAMING
    ]
    if not evidence.signal_claimed:
        reasons.append(_no_claim(evidence, alpha))
    better = best_modality(rehearsal)
    if none_recovers >= LIKELY_NONE or not evidence.signal_claimed:
        return _unimodal(better, none_recovers, rehearsal, reasons)
    ca = separations.ca.verdict is Verdict.RECOVERS
    ways = [
        way
        for way, found in ((Direction.X_TO_Y, separations.cp_x_to_y), (Direction.Y_TO_X, separations.cp_y_to_x))
        if found.verdict is Verdict.RECOVERS
    ]
    if ways:
        way = direction if direction in ways else ways[0]
        source, target = way.value.split("_to_")
        if direction_probability is not None and way is direction:
            reasons.append(_way(source, target, direction_probability))
        return Recommendation(Objective.EITHER if ca else Objective.PREDICTION, way, None, tuple(reasons))
    if ca:
        return Recommendation(Objective.ALIGNMENT, None, None, tuple(reasons))
    reasons.append(
        "No objective is sure enough to recommend: give what would settle it, or train a small run of the likeliest "
        "beside a single modality" + (f", {better} for a start." if better else ".")
    )
    return Recommendation(Objective.UNDETERMINED, None, None, tuple(reasons))


def describe_objective(name: str, separation: Separation, probability: float) -> str:
    """One objective in a sentence: verdict, probability, ratio with interval, what would settle it."""
    sentence = f"{name} {VERBS[separation.verdict]} (probability of recovery {probability:.2f}; {_ratio(separation)})."
    settle = separation.would_settle
    if settle is None:
        return sentence
    if separation.status is RatioStatus.NO_SIGNAL:
        return sentence
    wanted = [
        f"about {count} more {what}"
        for count, what in ((settle.more_labels, "labeled rows"), (settle.more_pairs, "pairs"))
        if count is not None
    ]
    if not wanted:
        near_one = (
            separation.status is RatioStatus.OK and separation.ratio is not None and 0.8 < separation.ratio < 1.25
        )
        return f"{sentence} Even 16 times as many labels or pairs like these would not settle it" + (
            ": the ratio is close to 1." if near_one else "."
        )
    return f"{sentence} It would take {' or '.join(wanted)} to settle it."


def _ratio(separation: Separation) -> str:
    interval = separation.interval
    if separation.status is RatioStatus.NO_SIGNAL:
        return "no signal"
    if separation.status is RatioStatus.NO_NUISANCE:
        return f"all {separation.signal_count} components are signal, with no nuisance beside them"
    value = f"ratio {separation.ratio:.3g}"
    if interval is not None:
        high = "unbounded" if interval.high is None else f"{interval.high:.3g}"
        value += f", {interval.level:.0%} interval {interval.low:.3g} to {high}"
    return f"{value}; {separation.recovered_count} of {separation.signal_count} signal components above the nuisance"


def _way(source: str, target: str, probability: float) -> str:
    if probability < HARDLY_BETTER:
        return f"If you predict, {target} from {source} or {source} from {target} makes hardly a difference."
    return f"If you predict, predict {target} from {source}: the better way with probability {probability:.2f}."


def _no_claim(evidence: Evidence, alpha: float) -> str:
    if max(evidence.coupling_p_value, evidence.labels_p_value) <= alpha:
        return (
            f"No signal is claimed: both tests speak for one (p = {evidence.coupling_p_value:.2g} for the pairing, "
            f"{evidence.labels_p_value:.2g} for the labels), but the model explains these data better without. Label "
            "more rows."
        )
    if evidence.coupling_p_value >= evidence.labels_p_value:
        return (
            "No signal is claimed: the pairing of x and y is hardly better than shuffled rows "
            f"(p = {evidence.coupling_p_value:.2g})."
        )
    return (
        "No signal is claimed: the labels do not go with anything that x and y share "
        f"(p = {evidence.labels_p_value:.2g})."
    )


def _unimodal(
    better: Modality | None, none_recovers: float, rehearsal: Rehearsal, reasons: list[str]
) -> Recommendation:
    if better is None:
        reasons.append(
            "Neither modality predicts the labels better than chance, so these labels cannot say what to train: check "
            "that labels and rows belong together, or label more rows."
        )
        return Recommendation(Objective.UNDETERMINED, None, None, tuple(reasons))
    why = (
        f"Probably no cross-modal objective recovers the whole signal ({none_recovers:.2f})"
        if none_recovers >= LIKELY_NONE
        else "Nothing speaks for a cross-modal objective yet, so stay with a single modality until something does"
    )
    reasons.append(f"{why}: train on {better} alone, which predicts the labels better than the other.")
    encoder = beats_modalities(rehearsal)
    if encoder is not None:
        reasons.append(
            f"Yet in the rehearsal the linear encoder {encoder.encoder} of dimension {encoder.embedding_dim} predicts "
            f"the labels better than {better} alone. If part of the signal is enough for you, it may be worth a run."
        )
    return Recommendation(Objective.UNIMODAL, None, better, tuple(reasons))
