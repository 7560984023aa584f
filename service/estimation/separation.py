"""Separation ratios, regimes, recovery counts and direction (Kamai et al. 2026; steps 6 and 7 of reference.py)."""

from __future__ import annotations

import numpy as np

from service.estimation.classification import Classes
from service.estimation.moments import Array
from service.estimation.separation_records import Ratio, Separation
from service.estimation.terms import Direction, RatioStatus, Regime, Verdict

RATIO_FLOOR = 1e-15  # least denominator of a ratio


def separation(singular_values: Array, signal: Classes) -> Separation:
    """Smallest singular value among signal over the largest among nuisance, with the floors and counts."""
    floor = float(singular_values[signal].min()) if signal.any() else None
    ceiling = float(singular_values[~signal].max()) if not signal.all() else None
    ratio = _divided(floor, ceiling)
    return Separation(
        ratio=ratio.ratio,
        status=ratio.status,
        interval=None,
        verdict=Verdict.RECOVERS if ratio.recovers else Verdict.DOES_NOT_RECOVER,
        would_settle=None,
        signal_floor=floor,
        nuisance_floor=ceiling,
        floor_component=None,
        signal_count=int(signal.sum()),
        recovered_count=int((singular_values[signal] > (-np.inf if ceiling is None else ceiling)).sum()),
    )


def without_ties(singular_values: Array, signal: Classes, tolerance: float) -> Array:
    """Singular values where signal within a relative `tolerance` of the nuisance floor is on it.

    Their ratio is then exactly 1 where mathematics says so, and rounding does not decide a regime.  The published
    procedure compares its values as they come.
    """
    if signal.all():
        return singular_values
    floor = singular_values[~signal].max()
    tied = signal & (np.abs(singular_values - floor) <= tolerance * floor)
    return np.where(tied, floor, singular_values)


def composite_ratio(signal: float, nuisance: float) -> Ratio:
    """A ratio of model coordinates: no signal where the numerator is 0, no nuisance where the ratio is unbounded."""
    if signal <= 0:
        return Ratio(None, RatioStatus.NO_SIGNAL)
    ratio = signal / nuisance if nuisance > 0 else np.inf
    return Ratio(ratio, RatioStatus.OK) if np.isfinite(ratio) else Ratio(None, RatioStatus.NO_NUISANCE)


def regime_of(ca: Ratio, cp: Ratio) -> Regime:
    """The regime of two ratios: an objective recovers the signal exactly when its ratio exceeds 1."""
    if ca.recovers:
        return Regime.BOTH if cp.recovers else Regime.CA_ONLY
    return Regime.CP_ONLY if cp.recovers else Regime.NEITHER


def direction_of(cp_x_to_y: Ratio, cp_y_to_x: Ratio) -> Direction | None:
    """The way with the larger prediction ratio among those above 1, x_to_y on a tie; None when neither is."""
    ways = [
        (np.inf if ratio.ratio is None else ratio.ratio, way)
        for ratio, way in ((cp_x_to_y, Direction.X_TO_Y), (cp_y_to_x, Direction.Y_TO_X))
        if ratio.recovers
    ]
    return max(ways, key=lambda entry: entry[0])[1] if ways else None


def _divided(floor: float | None, ceiling: float | None) -> Ratio:
    if floor is None:
        return Ratio(None, RatioStatus.NO_SIGNAL)
    if ceiling is None:
        return Ratio(None, RatioStatus.NO_NUISANCE)
    return Ratio(floor / max(ceiling, RATIO_FLOOR), RatioStatus.OK)
