"""The second pass against arithmetic on whole arrays; and what both passes cost in memory."""

import tracemalloc

import numpy as np
import pytest

from service.estimation import reduction as module
from service.estimation.basis import principal_basis
from service.estimation.moments import assign_blocks
from service.estimation.reduction import reduce
from service.estimation.survey import survey
from service.estimation.terms import Missing, Scaling

from .samples import paired

X, Y, LABELS = paired(n=90, dx=7, dy=5)
ROWS = np.array([40, 3, 77, 12, 88, 0, 51])


def reduced(
    x=X, y=Y, rows=ROWS, targets=None, counts=(4, 3), missing=Missing.REFUSE, scaling=Scaling.NONE, blocks=6, **options
):
    found = survey(x, y, missing=missing)
    bases = [
        principal_basis(side, values, count, scaling=scaling)
        for side, values, count in ((found.x, x, counts[0]), (found.y, y, counts[1]))
    ]
    of_rows = assign_blocks(len(x), None, blocks, 0, found.kept)
    return reduce(x, y, found, *bases, of_rows, rows, targets, **options), bases, of_rows


def correlation(a, b):
    return np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]


@pytest.mark.parametrize("scaling", list(Scaling))
def test_moments_and_labeled_scores_are_those_of_the_scores(scaling):
    found, bases, blocks = reduced(scaling=scaling)
    z = np.hstack([bases[0].scores(X), bases[1].scores(Y)])
    assert found.moments.n_x == 4
    for block in range(6):
        rows = z[blocks == block]
        assert found.moments.counts[block] == len(rows)
        np.testing.assert_allclose(found.moments.first[block], rows.sum(0), atol=1e-12)
        np.testing.assert_allclose(found.moments.second[block], rows.T @ rows, atol=1e-12)
    np.testing.assert_allclose(found.labeled_x, z[ROWS, :4], atol=1e-13)
    np.testing.assert_allclose(found.labeled_y, z[ROWS, 4:], atol=1e-13)


@pytest.mark.parametrize("chunk_rows", [1, 4, 89, 90])
def test_chunks_do_not_matter(chunk_rows):
    x = X.copy()
    x[30, 2] = np.nan
    given = {"targets": LABELS[ROWS], "missing": Missing.DROP_ROWS}
    whole, cut = reduced(x, **given)[0], reduced(x, chunk_bytes=8 * 12 * chunk_rows, **given)[0]
    np.testing.assert_array_equal(cut.moments.counts, whole.moments.counts)
    for name in ("first", "second"):
        expected = getattr(whole.moments, name)
        np.testing.assert_allclose(getattr(cut.moments, name), expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(cut.labeled_x, whole.labeled_x, rtol=1e-12)
    np.testing.assert_array_equal(cut.tails_y.rows, whole.tails_y.rows)
    np.testing.assert_allclose(cut.tails_y.shares, whole.tails_y.shares, rtol=1e-12)
    np.testing.assert_allclose(cut.tails_x.kurtosis, whole.tails_x.kurtosis, rtol=1e-12)
    np.testing.assert_allclose(cut.column_correlations, whole.column_correlations, atol=1e-12)
    np.testing.assert_allclose(cut.label_correlations_y, whole.label_correlations_y, atol=1e-12)


@pytest.mark.parametrize("scaling", list(Scaling))
@pytest.mark.parametrize(("offset", "unit"), [(1e8, 1.0), (0.0, 1e-12), (0.0, 1e12)])
def test_offset_and_unit_do_not_matter(offset, unit, scaling):
    x = np.round(X * 2**20) / 2**20  # exact beside the offset
    plain = reduced(x, targets=LABELS[ROWS], scaling=scaling)[0]
    moved = reduced((x + offset) * unit, targets=LABELS[ROWS], scaling=scaling)[0]
    pooled = [r.moments.pooled(np.array([1.0, 0.0, 1.0, 1.0, 1.0, 1.0])).covariance for r in (plain, moved)]
    if scaling is Scaling.NONE:
        pooled[1][:4] /= unit
        pooled[1][:, :4] /= unit
    np.testing.assert_allclose(pooled[1], pooled[0], atol=1e-10 * np.abs(pooled[0]).max())
    np.testing.assert_allclose(moved.tails_x.shares, plain.tails_x.shares, rtol=1e-6)
    np.testing.assert_allclose(moved.tails_x.kurtosis, plain.tails_x.kurtosis, rtol=1e-6)
    np.testing.assert_allclose(moved.column_correlations, plain.column_correlations, atol=1e-10)
    np.testing.assert_allclose(moved.label_correlations_x, plain.label_correlations_x, atol=1e-6)


def test_scores_are_those_of_pairs_that_count():
    x, y = X.copy(), Y.copy()
    x[[1, 60], 4] = y[7, 0] = np.nan
    found, _, _ = reduced(x, y, missing=Missing.DROP_ROWS)
    whole = np.setdiff1d(np.arange(90), [1, 7, 60])
    expected, _, _ = reduced(X[whole], Y[whole], np.searchsorted(whole, ROWS))
    everything = np.ones(6)
    np.testing.assert_allclose(
        found.moments.pooled(everything).covariance, expected.moments.pooled(everything).covariance, atol=1e-12
    )
    np.testing.assert_allclose(found.labeled_x, expected.labeled_x, rtol=1e-9)
    np.testing.assert_array_equal(found.tails_x.rows, whole[expected.tails_x.rows])


@pytest.mark.parametrize("row", [1, 89])
@pytest.mark.parametrize("chunk_bytes", [8 * 12, 10**9])
def test_a_labeled_row_that_does_not_count_is_an_error(row, chunk_bytes):
    x = X.copy()
    x[row, 4] = np.nan
    with pytest.raises(ValueError, match="a labeled row does not count"):
        reduced(x, rows=np.array([3, row]), missing=Missing.DROP_ROWS, chunk_bytes=chunk_bytes)


def test_means_stand_in_for_what_is_missing():
    x = X.copy()
    x[[1, 60], 4] = np.nan
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    found, expected = (reduced(values, missing=Missing.MEAN)[0] for values in (x, filled))
    np.testing.assert_allclose(found.moments.second, expected.moments.second, atol=1e-10)
    np.testing.assert_allclose(found.column_correlations, expected.column_correlations, atol=1e-12)


class TestTails:
    def test_rows_and_shares(self):
        x = X.copy()
        x[33] += 40 * np.ones(7)
        found, bases, _ = reduced(x, chunk_bytes=8 * 12 * 8)
        for tails, scores in ((found.tails_x, bases[0].scores(x)), (found.tails_y, bases[1].scores(Y))):
            squares = scores**2
            np.testing.assert_array_equal(tails.rows, squares.argmax(0))
            np.testing.assert_allclose(tails.shares, squares.max(0) / squares.sum(0), rtol=1e-10)
        assert found.tails_x.rows[0] == 33
        assert found.tails_x.shares[0] > 0.5

    def test_kurtosis_is_one_for_normal_data_and_grows_with_the_tails(self):
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((20000, 6)), rng.standard_t(5, (20000, 4))
        found, _, _ = reduced(x, y, counts=(6, 4))
        assert found.tails_x.kurtosis == pytest.approx(1, abs=0.02)
        whitened = np.linalg.solve(np.cov(y.T, bias=True), (y - y.mean(0)).T)
        expected = (((y - y.mean(0)).T * whitened).sum(0) ** 2).mean() / (4 * 6)
        assert found.tails_y.kurtosis == pytest.approx(expected, rel=1e-8)
        assert expected > 1.2


class TestRawColumns:
    def test_correlations_within_the_halves_of_the_blocks(self):
        found, _, blocks = reduced()
        for half in (0, 1):
            rows = blocks % 2 == half
            np.testing.assert_allclose(found.column_correlations[half], correlation(X[rows], Y[rows]), atol=1e-12)

    def test_a_column_that_does_not_vary_correlates_with_nothing(self):
        x, y = X.copy(), Y.copy()
        x[:, 2], y[:, 4] = 1e9, 0.1
        found, _, _ = reduced(x, y)
        assert not found.column_correlations[:, 2].any()
        assert not found.column_correlations[:, :, 4].any()
        assert found.column_correlations[:, 0, 0].all()

    def test_not_kept_when_too_many(self, monkeypatch):
        monkeypatch.setattr(module, "CROSS_LIMIT", 34)
        assert reduced()[0].column_correlations is None
        monkeypatch.setattr(module, "CROSS_LIMIT", 35)
        assert reduced()[0].column_correlations.shape == (2, 7, 5)

    def test_correlations_with_targets(self):
        targets = np.column_stack([LABELS[ROWS] * [1e-200, 1e60], np.ones(7)])
        found, _, _ = reduced(targets=targets)
        np.testing.assert_allclose(found.label_correlations_x[:, :2], correlation(X[ROWS], LABELS[ROWS]), atol=1e-12)
        np.testing.assert_allclose(found.label_correlations_y[:, :2], correlation(Y[ROWS], LABELS[ROWS]), atol=1e-12)
        assert not found.label_correlations_x[:, 2].any()
        assert reduced()[0].label_correlations_x is None

    def test_a_target_is_held_against_the_rows_that_have_it(self):
        targets = LABELS[ROWS].copy()
        targets[[1, 4], 0] = np.nan
        found, _, _ = reduced(targets=targets)
        has = np.isfinite(targets[:, 0])
        np.testing.assert_allclose(
            found.label_correlations_x[:, 0], correlation(X[ROWS][has], targets[has, :1])[:, 0], atol=1e-12
        )
        np.testing.assert_allclose(
            found.label_correlations_x[:, 1], correlation(X[ROWS], targets[:, 1:])[:, 0], atol=1e-12
        )


def test_memory_does_not_grow_with_the_features(tmp_path):
    n, dx, dy = 200_000, 300, 200
    rng = np.random.default_rng(0)
    mapped = []
    for name, d in (("x", dx), ("y", dy)):
        values = np.memmap(tmp_path / name, dtype=np.float32, mode="w+", shape=(n, d))  # of holes, which cost no disk
        values[::100] = rng.standard_normal((n // 100, d))
        mapped.append(values)
    x, y = mapped
    assert x.nbytes + y.nbytes == 400e6
    tracemalloc.start()
    try:
        found = survey(x, y)
        bases = [principal_basis(side, values, 50) for side, values in ((found.x, x), (found.y, y))]
        blocks = assign_blocks(n, None, 20, 0)
        reduce(x, y, found, *bases, blocks, np.arange(0, n, 400))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200e6
