"""The first pass against arithmetic on whole arrays, at offsets and units that cost a naive sum its digits."""

import numpy as np
import pytest

from service.estimation import errors
from service.estimation.inputs import check_values
from service.estimation.survey import PRODUCTS_LIMIT, survey
from service.estimation.terms import Missing
from service.estimation.warnings import duplicate_rows

from .samples import paired

X, Y, _ = paired(n=60, dx=7, dy=5)


def scattered(side):
    """Sums of products of centred columns, in the columns' own units."""
    return side.products * side.units * side.units[:, None]


def oracle(values):
    centred = values - values.mean(0)
    return centred.T @ centred


def with_missing(values, places):
    changed = values.copy()
    changed[tuple(zip(*places, strict=True))] = np.nan
    return changed


def test_means_deviations_and_products_are_those_of_the_whole_arrays():
    found = survey(X, Y)
    for side, values in ((found.x, X), (found.y, Y)):
        np.testing.assert_allclose(side.means, values.mean(0), rtol=1e-13)
        np.testing.assert_allclose(side.deviations, values.std(0), rtol=1e-13)
        np.testing.assert_allclose(scattered(side), oracle(values), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(side.products, side.products.T)
        assert side.n_pairs == 60
        assert side.kept is None
        assert side.n_missing.tolist() == [0] * values.shape[1]


@pytest.mark.parametrize("rows", [1, 2, 7, 59, 60, 1000])
@pytest.mark.parametrize("missing", [Missing.DROP_ROWS, Missing.MEAN])
def test_chunks_do_not_matter(rows, missing):
    x, y = with_missing(X, [(0, 1), (33, 1), (34, 6)]), with_missing(Y, [(0, 0), (12, 3)])
    whole, cut = survey(x, y, missing=missing), survey(x, y, missing=missing, chunk_bytes=8 * 12 * rows)
    for a, b in ((whole.x, cut.x), (whole.y, cut.y)):
        np.testing.assert_allclose(b.means, a.means, rtol=1e-12)
        np.testing.assert_allclose(b.deviations, a.deviations, rtol=1e-12)
        np.testing.assert_allclose(scattered(b), scattered(a), rtol=1e-12, atol=1e-12 * np.abs(scattered(a)).max())
        np.testing.assert_array_equal(b.summary.row_hashes, a.summary.row_hashes)
        np.testing.assert_array_equal(b.n_missing, a.n_missing)
    np.testing.assert_array_equal(whole.kept, cut.kept)


class TestOffsetsAndUnits:
    # Multiples of 2^-20 are exact beside 1e8, so that whatever is lost would be lost by the sums.
    EXACT = np.round(X * 2**20) / 2**20

    @pytest.mark.parametrize("chunk_rows", [1, 13, 60])
    def test_an_offset_costs_no_digits(self, chunk_rows):
        plain, moved = (survey(x, Y, chunk_bytes=8 * 12 * chunk_rows).x for x in (self.EXACT, self.EXACT + 1e8))
        np.testing.assert_allclose(moved.deviations, plain.deviations, rtol=1e-12)
        np.testing.assert_allclose(scattered(moved), scattered(plain), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(moved.means - 1e8, plain.means, atol=2e-8)

    @pytest.mark.parametrize("unit", [1e-150, 1e-12, 1e12, 1e90])
    @pytest.mark.parametrize("chunk_rows", [1, 13, 60])
    def test_a_unit_costs_no_digits(self, unit, chunk_rows):
        plain = survey(X, Y)
        x = X.copy()
        x[:, [1, 4]] *= unit
        found = survey(x, Y, chunk_bytes=8 * 12 * chunk_rows).x
        factors = np.where(np.isin(np.arange(7), [1, 4]), unit, 1.0)
        np.testing.assert_allclose(found.deviations / factors, plain.x.deviations, rtol=1e-12)
        correlations = found.products * np.outer(found.units / found.deviations, found.units / found.deviations)
        expected = scattered(plain.x) / np.outer(plain.x.deviations, plain.x.deviations)
        np.testing.assert_allclose(correlations, expected, rtol=1e-11, atol=1e-11)

    @pytest.mark.parametrize("chunk_rows", [1, 4, 60])
    def test_a_column_that_wakes_up_late_and_far_away(self, chunk_rows):
        x = X.copy()
        x[:50, 2] = 7.0
        x[50:, 2] = 7.0 + 1e70 * X[50:, 2]
        found = survey(x, Y, chunk_bytes=8 * 12 * chunk_rows).x
        np.testing.assert_allclose(found.deviations, x.std(0), rtol=1e-12)


class TestConstantColumns:
    def test_equal_values_are_constant_whatever_their_mean_rounds_to(self):
        x = X.copy()
        x[:, [2, 5]] = 0.1
        found = survey(x, Y, chunk_bytes=8 * 12 * 7).x
        assert found.summary.constant_columns.tolist() == [2, 5]
        assert found.varying.tolist() == [0, 1, 3, 4, 6]
        assert found.means[[2, 5]].tolist() == [0.1, 0.1]

    def test_a_column_that_varies_in_its_last_digits_only_is_constant(self):
        x = X.copy()
        x[:, 3] = 1e6 + np.spacing(1e6) * (np.arange(60) % 5)
        x[:, 4] = 1e6 + 1e-6 * (np.arange(60) % 5)
        assert survey(x, Y).x.varying.tolist() == [0, 1, 2, 4, 5, 6]

    def test_one_row_is_enough_to_vary(self):
        x = X.copy()
        x[:, 3] = 5.0
        x[59, 3] = 5.5
        assert len(survey(x, Y).x.summary.constant_columns) == 0

    def test_none_varies(self):
        with pytest.raises(errors.ConstantModality, match=r"No column of y varies\. Check"):
            survey(X, np.full((60, 5), 3.0))


class TestRefusals:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("rows", [1, 3, 60])
    def test_the_first_value_that_is_not_finite_is_located(self, value, rows):
        x = X.copy()
        x[31, 2] = x[7, 5] = x[40, 0] = value
        with pytest.raises(errors.NonFiniteValues) as caught:
            survey(x, Y, chunk_bytes=8 * 12 * rows)
        assert caught.value.part == "x"
        assert "x has 3 values that are NaN or infinite, the first at row 7, column 5" in caught.value.message
        assert "Remove those rows from x and y" in caught.value.message
        assert ("`missing` to drop_rows or mean" in caught.value.message) == np.isnan(value)

    def test_words_before_the_advice_are_those_of_the_published_procedure(self):
        y = with_missing(Y, [(3, 2)])
        messages = []
        for call in (lambda: survey(X, y), lambda: check_values("y", y)):
            with pytest.raises(errors.NonFiniteValues) as caught:
                call()
            messages.append(caught.value.message.partition("Remove those rows")[0])
        assert messages[0] == messages[1] != ""

    @pytest.mark.parametrize("missing", [Missing.DROP_ROWS, Missing.MEAN])
    def test_infinities_are_refused_beside_missing_values(self, missing):
        y = with_missing(Y, [(3, 2)])
        y[9, 1] = np.inf
        with pytest.raises(errors.NonFiniteValues) as caught:
            survey(X, y, missing=missing)
        assert "y has 1 values that are infinite, the first at row 9, column 1" in caught.value.message
        assert "speaks of NaN only" in caught.value.message

    @pytest.mark.parametrize("value", [1.1e100, -1.7e308])
    def test_too_large(self, value):
        x = X.copy()
        x[11, 3] = value
        with pytest.raises(errors.ValuesTooLarge, match=r"more than 1e\+100"):
            survey(x, Y, chunk_bytes=8 * 12)

    def test_too_large_among_missing_values(self):
        x = with_missing(X, [(5, 0)])
        x[5, 3] = 1.7e308
        with pytest.raises(errors.ValuesTooLarge, match=r"1\.7e\+308"):
            survey(x, Y, missing=Missing.MEAN)

    def test_a_column_without_any_value_has_no_mean(self):
        y = Y.copy()
        y[:, 3] = np.nan
        with pytest.raises(
            errors.MissingColumn, match=r"1 columns of y .* column 3 .* Leave those columns out"
        ) as caught:
            survey(X, y, missing=Missing.MEAN, chunk_bytes=8 * 12 * 7)
        assert (caught.value.code, caught.value.part) == ("missing_column", "y")

    def test_too_few_pairs_are_left(self):
        x = X.copy()
        x[:41, 0] = np.nan
        with pytest.raises(errors.TooFewPairs, match=r"41 of 60 pairs .* 19 are left"):
            survey(x, Y, missing=Missing.DROP_ROWS)
        x[40, 0] = 0.5
        assert survey(x, Y, missing=Missing.DROP_ROWS).n_pairs == 20

    def test_x_speaks_first(self):
        with pytest.raises(errors.NonFiniteValues) as caught:
            survey(with_missing(X, [(50, 1)]), with_missing(Y, [(0, 0)]), chunk_bytes=8 * 12)
        assert caught.value.part == "x"


class TestMissing:
    PLACES_X = ((0, 1), (33, 1), (34, 6))
    PLACES_Y = ((0, 0), (12, 3))

    def test_drop_rows_leaves_pairs_out_of_both(self):
        x, y = with_missing(X, self.PLACES_X), with_missing(Y, self.PLACES_Y)
        found = survey(x, y, missing=Missing.DROP_ROWS)
        whole = np.setdiff1d(np.arange(60), [0, 12, 33, 34])
        expected = survey(X[whole], Y[whole])
        assert found.n_pairs == found.x.n_pairs == 56
        np.testing.assert_array_equal(np.flatnonzero(found.kept), whole)
        assert found.x.n_missing.tolist() == [0, 2, 0, 0, 0, 0, 1]
        assert found.y.n_missing.tolist() == [1, 0, 0, 1, 0]
        for a, b in ((found.x, expected.x), (found.y, expected.y)):
            np.testing.assert_allclose(a.means, b.means, rtol=1e-12)
            np.testing.assert_allclose(scattered(a), scattered(b), rtol=1e-12, atol=1e-12)

    def test_mean_gives_the_products_of_the_filled_in_data(self):
        x, y = with_missing(X, self.PLACES_X), with_missing(Y, self.PLACES_Y)
        found = survey(x, y, missing=Missing.MEAN, chunk_bytes=8 * 12 * 9)
        assert found.kept is None
        for side, values in ((found.x, x), (found.y, y)):
            filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
            np.testing.assert_allclose(side.means, np.nanmean(values, axis=0), rtol=1e-12)
            np.testing.assert_allclose(side.deviations, filled.std(0), rtol=1e-12)
            np.testing.assert_allclose(scattered(side), oracle(filled), rtol=1e-11, atol=1e-11)

    @pytest.mark.parametrize("missing", list(Missing))
    def test_nothing_missing_nothing_done(self, missing):
        found, expected = survey(X, Y, missing=missing), survey(X, Y)
        np.testing.assert_array_equal(found.x.products, expected.x.products)
        assert found.kept is None

    def test_mean_reads_twice_only_when_a_value_is_missing(self, monkeypatch):
        read = []
        original = survey.__globals__["_read_again"]
        monkeypatch.setitem(
            survey.__globals__, "_read_again", lambda r, c: (read.extend(s.part for s in r), original(r, c))
        )
        survey(X, Y, missing=Missing.MEAN)
        assert read == []
        survey(X, with_missing(Y, self.PLACES_Y), missing=Missing.MEAN)
        assert read == ["y"]

    def test_a_column_that_is_missing_at_first(self):
        x = X.copy()
        x[:20, 2] = np.nan
        found = survey(x, Y, missing=Missing.MEAN, chunk_bytes=8 * 12 * 4).x
        np.testing.assert_allclose(found.means, np.nanmean(x, axis=0), rtol=1e-12)


def test_repeated_pairs_are_found_among_those_that_count():
    x, y = X.copy(), Y.copy()
    x[[41, 50]], y[[41, 50]] = x[3], y[3]
    x[[20, 21]], y[[20, 21]] = x[4], y[4]
    x[[20, 21], 0] = np.nan
    found = survey(x, y, missing=Missing.DROP_ROWS)
    (warning,) = duplicate_rows(found.x.summary, found.y.summary)
    assert "2 pairs repeat an earlier pair exactly; the first is row 41, which repeats row 3" in warning.message


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i2", "u1"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_type_and_layout_do_not_matter(dtype, layout):
    x = np.asarray(np.abs(X * 10).astype(dtype), order=layout)
    found, expected = survey(x, Y), survey(np.ascontiguousarray(x.astype(np.float64)), Y)
    np.testing.assert_array_equal(found.x.products, expected.x.products)
    np.testing.assert_array_equal(found.x.means, expected.x.means)


def test_products_are_not_kept_for_more_columns_than_pairs():
    rng = np.random.default_rng(0)
    found = survey(rng.standard_normal((30, 30)), rng.standard_normal((30, 31)))
    assert found.x.products is not None
    assert found.y.products is None
    assert len(found.y.deviations) == 31
    assert PRODUCTS_LIMIT == 4096


def test_input_is_never_changed():
    x, y = with_missing(X, TestMissing.PLACES_X), Y.copy()
    before = x.copy()
    survey(x, y, missing=Missing.MEAN)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, Y)


def test_missing_may_be_said_in_plain_text_but_not_anyhow():
    x = with_missing(X, [(4, 2)])
    assert survey(x, Y, missing="drop_rows").n_pairs == 59
    with pytest.raises(ValueError, match="median"):
        survey(x, Y, missing="median")
