"""Every warning fires on a planted accident and names it, and is silent on clean data."""

import inspect
import re

import numpy as np
import pytest

from service.estimation import canonical, feature_warnings, leakage, preflight, repeats, warnings
from service.estimation.basis import principal_basis
from service.estimation.covariates import covariate_columns
from service.estimation.errors import (
    CovariateCountMismatch,
    GroupCountMismatch,
    InputError,
    InvalidOption,
    TooFewGroups,
    TooFewLabeledRows,
)
from service.estimation.labels import Targets, label_columns
from service.estimation.moments import assign_blocks
from service.estimation.options import Options, Scalings
from service.estimation.preflight import check
from service.estimation.record import as_dict
from service.estimation.reduction import reduce
from service.estimation.report_warning import ReportWarning
from service.estimation.survey import survey
from service.estimation.terms import Method, Missing, Scaling
from service.estimation.warning_codes import LESS_SERIOUS, ORDER, SERIOUS

from .samples import paired

SEEDS = range(4)


def clean(seed, n=200, dx=9, dy=6):
    sample = paired(seed, n=n, dx=dx, dy=dy, noise=1.0)
    kind = np.array(["a", "b", "c"])[np.random.default_rng(seed).integers(0, 3, n)]
    return sample.x, sample.y, {"age": sample.labels[:, 0], "dose": sample.labels[:, 1], "kind": kind}


def found(x, y, labels, rows=None, *, groups=None, covariates=(), **options):
    """Messages by code; the messages of one code in a list."""
    messages = {}
    report = check(x, y, label_columns(labels), rows, Options(**options), groups=groups, covariates=covariates)
    for warning in report.warnings:
        messages.setdefault(warning.code, []).append(warning.message)
    return messages


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("n", "dx", "dy"), [(60, 9, 6), (200, 9, 6), (400, 40, 25), (150, 60, 50)])
def test_clean_data_give_none(seed, n, dx, dy):
    assert found(*clean(seed, n, dx, dy)) == {}


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_no_pairing_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((80, 30)), rng.standard_normal((80, 45))
    messages = found(x, y, {"a": rng.standard_normal(80), "b": rng.choice(["u", "v"], 80)})
    assert set(messages) <= {"pairing_not_better_than_shuffled"}
    shuffled = found(x, x[rng.permutation(80), :20], {"a": rng.standard_normal(80)})
    assert set(shuffled) == {"pairing_not_better_than_shuffled"}


class TestCopiedColumns:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("factor", [1.0, -3e-5])
    def test_a_column_in_both_is_named(self, seed, factor):
        x, y, labels = clean(seed)
        y[:, 4] = factor * x[:, 7] + 12.0
        messages = found(x, y, labels, scaling=Scalings(y="standardize"))
        assert set(messages) == {"copied_columns"}
        assert "column 7 of x and column 4 of y (counted from 0)" in messages["copied_columns"][0]

    def test_in_another_type(self):
        x, y, labels = clean(0)
        y[:, 0] = np.round(x[:, 1], 2)
        assert "column 1 of x and column 0 of y" in found(x, y.astype(np.float32), labels)["copied_columns"][0]

    def test_long_lists_are_cut(self):
        x, y, labels = clean(1, dy=14)
        y[:, :12] = x[:, 3:4]
        assert "column 3 of x and column 9 of y and 2 more" in found(x, y, labels)["copied_columns"][0]

    @pytest.mark.parametrize("seed", SEEDS)
    def test_one_row_far_out_in_everything_is_no_copy(self, seed):
        x, y, labels = clean(seed)
        x[17], y[17] = 1e4, 2e4
        assert set(found(x, y, labels)) == {"heavy_tails"}

    def test_not_looked_for_among_too_many(self, monkeypatch):
        monkeypatch.setattr("service.estimation.reduction.CROSS_LIMIT", 1)
        x, y, labels = clean(0)
        y[:, 4] = x[:, 7]
        assert list(found(x, y, labels)) == ["near_copy"]


class TestNearCopy:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("scaling", list(Scaling))
    def test_a_measurement_in_both_is_named(self, seed, scaling):
        x, y, labels = clean(seed)
        rng = np.random.default_rng(seed)
        sensor = rng.standard_normal(200)
        x[:, 2], y[:, 5] = 7 * sensor, sensor + 0.1 * rng.standard_normal(200)
        messages = found(x, y, labels, scaling=Scalings(scaling, scaling))
        assert set(messages) == {"near_copy"}
        (message,) = messages["near_copy"]
        assert re.search(r"correlate at 0\.99\d in rows", message)
        assert re.search(r"column 2 of x \((1\.00|0\.99)\) and column 5 of y \((1\.00|0\.99)\)", message)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_not_due_below(self, seed):
        x, y, labels = clean(seed)
        rng = np.random.default_rng(seed)
        sensor = rng.standard_normal(200)
        x[:, 2], y[:, 5] = sensor, sensor + 0.3 * rng.standard_normal(200)
        assert found(x, y, labels) == {}

    @pytest.mark.parametrize("seed", SEEDS)
    def test_overfitting_is_no_copy(self, seed):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((90, 50)), rng.standard_normal((90, 45))
        whole = check(x, y, label_columns(rng.standard_normal(90)))
        assert "near_copy" not in {warning.code for warning in whole.warnings}

    def test_held_out_correlation_of_a_known_pair(self):
        rng = np.random.default_rng(5)
        shared = rng.standard_normal(4000)
        x = np.column_stack([shared, rng.standard_normal((4000, 3))])
        y = np.column_stack([0.8 * shared + 0.6 * rng.standard_normal(4000), rng.standard_normal((4000, 2))])
        moments = reduced(x, y).moments
        correlations = canonical.held_out_correlations(moments, 5)
        assert correlations[0] == pytest.approx(0.8, abs=0.02)
        assert np.abs(correlations[1:]).max() < 0.1
        assert len(correlations) == 3

    def test_nothing_can_be_held_out_of_one_block(self):
        x, y, _ = clean(0)
        y[:, 4] = x[:, 7]
        assert canonical.held_out_correlations(reduced(x, y).moments, 5)[0] > 0.999
        assert len(canonical.held_out_correlations(reduced(x, y, groups=np.zeros(200)).moments, 5)) == 0


def reduced(x, y, groups=None):
    sides = survey(x, y)
    bases = [principal_basis(side, values, 100) for side, values in ((sides.x, x), (sides.y, y))]
    return reduce(x, y, sides, *bases, assign_blocks(len(x), groups, 20, 0), np.arange(0))


class TestLabelsFromFeatures:
    def test_labeled_rows_that_are_all_alike_say_nothing(self):
        x, y, labels = clean(0)
        x[:20] = x[0]
        few = {name: values[:20] for name, values in labels.items()}
        assert "labels_linear_in_one_modality" not in found(x, y, few, rows=np.arange(20))

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_linear_function_of_several_columns(self, seed):
        x, y, labels = clean(seed)
        labels["score"] = y @ [1.0, 2.0, 0.0, -1.0, 0.5, 3.0] + 40.0
        messages = found(x, y, labels)
        assert set(messages) == {"labels_linear_in_one_modality"}
        assert (
            "linear functions of y, to within R^2 0.999: 'score'. Labels"
            in messages["labels_linear_in_one_modality"][0]
        )

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_column_itself_on_some_rows(self, seed):
        x, y, labels = clean(seed)
        rows = np.random.default_rng(seed).permutation(200)[:80]
        labels = {name: values[rows] for name, values in labels.items()}
        labels["dose"] = 1e-9 * x[rows, 4]
        (message,) = found(x, y, labels, rows)["labels_linear_in_one_modality"]
        assert "'dose' (column 4 of x, counted from 0)" in message

    def test_a_column_that_the_principal_components_leave_out(self):
        x, y, labels = clean(0)
        x[:, 8] *= 1e-3
        labels["age"] = x[:, 8].copy()
        messages = found(x, y, labels, pca_components=3)
        assert "'age' (column 8 of x, counted from 0)" in messages["labels_linear_in_one_modality"][0]

    def test_a_class_that_is_a_column(self):
        x, y, labels = clean(2)
        x[:, 0] = labels["kind"] == "b"
        (message,) = found(x, y, labels)["labels_linear_in_one_modality"]
        assert "'kind=b' (column 0 of x" in message
        assert "kind=a" not in message

    @pytest.mark.parametrize("seed", SEEDS)
    def test_not_due_for_a_label_with_noise(self, seed):
        x, y, labels = clean(seed)
        score = x @ np.arange(9.0)
        labels["score"] = score + 0.05 * score.std() * np.random.default_rng(seed).standard_normal(200)
        assert found(x, y, labels) == {}

    def test_one_odd_row_that_is_a_class_of_its_own_is_no_leak(self):
        x, y, labels = clean(3)
        x[11] = 500.0
        labels["kind"] = np.where(np.arange(200) == 11, "broken", "whole")
        assert set(found(x, y, labels)) == {"heavy_tails", "rare_classes"}

    def test_rows_without_a_label_are_left_out(self):
        rng = np.random.default_rng(0)
        scores = rng.standard_normal((90, 4))
        targets = np.column_stack([scores @ np.ones(4), rng.standard_normal(90), scores[:, 0]])
        targets[::3, 0] = np.nan
        targets[40:, 2] = np.nan
        targets[7, 2] = np.nan
        (warning,) = leakage.labels_linear_in_one_modality(
            "x", scores, np.zeros((6, 3)), Targets(targets, ("a", "b", "c"))
        )
        assert "0.999: 'a', 'c'. Labels" in warning.message
        targets[9:, 2] = np.nan
        (warning,) = leakage.labels_linear_in_one_modality(
            "x", scores, np.zeros((6, 3)), Targets(targets, ("a", "b", "c"))
        )
        assert "0.999: 'a'. Labels" in warning.message

    def test_a_sample_of_many_rows_is_enough(self, monkeypatch):
        monkeypatch.setattr(leakage, "LABEL_ROWS", 40)
        x, y, labels = clean(1)
        labels["age"] = x @ np.arange(9.0)
        assert "'age'" in found(x, y, labels)["labels_linear_in_one_modality"][0]


class TestRepeatedRows:
    @pytest.mark.parametrize("part", ["x", "y"])
    def test_rows_of_one_modality_that_return(self, part):
        x, y, labels = clean(0)
        values = x if part == "x" else y
        values[:] = values[np.arange(200) // 4]
        messages = found(x, y, labels)
        (message,) = messages["repeated_rows_need_groups"]
        assert f"150 pairs repeat a row of {part} beside another row" in message
        assert f"50 distinct rows of {part}, and row " in message
        assert "occurs 4 times" in message
        assert "`groups`" in message

    def test_a_filler_row_is_located(self):
        x, y, labels = clean(1)
        x[23:60:2] = 0.0
        assert "row 23 (counted from 0) occurs 19 times" in found(x, y, labels)["repeated_rows_need_groups"][0]

    def test_among_the_labeled_alone(self):
        x, y, labels = clean(2, n=3000)
        rows = np.arange(40, 140)
        x[rows] = x[rows // 2]
        labels = {name: values[rows] for name, values in labels.items()}
        (message,) = found(x, y, labels, rows)["repeated_rows_need_groups"]
        assert message.startswith("50 labeled pairs repeat a row of x")
        assert "row 40 (counted from 0) occurs 2 times" in message  # the first of those that occur as often

    def test_whole_pairs_in_large_numbers(self):
        x, y, labels = clean(3)
        x, y = np.vstack([x, x[:50]]), np.vstack([y, y[:50]])
        labels = {name: np.concatenate([values, values[:50]]) for name, values in labels.items()}
        messages = found(x, y, labels)
        assert set(messages) == {"repeated_rows_need_groups", "duplicate_rows"}
        assert messages["repeated_rows_need_groups"][0].startswith("Only 200 of 250 pairs are distinct")

    def test_not_due_for_a_few(self):
        x, y, labels = clean(4)
        x[:9] = x[10:19]
        assert found(x, y, labels) == {}

    def test_not_due_for_coarse_features(self):
        x, y, labels = clean(5)
        x = (x[:, :4] > 0).astype(np.int8)
        assert found(x, y, labels) == {}

    def test_not_due_once_groups_are_given(self):
        x, y, labels = clean(6)
        x[:] = x[np.arange(200) // 4]
        labels["subject"] = np.array([f"s{i // 4}" for i in range(200)])
        messages = found(x, y, labels, groups=np.arange(200) // 4)
        assert "repeated_rows_need_groups" not in messages

    def test_rows_with_gaps_repeat_nothing(self):
        x, y, labels = clean(7)
        x[40:90] = np.nan
        assert set(found(x, y, labels, missing=Missing.MEAN)) == {"missing_values"}


class TestIdentifiers:
    @pytest.mark.parametrize("name", ["subject", "patient_id", "Participant", "donorId", "study subject no", "kind"])
    def test_many_small_classes(self, name):
        x, y, labels = clean(0)
        labels[name] = np.array([f"s{i % 60}" for i in range(200)])
        messages = found(x, y, labels)["repeated_rows_need_groups"]
        assert messages[0].startswith(f"Label column {name!r} has 60 values in 200 rows, up to 4 rows of one value")

    def test_whole_numbers_by_their_name_whatever_their_type(self):
        x, y, labels = clean(1)
        labels["infant"] = np.arange(200) % 60
        for kind in ("categorical", "numeric"):
            columns = label_columns(labels, {"infant": kind})
            codes = {warning.code for warning in check(x, y, columns).warnings}
            assert "repeated_rows_need_groups" in codes

    def test_a_covariate(self):
        x, y, labels = clean(2)
        plate = covariate_columns({"animal": np.repeat(np.arange(20), 10)}, "numeric")
        (message,) = found(x, y, labels, covariates=plate)["repeated_rows_need_groups"]
        assert message.startswith("Covariate 'animal' has 20 values")

    @pytest.mark.parametrize("type_", ["categorical", "numeric"])
    def test_missing_values_are_no_identifier(self, type_):
        ids = np.ma.MaskedArray(np.where(np.arange(200) < 160, np.arange(200) // 4, 7), np.arange(200) >= 160)
        for column in (*label_columns({"subject": ids}, type_), *covariate_columns({"subject": ids}, type_)):
            (warning,) = repeats.identifiers_need_groups([column], ())
            assert "'subject' has 40 values in 160 rows, up to 4 rows of one value" in warning.message

    def test_empty_text_is_no_identifier(self):
        names = np.array([f"s{i // 4}" if i < 160 else "" for i in range(200)])
        for column in (*label_columns({"kind": names}), *covariate_columns({"kind": names})):
            (warning,) = repeats.identifiers_need_groups((), [column])
            assert "Covariate 'kind' has 40 values in 160 rows" in warning.message
        assert list(repeats.identifiers_need_groups(label_columns({"subject": np.full(200, "")}), ())) == []

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("cell_type", np.repeat([f"t{i}" for i in range(30)], np.r_[np.full(25, 2), 80, 30, 20, 10, 10])),
            ("letter", np.array(list("abcdefghijklmnopqrstuvwxyz"))[np.arange(100) % 26]),
            ("word", np.array([f"w{i}" for i in range(25)])[np.arange(200) % 25]),
            ("sample_id", np.array([f"s{i}" for i in range(200)])),
            ("user_age", np.arange(200) % 60),
            ("donor", np.array(["d1", "d2"])[np.arange(200) % 2]),
            ("weight", np.arange(200.0) // 4),
        ],
    )
    def test_not_due_for_classes_quantities_and_unique_names(self, name, values):
        columns = label_columns({name: values}, {name: "numeric"} if values.dtype.kind == "i" else None)
        assert list(repeats.identifiers_need_groups(columns, ())) == []


class TestHeavyTails:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_row_that_drives_a_component_is_named(self, seed):
        x, y, labels = clean(seed)
        y[63, 2] += 100.0
        (message,) = found(x, y, labels)["heavy_tails"]
        assert "components of y" in message
        assert re.search(r"row 63 makes up [89]\d % of component 0", message)

    def test_few_rows_that_carry_the_variance(self):
        rng = np.random.default_rng(0)
        x, y, labels = clean(0, n=2000)
        x *= np.exp(1.2 * rng.standard_normal(2000))[:, None]
        (message,) = found(x, y, labels)["heavy_tails"]
        assert re.search(r"kurtosis of x's principal components is \d+(\.\d)? times that of normal data", message)

    def test_not_due_in_few_pairs(self):
        x, y, labels = clean(1, n=49)
        y[13, 2] += 100.0
        assert list(found(x, y, labels)) == ["few_labels"]

    @pytest.mark.parametrize("seed", range(20))
    def test_normal_data_of_the_fewest_pairs_give_none(self, seed):
        rng = np.random.default_rng(seed)
        sides = reduced(rng.standard_normal((50, 12)), rng.standard_normal((50, 9)))
        assert list(feature_warnings.heavy_tails("x", sides.tails_x, 50)) == []
        assert list(feature_warnings.heavy_tails("y", sides.tails_y, 50)) == []


class TestUnequalScales:
    def test_says_which_columns_decide_and_which_way(self):
        x, y, labels = clean(0)
        x[:, [1, 3]] *= 300
        (message,) = found(x, y, labels)["unequal_scales"]
        assert re.search(r"x's columns reach from \S+ \(column \d\) to \S+ \(column [13], counted", message)
        assert re.search(r"(9\d|100) % of the variance lies in columns (1, 3|3, 1), which decide the ratio", message)
        assert "prediction into x (y_to_x)" in message
        assert "Alignment does not depend on scales" in message
        assert "lost" not in message

    def test_one_column_in_another_unit(self):
        x, y, labels = clean(1)
        y[:, 5] *= 1e7
        (message,) = found(x, y, labels)["unequal_scales"]
        assert (
            "100 % of the variance lies in column 5, which decides the ratio of prediction into y (x_to_y)" in message
        )
        assert "lost to rounding for every objective" in message

    def test_not_due_once_standardized_or_below(self):
        x, y, labels = clean(2)
        y[:, 5] *= 1e4
        assert found(x, y, labels, scaling=Scalings(y=Scaling.STANDARDIZE)) == {}
        x, y, labels = clean(2)
        x /= x.std(0)
        x[:, 2] *= 99
        assert found(x, y, labels) == {}
        x[:, 2] *= 1.02
        assert list(found(x, y, labels)) == ["unequal_scales"]


class TestCollinearColumns:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_total_beside_its_parts(self, seed):
        x, y, labels = clean(seed)
        x = np.hstack([x, x[:, :4].sum(axis=1, keepdims=True), 2 * x[:, 6:7] + 1])
        (message,) = found(x, y, labels)["collinear_columns"]
        assert message.startswith("2 of 11 columns of x that vary")
        named = [int(number) for number in re.search(r"others: ([\d, ]+) \(counted", message)[1].split(",")]
        assert len(set(named) & {0, 1, 2, 3, 9}) == 1
        assert len(set(named) & {6, 10}) == 1
        assert "the kept rank is 9" in message

    def test_in_single_precision_and_other_units(self):
        x, y, labels = clean(0)
        y = np.hstack([y, y[:, :3].sum(axis=1, keepdims=True)]) * np.geomspace(1e-3, 1e-2, 7)
        y[:, 6] = y[:, :3] @ [1.0, 2.0, 3.0]
        assert "1 of 7 columns of y" in found(x, y.astype(np.float32), labels)["collinear_columns"][0]

    def test_constant_columns_are_another_matter(self):
        x, y, labels = clean(1)
        x[:, 3] = 4.0
        assert list(found(x, y, labels)) == ["constant_feature_columns"]


class TestMissingValues:
    def test_what_was_done_is_said(self):
        x, y, labels = clean(0)
        x[[5, 9], 2] = x[9, 4] = y[50:60, 1] = np.nan
        (message,) = found(x, y, labels, missing="drop_rows")["missing_values"]
        assert "x has 3 missing values in 2 of 9 columns, most of them in column 2 (1 % of its values)" in message
        assert "y has 10 missing values in 1 of 6 columns, most of them in column 1 (5 % of its values)" in message
        assert "12 of 200 pairs with a missing value were left out" in message
        assert "188 are left" in message
        (message,) = found(x, y, labels, missing="mean")["missing_values"]
        assert "replaced by its column's mean" in message

    def test_labels_of_pairs_left_out_go_with_them(self):
        x, y, labels = clean(1)
        x[::2, 0] = np.nan
        report = check(x, y, label_columns(labels), options=Options(missing=Missing.DROP_ROWS))
        assert (report.data.n_pairs, report.data.n_pairs_used, report.data.n_labeled) == (200, 100, 100)
        assert (report.data.n_missing_x, report.data.n_missing_y) == (100, 0)

    def test_too_few_labeled_pairs_are_left(self):
        x, y, labels = clean(2)
        rows = np.arange(12)
        x[:3, 0] = np.nan
        with pytest.raises(TooFewLabeledRows, match=r"3 of 12 labeled pairs .* 9 are left"):
            check(x, y, label_columns({"age": labels["age"][:12]}), rows, Options(missing=Missing.DROP_ROWS))


class TestLabels:
    def test_few(self):
        x, y, labels = clean(0)
        few = {name: values[:49] for name, values in labels.items()}
        (message,) = found(x, y, few, np.arange(49))["few_labels"]
        assert "fewer than 50 values, here with how many each has: 'age' (49), 'dose' (49), 'kind' (49)." in message
        enough = {name: values[:50] for name, values in labels.items()}
        assert "few_labels" not in found(x, y, enough, np.arange(50))

    @pytest.mark.parametrize(
        ("sizes", "due"),
        [((181, 19), True), ((180, 20), False), ((191, 9), True), ((100, 91, 9), True), ((90, 90, 14, 6), True)],
    )
    def test_class_imbalance(self, sizes, due):
        x, y, _ = clean(1)
        names = np.array(["large", "second", "third", "least"])[[*range(len(sizes) - 1), 3]]
        messages = found(x, y, {"kind": np.repeat(names, sizes)})
        assert list(messages) == ["class_imbalance"] * due
        if due:
            assert (
                f"of {len(sizes)} classes of 'kind' is 'least', with {sizes[-1]} of 200"
                in messages["class_imbalance"][0]
            )

    def test_many_even_classes_are_not_imbalanced(self):
        kind = np.repeat([f"k{i}" for i in range(15)], 20)
        assert list(warnings.class_imbalance(label_columns({"kind": kind}))) == []

    def test_a_class_too_rare_for_the_folds_is_said_once(self):
        x, y, _ = clean(2)
        kind = np.where(np.arange(200) < 3, "rare", "common")
        assert list(found(x, y, {"kind": kind})) == ["rare_classes"]

    def test_constant_ones_are_dropped(self):
        x, y, labels = clean(3)
        labels["site"] = np.full(200, "here")
        assert list(found(x, y, labels)) == ["constant_label_columns"]


class TestPartlyMissingLabels:
    """Rows that lack a column count for nothing in what is said of it, whatever stands in their place."""

    def test_few_of_one_column(self):
        x, y, labels = clean(0)
        labels["dose"] = np.where(np.arange(200) < 40, labels["dose"], np.nan)
        (message,) = found(x, y, labels)["few_labels"]
        assert "each has: 'dose' (40). Weak" in message

    def test_too_few_to_be_used(self):
        x, y, labels = clean(1)
        labels["kind"] = np.where(np.arange(200) < 9, labels["kind"], "")
        (message,) = found(x, y, labels)["sparse_label_columns"]
        assert "'kind' (9)" in message
        assert list(found(x, y, labels)) == ["sparse_label_columns"]

    def test_classes(self):
        x, y, _ = clean(2)
        kinds = np.ma.MaskedArray(np.repeat([1, 0, 2], [100, 9, 91]), np.arange(200) >= 109)
        columns = label_columns({"kind": kinds}, "categorical")
        (warning,) = check(x, y, columns).warnings
        assert warning.code == "class_imbalance"
        assert "of 2 classes of 'kind' is '0', with 9 of 109 labeled rows" in warning.message
        (warning,) = warnings.rare_classes(label_columns({"kind": kinds[96:]}, "categorical"))
        assert "labeled rows: '1'. Their" in warning.message

    def test_a_column_that_nobody_has_breaks_nothing(self):
        nobody = label_columns({"kind": np.full(200, ""), "age": np.full(200, np.nan)})
        assert list(warnings.class_imbalance(nobody)) == list(warnings.rare_classes(nobody)) == []

    @pytest.mark.parametrize("seed", SEEDS)
    def test_made_from_features_where_there_are_any(self, seed):
        x, y, labels = clean(seed)
        has = np.random.default_rng(seed).random(200) < 0.5
        labels["dose"] = np.where(has, y @ [1.0, 2.0, 0.0, -1.0, 0.5, 3.0], np.nan)
        labels["age"] = np.where(has, np.nan, labels["age"])
        messages = found(x, y, labels)
        assert list(messages) == ["labels_linear_in_one_modality"]
        assert "0.999: 'dose'. Labels" in messages["labels_linear_in_one_modality"][0]

    @pytest.mark.parametrize("seed", SEEDS)
    def test_clean_ones_give_none(self, seed):
        x, y, labels = clean(seed)
        has = np.random.default_rng(seed).random((3, 200)) < 0.6
        labels = {
            "age": np.where(has[0], labels["age"], np.nan),
            "dose": np.where(has[1], labels["dose"], np.nan),
            "kind": np.where(has[2], labels["kind"], ""),
        }
        assert found(x, y, labels) == {}
        n_labeled = has.any(axis=0).sum()
        assert n_labeled < 200
        assert check(x, y, label_columns(labels)).data.n_labeled == n_labeled

    def test_go_with_pairs_that_are_left_out(self):
        x, y, labels = clean(3)
        x[:100, 0] = np.nan
        labels = {"age": np.where(np.arange(200) < 150, labels["age"], np.nan), "kind": labels["kind"]}
        labels["kind"][50:60] = labels["kind"][195:] = ""
        report = check(x, y, label_columns(labels), options=Options(missing=Missing.DROP_ROWS))
        assert (report.data.n_pairs_used, report.data.n_labeled) == (100, 95)
        assert "few_labels" not in {warning.code for warning in report.warnings}
        labels["age"][140:] = np.nan
        messages = found(x, y, labels, missing="drop_rows")
        assert "each has: 'age' (40). Weak" in messages["few_labels"][0]


def test_fewer_pairs_than_features():
    x, y, labels = clean(0, n=60, dx=60)
    assert list(found(x, y, labels)) == ["fewer_pairs_than_features"]
    assert "Send more pairs, with or without labels" in found(x, y, labels)["fewer_pairs_than_features"][0]
    assert found(x[:, :59], y, labels) == {}


class TestOrder:
    def test_most_serious_first(self):
        x, y, labels = clean(0)
        x[:, 0] = y[:, 3]
        x[:, 1] = 2.0
        y[:, 2] *= 1e4
        labels["age"] = x[:, 5].copy()
        labels["site"] = np.full(200, "here")
        report = check(x, y, label_columns(labels))
        codes = [warning.code for warning in report.warnings]
        assert codes == [
            "labels_linear_in_one_modality",
            "copied_columns",
            "unequal_scales",
            "constant_feature_columns",
            "constant_label_columns",
        ]
        assert report.serious

    def test_warnings_found_beside_take_their_place(self, monkeypatch):
        monkeypatch.setattr(preflight, "_found", lambda _: iter([ReportWarning("near_copy", "b")]))
        beside = [ReportWarning("few_labels", "c"), ReportWarning("pairing_not_better_than_shuffled", "a")]
        beside.append(ReportWarning("unheard_of", "d"))
        assert [warning.message for warning in preflight.preflight(None, beside)] == ["a", "b", "c", "d"]

    def test_not_serious(self):
        x, y, labels = clean(0)
        x[:, 1] = 2.0
        assert not check(x, y, label_columns(labels)).serious

    def test_every_code_has_its_place(self):
        modules = (feature_warnings, leakage, repeats)
        written = {code for m in modules for code in re.findall(r'ReportWarning\(\s*"(\w+)"', inspect.getsource(m))}
        assert len(written) == 8
        assert written <= set(ORDER)
        assert set(SERIOUS).isdisjoint(LESS_SERIOUS)


class TestCheck:
    def test_data(self):
        x, y, labels = clean(0)
        report = check(x, y, label_columns(labels), groups=np.arange(200) // 2)
        assert as_dict(report) == {
            "data": {
                "n_pairs": 200,
                "n_pairs_used": 200,
                "n_labeled": 200,
                "n_features_x": 9,
                "n_features_y": 6,
                "n_missing_x": 0,
                "n_missing_y": 0,
                "rank_x": 9,
                "rank_y": 6,
                "n_groups": 100,
                "labels": ["age", "dose", "kind"],
            },
            "serious": False,
            "warnings": [],
        }

    def test_the_same_twice(self):
        x, y, labels = clean(1)
        y[:, 4] = x[:, 7] + 0.05 * y[:, 4]
        assert check(x, y, label_columns(labels)) == check(x, y, label_columns(labels))

    def test_one_value_for_every_pair(self):
        x, y, labels = clean(2)
        with pytest.raises(GroupCountMismatch, match="199 group ids for 200 pairs"):
            check(x, y, label_columns(labels), groups=np.arange(199))
        with pytest.raises(CovariateCountMismatch, match="199 rows and there are 200 pairs"):
            check(x, y, label_columns(labels), covariates=covariate_columns(np.arange(199.0)))

    def test_too_few_groups_among_the_labeled(self):
        x, y, labels = clean(2)
        groups = np.arange(200) // 19
        assert check(x, y, label_columns(labels), groups=groups).data.n_groups == 11
        some = label_columns({name: values[:171] for name, values in labels.items()})
        with pytest.raises(TooFewGroups, match="171 labeled pairs belong to 9 groups"):
            check(x, y, some, np.arange(171), groups=groups)

    def test_too_few_groups_among_the_labeled_pairs_that_are_left(self):
        x, y, labels = clean(2)
        x[171:, 0] = np.nan
        with pytest.raises(TooFewGroups, match="171 labeled pairs belong to 9 groups"):
            check(x, y, label_columns(labels), options=Options(missing="drop_rows"), groups=np.arange(200) // 19)

    def test_options_count_whatever_the_method(self):
        x, y, labels = clean(2)
        y[:, 5] *= 1e4
        for method in Method:
            assert found(x, y, labels, method=method, scaling=Scalings(y=Scaling.STANDARDIZE)) == {}
        with pytest.raises(InvalidOption, match="There is no missing 'guess'"):
            found(x, y, labels, missing="guess")

    def test_what_cannot_be_estimated_is_refused(self):
        x, y, labels = clean(3)
        with pytest.raises(InputError):
            check(x[:150], y, label_columns(labels))
        with pytest.raises(InputError):
            check(x, np.full_like(y, np.nan), label_columns(labels))

    def test_offset_and_unit_change_no_warning(self):
        x, y, labels = clean(4)
        x[9] *= 60
        y[:, 4] = x[:, 7]
        plain, moved = found(x, y, labels), found(x * 1e9 + 1e9, y * 1e-9, labels)
        assert list(plain) == list(moved)
        assert plain["copied_columns"] == moved["copied_columns"]
