from dataclasses import replace

import numpy as np
import pytest

from service.estimation.canonical import RIDGE, canonical_weights, held_out_correlations
from service.estimation.moments import BlockMoments, block_moments

N, DX, DY, BLOCKS = 200, 6, 4, 20
RIDGE_TOLERANCE = 2 * RIDGE  # relative: what the ridge takes off a correlation near 1


def coupled(seed=0, n=N, noise=0.3):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 2))
    x = shared @ rng.standard_normal((2, DX)) + noise * rng.standard_normal((n, DX))
    y = shared @ rng.standard_normal((2, DY)) + noise * rng.standard_normal((n, DY))
    return x, y


def moments_of(x, y) -> BlockMoments:
    return block_moments(x, y, np.arange(len(x)) % BLOCKS, BLOCKS)


def canonical_correlations(x, y):
    qx = np.linalg.qr(x - x.mean(axis=0))[0]
    qy = np.linalg.qr(y - y.mean(axis=0))[0]
    return np.linalg.svd(qx.T @ qy, compute_uv=False)


def test_scores_along_the_weights_have_the_canonical_correlations():
    x, y = coupled(noise=1.0)
    moments = moments_of(x, y)
    a, b = canonical_weights(moments.pooled(np.ones(BLOCKS)), moments.sides, 3)
    assert (a.shape, b.shape) == ((DX, 3), (DY, 3))
    found = [np.corrcoef(x @ a[:, i], y @ b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found[:2], canonical_correlations(x, y)[:2], rtol=RIDGE_TOLERANCE)


def test_weights_do_not_hang_on_units():
    x, y = coupled()
    unit = np.geomspace(1e-5, 1e5, DX)
    plain, scaled = moments_of(x, y), moments_of(x * unit, y)
    a, b = canonical_weights(plain.pooled(np.ones(BLOCKS)), plain.sides, 2)
    c, d = canonical_weights(scaled.pooled(np.ones(BLOCKS)), scaled.sides, 2)
    signs = np.sign((b * d).sum(axis=0))
    np.testing.assert_allclose(c * unit[:, None] * signs, a, rtol=1e-6, atol=1e-9)


def test_held_out_correlations_are_those_of_a_loop_over_fifths():
    x, y = coupled(noise=1.0)
    moments = moments_of(x, y)
    block = np.arange(N) % BLOCKS
    parts = []
    for fold in range(5):
        held = block % 5 == fold
        rest = moments_of(x[~held], y[~held])
        a, b = canonical_weights(rest.pooled(np.ones(BLOCKS)), rest.sides, 3)
        u, v = (x[held] - x[held].mean(axis=0)) @ a, (y[held] - y[held].mean(axis=0)) @ b
        parts.append([(u * v).sum(axis=0), (u * u).sum(axis=0), (v * v).sum(axis=0)])
    parts = np.array(parts)
    pooled = parts[:, 0].sum(axis=0) / np.sqrt(parts[:, 1].sum(axis=0) * parts[:, 2].sum(axis=0))
    each = parts[:, 0] / np.sqrt(parts[:, 1] * parts[:, 2])
    expected = np.minimum(pooled, np.median(each, axis=0))
    np.testing.assert_allclose(held_out_correlations(moments, 3), expected, rtol=1e-8, atol=1e-8)


def test_coupled_directions_correlate_on_rows_left_out_and_others_do_not():
    found = held_out_correlations(moments_of(*coupled()), 4)
    assert found[0] > 0.9
    assert abs(found[3]) < 0.3


def test_nothing_correlates_without_coupling():
    x, y = coupled()
    found = held_out_correlations(moments_of(x, np.roll(y, 7, axis=0)), 1)
    assert found[0] < 0.3


def test_one_row_far_out_cannot_make_a_correlation():
    x, y = coupled()
    y = np.roll(y, 7, axis=0)
    x[3], y[3] = 1e4, 1e4
    assert held_out_correlations(moments_of(x, y), 1)[0] < 0.5


def test_one_block_has_nothing_to_hold_out():
    x, y = coupled(n=30)
    assert held_out_correlations(block_moments(x, y, np.zeros(30, dtype=np.int64), 1), 2).shape == (0,)


def test_a_coordinate_that_does_not_vary_gets_no_weight():
    x, y = coupled()
    x[:, 2] = 0.0
    moments = moments_of(x, y)
    a, _ = canonical_weights(moments.pooled(np.ones(BLOCKS)), moments.sides, 2)
    np.testing.assert_array_equal(a[2], [0.0, 0.0])
    assert np.isfinite(held_out_correlations(moments, 2)).all()


@pytest.mark.parametrize("size", [1e9, 1e60])
def test_a_row_so_far_out_that_the_others_are_rounding_leaves_finite_correlations(size):
    x, y = coupled()
    x[3] = size
    x -= x.mean(axis=0)
    found = held_out_correlations(moments_of(x, y), 3)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0


def test_empty_blocks_are_no_fold():
    x, y = coupled()
    moments = moments_of(x, y)
    padded = replace(
        moments,
        counts=np.r_[moments.counts, 0.0],
        first=np.concatenate([moments.first, np.zeros((1, DX + DY))]),
        second=np.concatenate([moments.second, np.zeros((1, DX + DY, DX + DY))]),
    )
    np.testing.assert_allclose(held_out_correlations(padded, 2), held_out_correlations(moments, 2), rtol=1e-12)
