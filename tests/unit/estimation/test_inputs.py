"""Every refusal, raised by a call of `estimate`, with its code and the words that say what to do."""

import dataclasses

import numpy as np
import pytest

from service.estimation import errors, inputs
from service.estimation.estimate import estimate
from service.estimation.labels import LabelColumn, LabelType, label_columns
from service.estimation.options import Scalings
from service.estimation.terms import Missing, Scaling

from .samples import PUBLISHED, paired

pytestmark = pytest.mark.usefixtures("one_chain")

X, Y, LABELS = paired(n=40)
COLUMNS = label_columns(LABELS)
FEW = label_columns(LABELS[:20])
ROWS = np.arange(20)


def refused(error, code, part, *words, x=X, y=Y, labels=COLUMNS, rows=None, options=None):
    """Assert that the estimate is refused so, the message holding all `words`."""
    with pytest.raises(error) as caught:
        estimate(x, y, labels, rows, options)
    assert type(caught.value) is error
    assert caught.value.code == code
    assert caught.value.part == part
    for word in words:
        assert word in caught.value.message
    assert caught.value.message.endswith((".", '"numeric".'))


def with_value(array, row, column, value):
    changed = array.copy()
    changed[row, column] = value
    return changed


class TestShape:
    @pytest.mark.parametrize(
        ("x", "words"),
        [
            (X[:, 0], ("1 dimension.", "(pairs, features)", "reshape(-1, 1)")),
            (X[:, :, None], ("3 dimensions", "(pairs, features)")),
            (np.float64(3.0), ("0 dimensions", "(pairs, features)")),
            (X[:, :0], ("no columns", "at least one feature")),
        ],
        ids=["1-d", "3-d", "0-d", "0-column"],
    )
    def test_features(self, x, words):
        refused(errors.WrongShape, "wrong_shape", "x", *words, x=x)

    def test_second_modality_is_named(self):
        refused(errors.WrongShape, "wrong_shape", "y", "y has 1 dimension.", y=Y[:, 0])

    def test_unpaired_rows(self):
        refused(errors.UnpairedRows, "unpaired_rows", None, "40", "39", "same sample", y=Y[:39])

    def test_too_few_pairs(self):
        few = label_columns(LABELS[:19])
        refused(errors.TooFewPairs, "too_few_pairs", None, "19", "20", "more pairs", x=X[:19], y=Y[:19], labels=few)

    def test_fewest_pairs_pass(self):
        assert estimate(X[:20], Y[:20], FEW).data.n_pairs == inputs.MIN_PAIRS == 20

    def test_one_column_each_passes(self):
        assert len(estimate(X[:, :1], Y[:, :1], COLUMNS).spectra.ca) == 1


class TestType:
    @pytest.mark.parametrize("dtype", [bool, complex, object, str, np.longdouble, np.complex64, "S5", "M8[s]", "m8[s]"])
    def test_refused(self, dtype):
        x = np.ones(X.shape).astype(np.int64).astype(dtype)
        refused(errors.UnsupportedType, "unsupported_dtype", "x", str(x.dtype), "float32", x=x)

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i1", "i4", ">i8", "u1", "u8"])
    def test_accepted_and_read_as_its_values(self, dtype):
        x = np.abs(X * 10).astype(dtype)
        found = estimate(x, Y, COLUMNS)
        expected = estimate(x.astype(np.float64), Y, COLUMNS)
        assert found.spectra == expected.spectra
        assert found.separation == expected.separation

    @pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "memory-mapped", "read-only"])
    def test_layout_does_not_matter(self, layout, tmp_path):
        np.save(tmp_path / "x.npy", X)
        wide = np.repeat(X, 2, axis=1)
        read_only = X.copy()
        read_only.flags.writeable = False
        x = {
            "fortran": np.asfortranarray(X),
            "strided": wide[:, ::2],
            "reversed": X[::-1].copy()[::-1],
            "memory-mapped": np.load(tmp_path / "x.npy", mmap_mode="r"),
            "read-only": read_only,
        }[layout]
        found, expected = estimate(x, Y, COLUMNS), estimate(X, Y, COLUMNS)
        assert dataclasses.replace(found, timings=expected.timings) == expected


class TestValues:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_first_non_finite_value_is_located(self, value):
        x = with_value(with_value(X, 31, 2, value), 7, 5, value)
        words = ("2 values", "row 7, column 5", "counted from 0", "Remove those rows")
        refused(errors.NonFiniteValues, "non_finite_values", "x", *words, x=x)

    def test_also_in_an_unlabeled_row(self):
        y = with_value(Y, 33, 4, np.nan)
        words = ("1 values", "row 33, column 4")
        refused(errors.NonFiniteValues, "non_finite_values", "y", *words, y=y, labels=FEW, rows=ROWS)

    @pytest.mark.parametrize("chunk_rows", [1, 3, 20, 39, 40, 1000])
    def test_located_and_counted_across_chunks(self, monkeypatch, chunk_rows):
        monkeypatch.setattr(inputs, "CHUNK_BYTES", 8 * X.shape[1] * chunk_rows)
        x = X.copy()
        x[[19, 20, 39], [6, 0, 3]] = np.nan
        words = ("3 values", "row 19, column 6")
        refused(errors.NonFiniteValues, "non_finite_values", "x", *words, x=x)

    @pytest.mark.parametrize("chunk_bytes", [1, 8 * 7 * 3, 10**9])
    def test_summary_does_not_depend_on_chunks(self, monkeypatch, chunk_bytes):
        x = X.copy()
        x[:, 4] = 2.0
        x[11] = x[2]
        whole = inputs.check_values("x", x)
        monkeypatch.setattr(inputs, "CHUNK_BYTES", chunk_bytes)
        found = inputs.check_values("x", x)
        np.testing.assert_array_equal(found.row_hashes, whole.row_hashes)
        assert found.constant_columns.tolist() == [4]
        assert found.row_hashes[11] == found.row_hashes[2]
        assert len(set(found.row_hashes.tolist())) == 39

    def test_negative_zero_equals_zero(self):
        x = X.copy()
        x[3], x[5] = 0.0, -0.0
        hashes = inputs.check_values("x", x).row_hashes
        assert hashes[3] == hashes[5]

    @pytest.mark.parametrize("value", [1.1e100, -1e200, 1.7e308])
    def test_too_large(self, value):
        words = (f"{abs(value):.3g}", "1e+100", "Divide")
        refused(errors.ValuesTooLarge, "values_too_large", "x", *words, x=with_value(X, 3, 1, value))

    def test_largest_allowed_passes(self):
        report = estimate(X * (1e100 / np.abs(X).max()) * 0.999, Y, COLUMNS)
        assert all(np.isfinite(component.singular_value) for component in report.spectra.pls)

    def test_constant_modality(self):
        x = np.broadcast_to(np.arange(7.0), X.shape)
        refused(errors.ConstantModality, "constant_modality", "x", "No column of x varies", "Check", x=x)

    def test_constant_among_the_labeled(self):
        y = Y.copy()
        y[:20] = 1.5
        words = ("No column of y varies among the 20 labeled rows",)
        given = {"y": y, "labels": FEW, "rows": ROWS, "options": PUBLISHED}
        refused(errors.ConstantModality, "constant_modality", "y", *words, **given)


class TestRows:
    def test_missing_rows(self):
        words = ("20 labels for 40 pairs", "`rows`")
        refused(errors.LabelCountMismatch, "label_count_mismatch", "labels", *words, labels=FEW)

    def test_count_mismatch(self):
        words = ("20 labels and 21 rows",)
        refused(errors.LabelCountMismatch, "label_count_mismatch", "rows", *words, labels=FEW, rows=np.arange(21))

    def test_mask_is_refused_with_advice(self):
        mask = np.arange(40) < 20
        words = ("bool", "numpy.flatnonzero")
        refused(errors.UnsupportedType, "unsupported_dtype", "rows", *words, labels=FEW, rows=mask)

    @pytest.mark.parametrize("dtype", [float, object, str])
    def test_not_whole_numbers(self, dtype):
        words = ("whole row numbers",)
        refused(errors.UnsupportedType, "unsupported_dtype", "rows", *words, labels=FEW, rows=ROWS.astype(dtype))

    @pytest.mark.parametrize("rows", [ROWS.reshape(4, 5), ROWS[None], np.int64(3)], ids=["table", "row", "scalar"])
    def test_shape(self, rows):
        words = (str(rows.shape), "one row number per label")
        refused(errors.WrongShape, "wrong_shape", "rows", *words, labels=FEW, rows=rows)

    def test_column_of_rows_is_accepted(self):
        expected = estimate(X, Y, FEW, ROWS)
        found = estimate(X, Y, FEW, ROWS[:, None])
        assert dataclasses.replace(found, timings=expected.timings) == expected

    def test_too_few_labeled(self):
        few = label_columns(LABELS[:9])
        words = ("9 labeled rows", "10", "label more rows")
        refused(errors.TooFewLabeledRows, "too_few_labeled_rows", "rows", *words, labels=few, rows=np.arange(9))

    def test_fewest_labeled_pass(self):
        report = estimate(X, Y, label_columns(LABELS[:10]), np.arange(10))
        assert report.data.n_labeled == inputs.MIN_LABELED_ROWS == 10

    @pytest.mark.parametrize(("value", "count"), [(40, 1), (-1, 1), (10**12, 1)])
    def test_out_of_range(self, value, count):
        rows = ROWS.copy()
        rows[4] = value
        words = (f"{count} label rows", "40 pairs", f"first is {value}", "0 to 39")
        refused(errors.LabelRowOutOfRange, "label_row_out_of_range", "rows", *words, labels=FEW, rows=rows)

    def test_repeated(self):
        rows = ROWS.copy()
        rows[9], rows[12] = 7, 3
        words = ("2 rows", "first is row 3", "one label per row")
        refused(errors.RepeatedLabelRow, "label_row_repeated", "rows", *words, labels=FEW, rows=rows)

    @pytest.mark.parametrize("dtype", ["u1", "u8", "i2", ">i4"])
    def test_any_integer_type(self, dtype):
        expected = estimate(X, Y, FEW, ROWS)
        found = estimate(X, Y, FEW, ROWS.astype(dtype))
        assert dataclasses.replace(found, timings=expected.timings) == expected


class TestLabels:
    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    @pytest.mark.parametrize("kind", list(LabelType))
    def test_non_finite(self, value, kind):
        labels = label_columns(with_value(with_value(LABELS, 17, 1, value), 3, 1, np.nan), kind)
        words = ("Label column 'label_1'", "1 values", "label 17", "leave those rows out")
        refused(errors.NonFiniteValues, "non_finite_values", "labels", *words, labels=labels)

    def test_nan_that_is_not_said_to_be_missing(self):
        labels = [LabelColumn("a", LabelType.NUMERIC, with_value(LABELS, 17, 0, np.nan)[:, 0])]
        refused(errors.NonFiniteValues, "non_finite_values", "labels", "'a'", "label 17", labels=labels)

    @pytest.mark.parametrize("kind", list(LabelType))
    def test_missing_values_are_not_for_the_published_procedure(self, kind):
        labels = label_columns(with_value(with_value(LABELS, 17, 1, np.nan), 30, 1, np.nan), kind)
        words = ("'label_1' has no value for 2 of 40 labels", "first at label 17", "method calibrated")
        given = {"labels": labels, "options": PUBLISHED}
        refused(errors.MissingLabelValue, "missing_label_value", "labels", *words, **given)

    def test_columns_that_are_dropped_may_have_missing_values(self):
        few, constant = np.full(40, np.nan), np.where(np.arange(40) < 15, np.nan, 3.0)
        few[:9] = LABELS[:9, 0]
        labels = label_columns({"full": LABELS[:, 0], "few": few, "constant": constant})
        report = estimate(X, Y, labels)
        assert [(label.present, label.used) for label in report.data.labels] == [(40, True), (9, False), (25, False)]
        assert report.data.n_labeled == 40
        assert report.spectra == estimate(X, Y, label_columns({"full": LABELS[:, 0]})).spectra

    def test_no_column_with_values_enough(self):
        few = np.full((40, 2), np.nan)
        few[:9] = LABELS[:9]
        words = ("No label column has 10 values", "'label_0', 'label_1'", "Label more rows")
        refused(errors.TooFewLabeledRows, "too_few_labeled_rows", "labels", *words, labels=label_columns(few))

    def test_a_column_is_usable_from_ten_values_on(self):
        values = np.full(40, np.nan)
        values[5:15] = np.arange(10.0)
        (column,) = label_columns(values)
        assert inputs.check_labels([column]) == (column,)
        values[5] = np.nan
        assert not inputs.is_usable(label_columns(values)[0])

    def test_too_large(self):
        labels = label_columns(with_value(LABELS, 17, 1, -1e150))
        refused(errors.ValuesTooLarge, "values_too_large", "labels", "'label_1'", "1e+150", labels=labels)

    def test_constant(self):
        labels = label_columns({"site": np.full(40, "a"), "dose": np.zeros(40)})
        refused(errors.ConstantLabels, "constant_labels", "labels", "'site', 'dose'", "differ", labels=labels)


def chosen(**options):
    """Options of the published procedure, but for what is given."""
    return dataclasses.replace(PUBLISHED, **options)


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (chosen(method="magic"), ("no method 'magic'", "calibrated, reference")),
            (chosen(rule="knee"), ("'knee'", "elbow, elbow_log, permutation")),
            (chosen(missing="ignore"), ("'ignore'", "refuse, drop_rows, mean")),
            (chosen(scaling="standardize"), ("scaling", "Scalings(x=..., y=...)")),
            (chosen(scaling=Scalings(y="log")), ("no scaling.y 'log'", "none, standardize")),
            (chosen(n_components=1), ("n_components is 1", "2 to 500")),
            (chosen(n_components=501), ("n_components is 501", "2 to 500")),
            (chosen(n_components=True), ("n_components is True", "2 to 500")),
            (chosen(pca_components=1), ("pca_components is 1", "2 to 2000")),
            (chosen(pca_components=2.0), ("pca_components is 2.0", "2 to 2000")),
            (chosen(pca_components=2001), ("pca_components is 2001", "2 to 2000")),
            (chosen(pca_variance=0), ("pca_variance is 0", "above 0 and at most 1")),
            (chosen(pca_variance=1.01), ("pca_variance is 1.01", "above 0 and at most 1")),
            (chosen(pca_variance=True), ("pca_variance is True", "above 0 and at most 1")),
            (chosen(pca_variance=np.nan), ("pca_variance is nan", "above 0 and at most 1")),
            (chosen(alpha=0.00009), ("alpha is 9e-05", "0.0001 to 0.5")),
            (chosen(alpha=0.51), ("alpha is 0.51", "0.0001 to 0.5")),
            (chosen(alpha=False), ("alpha is False", "0.0001 to 0.5")),
            (chosen(alpha=np.nan), ("alpha is nan", "0.0001 to 0.5")),
            (chosen(alpha="0.05"), ("alpha is 0.05", "0.0001 to 0.5")),
            (chosen(embedding_dim=0), ("embedding_dim is 0", "1 to 2000")),
            (chosen(embedding_dim=2001), ("embedding_dim is 2001", "1 to 2000")),
            (chosen(embedding_dim=True), ("embedding_dim is True", "1 to 2000")),
            (chosen(seed=-1), ("seed is -1", "0 to 4294967295")),
            (chosen(seed=2**32), ("seed is 4294967296", "0 to 4294967295")),
            (chosen(seed=1.0), ("seed is 1.0", "0 to 4294967295")),
            (chosen(interval_level=0.49), ("interval_level is 0.49", "0.5 to 0.99")),
            (chosen(interval_level=1), ("interval_level is 1", "0.5 to 0.99")),
        ],
        ids=lambda value: ", ".join(value) if isinstance(value, tuple) else "",
    )
    def test_refused(self, options, words):
        refused(errors.InvalidOption, "invalid_option", "options", *words, options=options)

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            (chosen(pca_variance=0.9), "pca_variance"),
            (chosen(scaling=Scalings(x=Scaling.STANDARDIZE)), "scaling"),
            (chosen(missing=Missing.MEAN), "missing"),
            (chosen(missing=Missing.DROP_ROWS), "missing"),
        ],
    )
    def test_refused_with_the_published_procedure(self, options, name):
        words = ("The published procedure", f"leave out {name}", "method calibrated")
        refused(errors.InvalidOption, "invalid_option", "options", *words, options=options)

    @pytest.mark.parametrize(
        "options",
        [
            chosen(n_components=2, alpha=0.0001, embedding_dim=1, seed=0, interval_level=0.5),
            chosen(n_components=500, pca_components=2000, alpha=0.5, embedding_dim=2000),
            chosen(pca_components=2, seed=2**32 - 1, interval_level=0.99),
        ],
    )
    def test_bounds_are_allowed(self, options):
        assert estimate(X, Y, COLUMNS, options=options).provenance.options == options

    def test_the_published_procedure_keeps_100_principal_components_unless_told_otherwise(self):
        wide = paired(n=130, dx=110, dy=120)
        found = estimate(wide.x, wide.y, wide.columns, options=PUBLISHED)
        said = estimate(wide.x, wide.y, wide.columns, options=chosen(pca_components=100))
        assert (found.data.n_reduced_x, found.data.n_reduced_y) == (100, 100)
        assert found.spectra == said.spectra

    def test_what_the_published_procedure_has_no_use_for_changes_nothing(self):
        found = estimate(X, Y, COLUMNS, options=chosen(alpha=0.2, embedding_dim=3, seed=9, interval_level=0.5))
        assert found.spectra == estimate(X, Y, COLUMNS, options=PUBLISHED).spectra


@pytest.mark.parametrize(
    ("options", "factorisation"),
    [
        (PUBLISHED, "service.estimation.reference.principal_components"),
        (None, "service.estimation.calibrated.sample_spectra"),
    ],
    ids=["reference", "calibrated"],
)
def test_numerical_failure(monkeypatch, options, factorisation):
    def diverge(*_):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(factorisation, diverge)
    words = ("did not converge", "standardize")
    refused(errors.NumericalFailure, "numerical_failure", None, *words, options=options)


def test_input_is_never_changed():
    x, y, labels, rows = X.copy(), Y.copy(), LABELS[:20].copy(), ROWS.copy()
    estimate(x, y, label_columns(labels), rows)
    for changed, original in ((x, X), (y, Y), (labels, LABELS[:20]), (rows, ROWS)):
        np.testing.assert_array_equal(changed, original)


def test_check_labels_returns_what_varies():
    constant = LabelColumn("c", LabelType.NUMERIC, np.ones(40))
    assert inputs.check_labels([constant, *COLUMNS]) == COLUMNS
