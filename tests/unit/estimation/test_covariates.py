import numpy as np
import pytest

from service.estimation.covariates import check_covariates, covariate_columns
from service.estimation.errors import (
    CovariateCountMismatch,
    CovariateNames,
    CovariateTypeMismatch,
    CovariateTypeRequired,
    NonFiniteValues,
    TooManyCovariateTargets,
    UnsupportedType,
    ValuesTooLarge,
    WrongShape,
)
from service.estimation.labels import LabelType, class_counts
from service.estimation.roles import MAX_COVARIATE_TARGETS

CATEGORICAL, NUMERIC = LabelType.CATEGORICAL, LabelType.NUMERIC
WHOLE = np.array([3, 1, 2, 1])
MASK = np.array([False, False, True, False])


def refused(error, code, values, types, *words):
    with pytest.raises(error) as caught:
        check_covariates(covariate_columns(values, types), 4)
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.part) == (code, "covariates")
    for word in words:
        assert word in caught.value.message
    assert "label column" not in caught.value.message.lower()


def one(values, said=None):
    (column,) = covariate_columns({"c": values}, said)
    return column


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        (np.array(["b", "a", "b", "a"]), None, CATEGORICAL),
        (np.array([True, False, True, True]), None, CATEGORICAL),
        (np.array([True, False, True, True]), NUMERIC, NUMERIC),
        (np.arange(4.0), None, NUMERIC),
        (WHOLE, "numeric", NUMERIC),
        (WHOLE, CATEGORICAL, CATEGORICAL),
    ],
)
def test_types_are_those_of_labels(values, said, expected):
    column = one(values, said)
    assert (column.type, column.present) == (expected, None)
    np.testing.assert_array_equal(column.values, values)


def test_unnamed_columns_are_numbered():
    assert [column.name for column in covariate_columns(np.ones((4, 2)))] == ["covariate_0", "covariate_1"]


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        (np.array(["b", "", "b", "a"]), {"(missing)": 1, "a": 1, "b": 2}),
        (np.ma.MaskedArray(WHOLE, mask=MASK), {"(missing)": 1, "1": 2, "3": 1}),
        (np.array([2.0, np.nan, 2.0, 1.5]), {"(missing)": 1, "1.5": 1, "2": 2}),
        (np.ma.MaskedArray([True, False, True, False], mask=MASK), {"(missing)": 1, "false": 2, "true": 1}),
    ],
    ids=["text", "whole", "real", "boolean"],
)
def test_a_missing_class_is_a_class(values, counts):
    column = one(values, CATEGORICAL)
    assert column.present is None
    assert class_counts(column) == counts


@pytest.mark.parametrize("values", [np.ma.MaskedArray(WHOLE, mask=MASK), np.array([3, 1, np.nan, 1], dtype="f4")])
def test_a_missing_number_is_nan(values):
    column = one(values, NUMERIC)
    assert column.present.tolist() == (~MASK).tolist()
    np.testing.assert_array_equal(column.values, [3, 1, np.nan, 1])
    check_covariates([column], 4)


def test_integers_need_a_type_whether_or_not_one_is_missing():
    for values in (WHOLE, np.ma.MaskedArray(WHOLE, mask=MASK)):
        words = ("Covariate 'c' holds integers", '{"covariate_types": {"c": "categorical"}}')
        refused(CovariateTypeRequired, "covariate_type_required", {"c": values}, None, *words)


@pytest.mark.parametrize(
    ("error", "code", "values", "types", "word"),
    [
        (CovariateTypeMismatch, "covariate_type_mismatch", {"c": np.array(["a", "b"] * 2)}, NUMERIC, "text"),
        (CovariateTypeMismatch, "covariate_type_mismatch", {"c": WHOLE}, {"c": "ordinal"}, "'ordinal'"),
        (CovariateNames, "covariate_names", {"c": WHOLE}, {"d": NUMERIC}, "covariate_types names 'd'"),
        (CovariateNames, "covariate_names", {" ": WHOLE}, NUMERIC, "no name"),
        (CovariateNames, "covariate_names", {"c": np.array(["x" * 300, *"abc"])}, None, "302 characters"),
        (UnsupportedType, "unsupported_dtype", {"c": WHOLE.astype(complex)}, None, "complex128"),
        (WrongShape, "wrong_shape", {}, None, "The covariates have no column"),
        (WrongShape, "wrong_shape", {"c": WHOLE, "d": WHOLE[:3]}, NUMERIC, "one value per pair"),
        (WrongShape, "wrong_shape", np.ones((4, 2, 1)), None, "3 dimensions"),
        (NonFiniteValues, "non_finite_values", {"c": np.array([1, np.nan, np.inf, 2])}, None, "at pair 2 "),
        (ValuesTooLarge, "values_too_large", {"c": np.array([1, np.nan, 1e150, 2])}, None, "1e+150"),
        (CovariateCountMismatch, "covariate_count_mismatch", {"c": np.ones(3)}, None, "3 rows and there are 4 pairs"),
        (CovariateCountMismatch, "covariate_count_mismatch", {"c": np.ones(5)}, None, "5 rows and there are 4 pairs"),
    ],
)
def test_refused(error, code, values, types, word):
    refused(error, code, values, types, word)


def test_as_many_targets_as_allowed():
    assert MAX_COVARIATE_TARGETS == 200
    assert len(covariate_columns(np.ones((4, 200)))) == 200
    words = ("201 columns, more than 200",)
    refused(TooManyCovariateTargets, "too_many_covariate_targets", np.ones((4, 201)), None, *words)


def test_classes_and_the_missing_one_count_as_targets():
    kinds = np.array([f"k{place}" for place in range(200)])
    assert len(covariate_columns({"c": kinds})) == 1
    words = ("With covariate 'c' there are 201 covariate targets, over 200",)
    refused(TooManyCovariateTargets, "too_many_covariate_targets", {"c": np.append(kinds, "")}, None, *words)


def test_no_covariates_are_no_mistake():
    check_covariates((), 4)
