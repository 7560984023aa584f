"""The separation of every objective by the calibrated estimate: interval, verdict, what would settle it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.estimation import calibrated_components
from service.estimation.calibrated import CalibratedEstimate
from service.estimation.extrapolation import OBJECTIVES
from service.estimation.separation_records import (
    FloorComponent,
    Interval,
    RecoveryProbability,
    Separation,
    Separations,
    WouldSettle,
)
from service.estimation.spectrum_records import Component, Spectra
from service.estimation.terms import ComponentClass, RatioStatus
from service.estimation.verdicts import verdict


def calibrated_separations(
    found: CalibratedEstimate,
    spectra: Spectra,
    recovery: RecoveryProbability,
    settle: dict[str, WouldSettle | None],
    level: float,
) -> Separations:
    """All three separations.

    Arguments: spectra, with the class of every component; recovery, probability of each ratio above 1; settle, by
    objective what would decide it; level, of the intervals.
    """
    return Separations(
        **{
            name: _separation(found, place, name, getattr(spectra, name), getattr(recovery, name), settle[name], level)
            for place, name in enumerate(OBJECTIVES)
        }
    )


def _separation(
    found: CalibratedEstimate,
    place: int,
    name: str,
    components: Sequence[Component],
    recovery: float,
    settle: WouldSettle | None,
    level: float,
) -> Separation:
    draws = found.posterior.draws
    unit = calibrated_components.value_units(name, found.units)
    low, median, high = found.log_intervals[place]
    some = draws.signal_count > 0
    nuisance = draws.nuisance_floor[:, place]
    if not found.claimed:
        status = RatioStatus.NO_SIGNAL
    elif np.isfinite(draws.log_ratios[:, place][some]).mean() >= 0.5:
        status = RatioStatus.OK
    else:
        status = RatioStatus.NO_NUISANCE
    interval = None
    if status is not RatioStatus.NO_NUISANCE:
        interval = Interval(
            low=float(np.exp(low)),
            high=float(np.exp(high)) if np.isfinite(high) else None,
            level=level,
        )
    return Separation(
        ratio=float(np.exp(median)) if status is RatioStatus.OK else None,
        status=status,
        interval=interval,
        verdict=verdict(recovery),
        would_settle=settle,
        signal_floor=float(np.median(draws.signal_floor[some, place])) * unit if found.claimed else None,
        nuisance_floor=float(np.median(nuisance)) * unit if status is not RatioStatus.NO_NUISANCE else None,
        floor_component=_floor_component(components),
        signal_count=int(np.bincount(draws.signal_count[some].astype(int)).argmax()) if found.claimed else 0,
        recovered_count=round(float(np.median(draws.recovered[some, place]))) if found.claimed else 0,
    )


def _floor_component(components: Sequence[Component]) -> FloorComponent | None:
    floor = next((component for component in components if component.class_ is ComponentClass.NUISANCE), None)
    if floor is None:
        return None
    covariate = max(floor.covariates, key=lambda name: floor.covariates[name], default=None)
    return FloorComponent(floor.index, covariate, None if covariate is None else floor.covariates[covariate])
