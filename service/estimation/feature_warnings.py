"""What the features of one modality should make a reader know: gaps, scales, collinear columns, heavy tails."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import lapack

from service.estimation.basis import VARIANCE_TOLERANCE, Basis
from service.estimation.moments import Indices
from service.estimation.reduction import Tails
from service.estimation.report_warning import ReportWarning
from service.estimation.survey import ModalitySurvey, Survey
from service.estimation.terms import Direction, Missing
from service.estimation.warnings import listed

UNEQUAL_SCALES = 100.0  # ratio of standard deviations within a modality above which it is worth a warning
DOMINANT_SHARE = 0.9  # of the variance that the columns named as dominant carry together
COLLINEAR_TOLERANCE = 1e-10  # of a column's variance that others leave unexplained
TAIL_COMPONENTS = 10  # leading components that are looked at
TAIL_PAIRS = 50  # pairs below which one row's share says nothing
TAIL_SHARE = 0.25  # of a component's variance above which one row drives it
TAIL_ROWS = 20.0  # in few pairs one row may have this many times its even share
HEAVY_KURTOSIS = 10.0  # Mardia's, normal data having 1
INTO = {"x": Direction.Y_TO_X, "y": Direction.X_TO_Y}


def missing_values(survey: Survey, n_pairs: int) -> Iterator[ReportWarning]:
    """Values were missing, and something was done about it."""
    found = [_gaps(side, n_pairs) for side in (survey.x, survey.y) if side.n_missing.any()]
    if not found:
        return
    if survey.missing is Missing.DROP_ROWS:
        done = (
            f"{n_pairs - survey.n_pairs} of {n_pairs} pairs with a missing value were left out of x and y, as the "
            f"option `missing` says; {survey.n_pairs} are left. If values are missing for a reason, those are no fair "
            "sample: compare them with what was left out."
        )
    else:
        done = (
            "Each was replaced by its column's mean, as the option `missing` says, which weakens whatever these "
            "columns are correlated with: fill them in from what is known, or leave out columns with many."
        )
    yield ReportWarning("missing_values", f"{'; '.join(found)}. {done}")


def unequal_scales(side: ModalitySurvey, basis: Basis) -> Iterator[ReportWarning]:
    """Columns of so different a scale that a few decide what prediction into this modality is measured in."""
    columns = side.varying
    deviations = side.deviations[columns] / basis.scale[columns]
    ratio = float(deviations.max() / deviations.min())
    if ratio <= UNEQUAL_SCALES:
        return
    order = np.argsort(-deviations, kind="stable")
    variances = (deviations[order] / deviations[order[0]]) ** 2
    shares = np.cumsum(variances) / variances.sum()
    dominant = columns[order[: int(np.argmax(shares >= DOMINANT_SHARE)) + 1]]
    lost = (
        " Columns below a millionth of the largest are lost to rounding for every objective."
        if ratio**2 * VARIANCE_TOLERANCE > 1
        else ""
    )
    yield ReportWarning(
        "unequal_scales",
        f"The standard deviations of {side.part}'s columns reach from {deviations.min():.3g} (column "
        f"{columns[deviations.argmin()]}) to {deviations.max():.3g} (column {columns[deviations.argmax()]}, counted "
        f"from 0). {100 * shares[len(dominant) - 1]:.0f} % of the variance lies in {_columns(dominant)} the ratio of "
        f"prediction into {side.part} ({INTO[side.part]}): signal there raises it, nuisance there "
        f"lowers it, and the other columns hardly count. Alignment does not depend on scales.{lost} Unless the scales "
        "are meant, set the option `scaling` to standardize.",
    )


def collinear_columns(side: ModalitySurvey, basis: Basis) -> Iterator[ReportWarning]:
    """Columns that are linear combinations of others."""
    columns = side.varying
    dependent = _dependent(side, columns)
    if len(dependent):
        yield ReportWarning(
            "collinear_columns",
            f"{len(dependent)} of {len(columns)} columns of {side.part} that vary are linear combinations of others: "
            f"{listed(dependent)} (counted from 0); the kept rank is {basis.rank}. They add nothing, but prediction "
            f"into {side.part} ({INTO[side.part]}) counts what they repeat more than once: leave them out, such as a "
            "total beside its parts.",
        )


def heavy_tails(part: str, tails: Tails, n_pairs: int) -> Iterator[ReportWarning]:
    """One row drives a leading component, or few rows carry most of the variance.

    A row drives a component when its share of the component's sum of squares exceeds TAIL_SHARE and TAIL_ROWS / n:
    in 50 pairs of normal data, 0.4 is exceeded in one component of 30,000.
    """
    if n_pairs < TAIL_PAIRS:
        return
    shares = tails.shares[:TAIL_COMPONENTS]
    driven = np.flatnonzero(shares > max(TAIL_SHARE, TAIL_ROWS / n_pairs))
    advice = (
        "Look whether such rows are errors and mend or leave them out; transform features with heavy tails "
        "(logarithm, ranks) before they are sent."
    )
    if len(driven):
        said = ", ".join(f"row {tails.rows[c]} makes up {100 * shares[c]:.0f} % of component {c}" for c in driven)
        yield ReportWarning(
            "heavy_tails",
            f"Single rows drive principal components of {part}, by share of variance: {said} (rows and components "
            f"counted from 0). Such components say nothing about the other rows. {advice}",
        )
    elif tails.kurtosis > HEAVY_KURTOSIS:
        yield ReportWarning(
            "heavy_tails",
            f"The kurtosis of {part}'s principal components is {tails.kurtosis:.3g} times that of normal data: a few "
            f"rows, row {tails.rows[shares.argmax()]} first (counted from 0), carry much of the variance, and with "
            f"other rows the estimate would be another. {advice}",
        )


def _columns(dominant: Indices) -> str:
    several = len(dominant) > 1
    return f"column{'s' * several} {listed(dominant)}, which decide{'s' * (not several)}"


def _gaps(side: ModalitySurvey, n_pairs: int) -> str:
    total = int(side.n_missing.sum())
    worst = int(side.n_missing.argmax())
    return (
        f"{side.part} has {total} missing values in {int((side.n_missing > 0).sum())} of {len(side.n_missing)} "
        f"columns, most of them in column {worst} ({100 * side.n_missing[worst] / n_pairs:.2g} % of its values)"
    )


def _dependent(side: ModalitySurvey, columns: Indices) -> Indices:
    """Columns that the others determine, by a pivoted Cholesky factorisation of the correlation matrix."""
    if side.products is None or side.n_pairs <= len(columns):
        return np.empty(0, dtype=np.int64)
    roots = 1.0 / np.sqrt(side.products[columns, columns])
    correlations = side.products[np.ix_(columns, columns)] * roots * roots[:, None]
    _, pivots, rank, _ = lapack.dpstrf(correlations, tol=COLLINEAR_TOLERANCE)
    return np.sort(columns[pivots[rank:] - 1])
