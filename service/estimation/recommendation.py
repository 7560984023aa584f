"""What to train, from the ratios alone: a pure function with its reasons in sentences."""

from __future__ import annotations

from service.estimation.report import Recommendation
from service.estimation.separation import direction_of
from service.estimation.separation_records import Ratio, Separation, Separations
from service.estimation.terms import Direction, Modality, Objective, RatioStatus

NAMES = {
    "ca": "Alignment",
    "cp_x_to_y": "Prediction of y from x",
    "cp_y_to_x": "Prediction of x from y",
}


def recommend(separations: Separations, unimodal_r2: dict[Modality, float]) -> Recommendation:
    """The objective that recovers the signal, or the better single modality when none does.

    `unimodal_r2` is the R^2 of each modality's signal components alone, summed over components and labels: it ranks
    the modalities where cross-modal training would harm.
    """
    reasons = [
        describe_ratio(NAMES["ca"], separations.ca),
        describe_ratio(NAMES["cp_x_to_y"], separations.cp_x_to_y),
        describe_ratio(NAMES["cp_y_to_x"], separations.cp_y_to_x),
    ]
    direction = direction_of(separations.cp_x_to_y, separations.cp_y_to_x)
    if direction is not None:
        reasons.append(_way(direction, separations))
        objective = Objective.EITHER if separations.ca.recovers else Objective.PREDICTION
        return Recommendation(objective, direction, None, tuple(reasons))
    if separations.ca.recovers:
        reasons.append("Only alignment keeps the signal above the nuisance.")
        return Recommendation(Objective.ALIGNMENT, None, None, tuple(reasons))
    # The first, x, on a tie.
    better = max(unimodal_r2, key=lambda modality: unimodal_r2[modality])
    other = Modality.Y if better is Modality.X else Modality.X
    if unimodal_r2[better] <= 0:
        reasons.append(
            "No component of either modality predicts a label, so these labels cannot say what to train: "
            "check that labels and rows belong together, or label more rows."
        )
        return Recommendation(Objective.UNDETERMINED, None, None, tuple(reasons))
    reasons.append(
        f"No cross-modal objective separates the signal, so train on one modality: the components of {better} alone "
        f"predict the labels better (summed R^2 {unimodal_r2[better]:.3g}, {unimodal_r2[other]:.3g} for {other})."
    )
    return Recommendation(Objective.UNIMODAL, None, better, tuple(reasons))


def describe_ratio(name: str, separation: Separation) -> str:
    """One objective's ratio in a sentence."""
    match separation.status:
        case RatioStatus.NO_SIGNAL:
            return f"{name}: no component is signal, so there is nothing to recover."
        case RatioStatus.NO_NUISANCE:
            return f"{name}: every component is signal, so no nuisance stands above it."
    verb = "recovers" if separation.recovers else "does not recover"
    ratio, signal, nuisance = (
        _shown(value, separation.ratio)
        for value in (separation.ratio, separation.signal_floor, separation.nuisance_floor)
    )
    count = f"{separation.recovered_count} of {separation.signal_count} signal components"
    return (
        f"{name} {verb} the signal: ratio {ratio} (weakest signal {signal}, strongest nuisance {nuisance}; "
        f"{count} above the nuisance)."
    )


def _way(direction: Direction, separations: Separations) -> str:
    chosen, other = (
        (separations.cp_x_to_y, separations.cp_y_to_x)
        if direction is Direction.X_TO_Y
        else (separations.cp_y_to_x, separations.cp_x_to_y)
    )
    source, target = ("x", "y") if direction is Direction.X_TO_Y else ("y", "x")
    return f"Predict {target} from {source}: its ratio is {_number(chosen)}, against {_number(other)} the other way."


def _number(ratio: Ratio) -> str:
    match ratio.status:
        case RatioStatus.NO_SIGNAL:
            return "0 (no signal)"
        case RatioStatus.NO_NUISANCE:
            return "unbounded (no nuisance)"
    return _shown(ratio.ratio, ratio.ratio)


def _shown(value: float | None, ratio: float | None) -> str:
    """A number with as many digits as it takes to see on which side of 1 the ratio lies."""
    near_one = ratio is not None and abs(ratio - 1) < 0.005
    return f"{value:.9g}" if near_one else f"{value:.3g}"
