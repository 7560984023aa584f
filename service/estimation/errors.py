"""Errors of the estimation core.  Each class has a stable code; the message says what is wrong and what to do.

EstimationError
+-- InputError                  the input cannot be estimated as it is
|   +-- WrongShape              wrong_shape
|   +-- UnsupportedType         unsupported_dtype
|   +-- UnpairedRows            unpaired_rows
|   +-- TooFewPairs             too_few_pairs
|   +-- TooFewLabeledRows       too_few_labeled_rows
|   +-- NonFiniteValues         non_finite_values
|   +-- ValuesTooLarge          values_too_large
|   +-- MissingColumn           missing_column
|   +-- ConstantModality        constant_modality
|   +-- ConstantLabels          constant_labels
|   +-- LabelCountMismatch      label_count_mismatch
|   +-- LabelRowOutOfRange      label_row_out_of_range
|   +-- RepeatedLabelRow        label_row_repeated
|   +-- LabelTypeRequired       label_type_required
|   +-- LabelTypeMismatch       label_type_mismatch
|   +-- LabelNames              label_names
|   +-- TooManyLabelTargets     too_many_label_targets
|   +-- MissingLabelValue       missing_label_value
|   +-- GroupCountMismatch      group_count_mismatch
|   +-- MissingGroupId          missing_group_id
|   +-- TooFewGroups            too_few_groups
|   +-- CovariateCountMismatch  covariate_count_mismatch
|   +-- CovariateTypeRequired   covariate_type_required
|   +-- CovariateTypeMismatch   covariate_type_mismatch
|   +-- CovariateNames          covariate_names
|   +-- TooManyCovariateTargets too_many_covariate_targets
|   +-- InvalidOption           invalid_option
|   +-- InvalidModel            invalid_model
+-- NumericalFailure            numerical_failure
"""

from __future__ import annotations

from typing import ClassVar


class EstimationError(Exception):
    """Anything the core refuses or cannot finish.

    `part` names the input concerned: x, y, labels, rows, groups, covariates, options or model.
    """

    code: ClassVar[str]

    def __init__(self, message: str, *, part: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.part = part


class InputError(EstimationError):
    """The input cannot be estimated as it is; the caller can mend it."""


class WrongShape(InputError):
    """An array does not have the number of dimensions, or of columns, that it needs."""

    code = "wrong_shape"


class UnsupportedType(InputError):
    """An array's type is not one that can be estimated from."""

    code = "unsupported_dtype"


class UnpairedRows(InputError):
    """x and y do not have the same number of rows."""

    code = "unpaired_rows"


class TooFewPairs(InputError):
    """There are fewer pairs than an estimate can be made from."""

    code = "too_few_pairs"


class TooFewLabeledRows(InputError):
    """There are fewer labeled rows than an estimate can be made from."""

    code = "too_few_labeled_rows"


class NonFiniteValues(InputError):
    """A value is NaN or infinite."""

    code = "non_finite_values"


class ValuesTooLarge(InputError):
    """A value is so large that its square leaves double precision."""

    code = "values_too_large"


class MissingColumn(InputError):
    """Every value of a feature column is missing."""

    code = "missing_column"


class ConstantModality(InputError):
    """No column of a modality varies."""

    code = "constant_modality"


class ConstantLabels(InputError):
    """No label column varies."""

    code = "constant_labels"


class LabelCountMismatch(InputError):
    """The labels are not as many as the rows they belong to."""

    code = "label_count_mismatch"


class LabelRowOutOfRange(InputError):
    """A label row points outside the pairs."""

    code = "label_row_out_of_range"


class RepeatedLabelRow(InputError):
    """A label row is given more than once."""

    code = "label_row_repeated"


class LabelTypeRequired(InputError):
    """A column of integers may be classes or quantities; the caller has to say which."""

    code = "label_type_required"


class LabelTypeMismatch(InputError):
    """A label column cannot have the type that was said for it."""

    code = "label_type_mismatch"


class LabelNames(InputError):
    """Label names are empty, repeated, or not those of the columns."""

    code = "label_names"


class TooManyLabelTargets(InputError):
    """The labels have more columns, classes counted one by one, than an estimate takes."""

    code = "too_many_label_targets"


class MissingLabelValue(InputError):
    """A label is missing, and the method needs every one."""

    code = "missing_label_value"


class GroupCountMismatch(InputError):
    """The group ids are not as many as the pairs."""

    code = "group_count_mismatch"


class MissingGroupId(InputError):
    """A pair has no group id."""

    code = "missing_group_id"


class TooFewGroups(InputError):
    """The labeled pairs belong to fewer groups than an estimate can be made from."""

    code = "too_few_groups"


class CovariateCountMismatch(InputError):
    """The covariates are not as many as the pairs."""

    code = "covariate_count_mismatch"


class CovariateTypeRequired(InputError):
    """A covariate of integers may be classes or quantities; the caller has to say which."""

    code = "covariate_type_required"


class CovariateTypeMismatch(InputError):
    """A covariate cannot have the type that was said for it."""

    code = "covariate_type_mismatch"


class CovariateNames(InputError):
    """Names of covariates are empty, repeated, or not those of the columns."""

    code = "covariate_names"


class TooManyCovariateTargets(InputError):
    """The covariates have more columns, classes counted one by one, than an estimate takes."""

    code = "too_many_covariate_targets"


class InvalidOption(InputError):
    """An option is unknown or outside its bounds."""

    code = "invalid_option"


class InvalidModel(InputError):
    """No spiked model has these parameters, or what is asked of it is out of bounds."""

    code = "invalid_model"


class NumericalFailure(EstimationError):
    """A factorisation did not converge or left the finite numbers."""

    code = "numerical_failure"
