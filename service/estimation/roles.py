"""What columns are sent as: how messages speak of them, which errors they meet, how many targets they may make."""

from __future__ import annotations

from dataclasses import dataclass

from service.estimation.errors import (
    CovariateNames,
    CovariateTypeMismatch,
    CovariateTypeRequired,
    InputError,
    LabelNames,
    LabelTypeMismatch,
    LabelTypeRequired,
    TooManyCovariateTargets,
    TooManyLabelTargets,
)

MAX_TARGETS = 1000  # one-hot columns and numeric columns of the labels together
MAX_COVARIATE_TARGETS = 200  # the same of the covariates, every one of which takes a degree of freedom


@dataclass(frozen=True)
class Role:
    """Labels or covariates: the same kind of columns, under other names."""

    part: str
    singular: str  # names unnamed columns, targets and the option that says the types
    column: str
    row: str  # what a value belongs to
    entry: str  # the same with a number behind it
    max_targets: int
    names: type[InputError]
    type_required: type[InputError]
    type_mismatch: type[InputError]
    too_many: type[InputError]


LABELS = Role(
    part="labels",
    singular="label",
    column="label column",
    row="label row",
    entry="label",
    max_targets=MAX_TARGETS,
    names=LabelNames,
    type_required=LabelTypeRequired,
    type_mismatch=LabelTypeMismatch,
    too_many=TooManyLabelTargets,
)
COVARIATES = Role(
    part="covariates",
    singular="covariate",
    column="covariate",
    row="pair",
    entry="pair",
    max_targets=MAX_COVARIATE_TARGETS,
    names=CovariateNames,
    type_required=CovariateTypeRequired,
    type_mismatch=CovariateTypeMismatch,
    too_many=TooManyCovariateTargets,
)
