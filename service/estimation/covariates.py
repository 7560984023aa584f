"""Covariates: what is known of every pair beside its features, such as batch, depth or site.

They are typed like label columns, with one difference: nothing is left out where a value is missing.  A categorical
covariate has a class of its own for it, a numeric one NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.errors import CovariateCountMismatch
from service.estimation.inputs import check_finite_columns
from service.estimation.labels import LabelColumn, LabelType, LabelTypes, class_name, target_names, typed_columns
from service.estimation.roles import COVARIATES

MISSING_CLASS = "(missing)"


def covariate_columns(
    values: NDArray[Any] | Mapping[str, NDArray[Any]], types: LabelTypes = None
) -> tuple[LabelColumn, ...]:
    """Typed columns from an array (n,) or (n, C), named covariate_0, covariate_1, ..., or from named arrays.

    A categorical column that comes back is complete: its classes are text, one of them "(missing)", as soon as a value
    is missing.  A numeric column with missing values is double precision, NaN where `present` says that there is none.

    Raises: CovariateTypeRequired, CovariateTypeMismatch, CovariateNames, TooManyCovariateTargets, UnsupportedType and
    WrongShape, as `label_columns` does.
    """
    columns = tuple(_filled(column) for column in typed_columns(values, types, COVARIATES))
    target_names(columns, COVARIATES)
    return columns


def check_covariates(columns: Sequence[LabelColumn], n_pairs: int) -> None:
    """Refuse covariates of another length than the pairs, infinities, and overlarge values."""
    if columns and len(columns[0].values) != n_pairs:
        raise CovariateCountMismatch(
            f"The covariates have {len(columns[0].values)} rows and there are {n_pairs} pairs. Send one row of "
            "covariates for every row of x and y, in their order, labeled or not.",
            part="covariates",
        )
    check_finite_columns(columns, COVARIATES)


def _filled(column: LabelColumn) -> LabelColumn:
    if column.present is None:
        return column
    if column.type is LabelType.NUMERIC:
        values = column.values.astype(np.float64)
        values[~column.present] = np.nan
        return replace(column, values=values)
    classes = [
        class_name(value) if present else MISSING_CLASS
        for value, present in zip(column.values, column.present, strict=True)
    ]
    return replace(column, values=np.array(classes, dtype=np.dtypes.StringDType()), present=None)
