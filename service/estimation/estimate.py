"""START HERE.  The recipe: check the options, estimate by the method they name, report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from service.estimation import inputs
from service.estimation.calibrated_report import calibrated_report
from service.estimation.labels import LabelColumn
from service.estimation.options import Options
from service.estimation.reference_report import reference_report
from service.estimation.report import Report
from service.estimation.stages import Progress, Stages, silent
from service.estimation.terms import Method


def estimate(
    x: NDArray[Any],
    y: NDArray[Any],
    labels: Sequence[LabelColumn],
    rows: NDArray[Any] | None = None,
    options: Options | None = None,
    progress: Progress = silent,
    *,
    groups: NDArray[Any] | None = None,
    covariates: Sequence[LabelColumn] = (),
) -> Report:
    """Estimate which cross-modal objective recovers the signal that x and y share.

    Arguments:
        x (n, dx), y (n, dy): paired features; row i of both is the same sample.  May be memory-mapped.
        labels: columns (m,) from `labels.label_columns`; they define what signal is.
        rows (m,): the 0-based row of each label; None when the labels cover all n rows in order.
        options: see `options.Options`.
        progress: called with a stage's name and the fraction done before it.
        groups (n,): whole numbers or text; pairs of one id belong together (one subject, site, plate).
        covariates: columns (n,) from `covariates.covariate_columns`; what is known of the pairs besides.  How
            much of a component they explain is reported; nothing is taken out.

    Returns: the report.  Same input and options: the same report, `timings` apart; with method reference the number
    of BLAS threads may change the last digits.

    Raises: errors.InputError for input that cannot be estimated, errors.NumericalFailure.
    """
    options = options or Options()
    inputs.check_options(options)
    make = reference_report if options.method == Method.REFERENCE else calibrated_report
    return make(x, y, labels, rows, options, Stages(progress), groups=groups, covariates=covariates)
