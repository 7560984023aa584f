"""Label columns and covariates as they were understood."""

from __future__ import annotations

from collections.abc import Sequence

from service.estimation import inputs
from service.estimation.data_records import ClassCount, CovariateSummary, LabelSummary
from service.estimation.labels import LabelColumn, LabelType, class_counts, present_values


def label_summaries(columns: Sequence[LabelColumn]) -> tuple[LabelSummary, ...]:
    """Every label column, in the order given."""
    return tuple(
        LabelSummary(
            name=column.name,
            type=column.type,
            classes=_classes(column),
            present=len(present_values(column)),
            used=inputs.is_usable(column),
        )
        for column in columns
    )


def covariate_summaries(covariates: Sequence[LabelColumn]) -> tuple[CovariateSummary, ...]:
    """Every covariate, in the order given."""
    return tuple(CovariateSummary(column.name, column.type, _classes(column)) for column in covariates)


def _classes(column: LabelColumn) -> tuple[ClassCount, ...] | None:
    if column.type is not LabelType.CATEGORICAL:
        return None
    return tuple(ClassCount(name, count) for name, count in class_counts(column).items())
