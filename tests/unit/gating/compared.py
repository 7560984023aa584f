"""Reports of which it is known how they compare."""

from dataclasses import replace
from functools import cache

import numpy as np

from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.options import Options
from service.estimation.separation_records import (
    Interval,
    RecoveryProbability,
    RegimeProbabilities,
    RegimeShares,
)
from service.estimation.terms import Method, RatioStatus, Regime
from service.estimation.verdicts import verdict


@cache
def published(seed: int = 0):
    """A report of the published procedure: no intervals, no probabilities."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((60, 2))
    x = signal @ rng.standard_normal((2, 6)) + rng.standard_normal((60, 6))
    y = signal @ rng.standard_normal((2, 4)) + rng.standard_normal((60, 4))
    return estimate(x, y, label_columns(signal @ rng.standard_normal(2)), options=Options(method=Method.REFERENCE))


def report(ratio=1.5, low=1.2, high=2.0, probability=0.9, *, regime=Regime.BOTH, share=0.85):
    """A report in which every objective has the same ratio, interval and probability of recovery."""
    base = published()
    interval = None if low is None else Interval(low, high, 0.9)
    found = {
        name: replace(
            getattr(base.separation, name),
            ratio=ratio,
            status=RatioStatus.OK,
            interval=interval,
            verdict=verdict(probability),
        )
        for name in ("ca", "cp_x_to_y", "cp_y_to_x")
    }
    rest = (1 - share) / 3
    shares = RegimeShares(**{name.value: share if name is regime else rest for name in Regime})
    return replace(
        base,
        separation=replace(base.separation, **found),
        recovery_probability=RecoveryProbability(probability, probability, probability),
        regimes=replace(base.regimes, x_to_y=regime, y_to_x=regime),
        regime_probabilities=RegimeProbabilities(shares, shares),
    )


def with_ca(base, **changed):
    return replace(base, separation=replace(base.separation, ca=replace(base.separation.ca, **changed)))
