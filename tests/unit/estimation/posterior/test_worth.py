import numpy as np
import pytest

from service.estimation.moments import assign_blocks, block_moments
from service.estimation.posterior.worth import design_effect, label_design_effect

BLOCKS, DX, DY = 20, 6, 4
SAMPLING = 0.25  # by which an estimate from 20 blocks and 24 products may miss a design effect of 1, relative


def effect(x, y, groups=None):
    blocks = assign_blocks(len(x), groups, BLOCKS, 0)
    return design_effect(block_moments(x, y, blocks, BLOCKS))


def normal_pair(seed, n):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 2))
    x = np.hstack([shared, np.zeros((n, DX - 2))]) + rng.standard_normal((n, DX))
    y = np.hstack([shared, np.zeros((n, DY - 2))]) + rng.standard_normal((n, DY))
    return x, y


def test_independent_normal_rows_are_worth_themselves():
    effects = [effect(*normal_pair(seed, 400)) for seed in range(8)]
    assert min(effects) >= 1.0
    assert np.mean(effects) < 1 + SAMPLING


@pytest.mark.parametrize("times", [3, 8])
def test_repeated_rows_are_worth_their_number(times):
    x, y = normal_pair(0, 200)
    groups = np.repeat(np.arange(200), times)
    found = effect(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0), groups)
    assert found == pytest.approx(times, rel=2 * SAMPLING)
    # Copies apart from each other, in whatever block, do not show between blocks.
    assert effect(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0)) < 0.7 * times


def test_heavy_tails_are_worth_less():
    rng = np.random.default_rng(0)
    scale = np.sqrt(3 / rng.chisquare(3, (2000, 1)))
    x, y = normal_pair(1, 2000)
    assert effect(x * scale, y * scale) > 2 * effect(x, y)


def test_it_does_not_hang_on_units_or_offsets():
    x, y = normal_pair(2, 300)
    scale = np.geomspace(1e-3, 1e3, DX)
    assert effect(x * scale + 2.0, 1e4 * y) == pytest.approx(effect(x, y), rel=1e-6)


def label_effect(scores, targets, groups=None, seed=0):
    blocks = assign_blocks(len(scores), groups, BLOCKS, seed)
    return label_design_effect(scores - scores.mean(axis=0), targets - targets.mean(axis=0), blocks)


def test_label_effect_of_normal_and_of_repeated_rows():
    rng = np.random.default_rng(0)
    scores, targets = rng.standard_normal((200, 8)), rng.standard_normal((200, 3))
    assert label_effect(scores, targets) < 1 + SAMPLING
    groups = np.repeat(np.arange(200), 5)
    repeated = label_effect(np.repeat(scores, 5, axis=0), np.repeat(targets, 5, axis=0), groups)
    assert repeated == pytest.approx(5, rel=2 * SAMPLING)


def test_label_effect_is_a_ratio_to_normal_scatter_block_by_block():
    rng = np.random.default_rng(3)
    scores, targets = rng.standard_normal((30, 2)) ** 3, rng.standard_normal((30, 1)) ** 3
    scores, targets = scores - scores.mean(axis=0), targets - targets.mean(axis=0)
    blocks = np.arange(30) % 4
    scatter = expected = 0.0
    for block in range(4):
        for i in range(2):
            mean = (scores[:, i] * targets[:, 0]).mean()
            products = scores[blocks == block, i] * targets[blocks == block, 0]
            of_normal = (scores[:, i] ** 2).mean() * (targets[:, 0] ** 2).mean() + mean**2
            scatter += (products.sum() - len(products) * mean) ** 2 / of_normal
            expected += len(products) * (1 - len(products) / 30)
    assert label_design_effect(scores, targets, blocks) == pytest.approx(max(1.0, scatter / expected), rel=1e-9)


def test_scores_that_do_not_vary_count_for_nothing():
    rng = np.random.default_rng(1)
    scores, targets = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    with_constant = np.hstack([scores, np.zeros((40, 1))])
    assert label_effect(with_constant, targets) == label_effect(scores, targets)
    assert label_design_effect(np.zeros((40, 2)), targets, np.arange(40) % 5) == 1.0
