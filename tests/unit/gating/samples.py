"""Reports to be judged: one real one of each method, and what is put in their place to reach every corner."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.options import Options
from service.estimation.posterior import sampling
from service.estimation.report import Report
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import Interval, RecoveryProbability, RegimeShares, WouldSettle
from service.estimation.terms import Encoder, Method, RatioStatus
from service.estimation.verdicts import verdict
from service.gating.policy import Plan, Planned, Policy, Requirements
from tests.unit.estimation.samples import CLEAR

NAMES = ("ca", "cp_x_to_y", "cp_y_to_x")
REHEARSED = 4
"""The embedding that the reports were asked about, beside that of two signal components."""


@cache
def report_of(method: Method) -> Report:
    """Both objectives recover a signal of two components; labels `size` and `dose`; one chain, for speed."""
    sample = CLEAR["both"].sample(0, n=200)
    labels = label_columns({"size": sample.labels[:, 0], "dose": sample.labels[:, 1]})
    options = Options(method=method, embedding_dim=REHEARSED)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sampling, "MOST_CHAINS", 1)
        return estimate(sample.x, sample.y, labels, options=options)


@cache
def of_noise() -> Report:
    """Pairs that share nothing, and labels of nothing: no signal is claimed."""
    rng = np.random.default_rng(3)
    x, y, size = rng.standard_normal((160, 6)), rng.standard_normal((160, 8)), rng.standard_normal(160)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sampling, "MOST_CHAINS", 1)
        return estimate(x, y, label_columns({"size": size}))


def calibrated() -> Report:
    return report_of(Method.CALIBRATED)


def published() -> Report:
    return report_of(Method.REFERENCE)


def with_recovery(report: Report, ca: float, cp_x_to_y: float, cp_y_to_x: float, **settle: Any) -> Report:
    """The report with these probabilities of recovery, and the verdicts that go with them."""
    probabilities = dict(zip(NAMES, (ca, cp_x_to_y, cp_y_to_x), strict=True))
    separations = {
        name: replace(getattr(report.separation, name), verdict=verdict(probability), **settle)
        for name, probability in probabilities.items()
    }
    return replace(
        report,
        recovery_probability=RecoveryProbability(**probabilities),
        separation=replace(report.separation, **separations),
    )


def with_shares(report: Report, **shares: RegimeShares) -> Report:
    """The report with these probabilities of the regimes of a direction."""
    assert report.regime_probabilities is not None
    return replace(report, regime_probabilities=replace(report.regime_probabilities, **shares))


def with_ratio(report: Report, low: float | None, high: float | None, status: RatioStatus = RatioStatus.OK) -> Report:
    """The report with this interval of alignment's ratio, or none."""
    interval = None if low is None else Interval(low, high, 0.9)
    ratio = None if status is not RatioStatus.OK else report.separation.ca.ratio
    ca = replace(report.separation.ca, interval=interval, status=status, ratio=ratio)
    return replace(report, separation=replace(report.separation, ca=ca))


def with_scores(report: Report, encoder: Encoder, label: str | None = None, **changed: float) -> Report:
    """The report with other scores of an encoder, on one label or on all."""
    assert report.rehearsal is not None
    rows = tuple(
        replace(row, **changed) if row.encoder is encoder and label in (None, row.label) else row
        for row in report.rehearsal.rows
    )
    return replace(report, rehearsal=replace(report.rehearsal, rows=rows))


def with_warnings(report: Report, *codes: str) -> Report:
    """The report with these warnings and no others."""
    return replace(report, warnings=tuple(ReportWarning(code, f"Something about {code}.") for code in codes))


def no_claim(report: Report) -> Report:
    """The report of data for which no signal is claimed."""
    assert report.evidence is not None
    return replace(report, evidence=replace(report.evidence, signal_claimed=False))


SETTLE = WouldSettle(more_labels=100, more_pairs=None)


def a_policy(planned: Plan | Planned = Planned.ALIGNMENT, **require: Any) -> Policy:
    """A policy with these rules."""
    plan = planned if isinstance(planned, Plan) else Plan(planned)
    on_undetermined = {key: require.pop(key) for key in ("on_undetermined",) if key in require}
    return Policy("1.0", plan, Requirements(**require), **on_undetermined)
