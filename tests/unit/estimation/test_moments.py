import numpy as np
import pytest
from sklearn.model_selection import KFold

from service.estimation.moments import (
    Blocks,
    BlockSums,
    assign_blocks,
    block_moments,
    centred,
    covariance,
    cross_sums,
    label_sums,
    predictor_sums,
    shuffled_blocks,
    side_by_side,
    without,
)

from .samples import paired


@pytest.mark.parametrize("n", [10, 20, 23, 178, 569])
def test_blocks_are_the_folds_of_a_shuffled_kfold(n):
    blocks = shuffled_blocks(n, 5, 42)
    expected = [test for _, test in KFold(5, shuffle=True, random_state=42).split(np.zeros(n))]
    for rows, test in zip(blocks.slices(), expected, strict=True):
        np.testing.assert_array_equal(np.sort(blocks.order[rows]), test)
    assert sorted(blocks.order) == list(range(n))


def test_first_blocks_take_the_remainder():
    assert shuffled_blocks(23, 5, 0).sizes.tolist() == [5, 5, 5, 4, 4]


def test_blocks_depend_on_the_seed_alone():
    assert shuffled_blocks(30, 5, 1).order.tolist() == shuffled_blocks(30, 5, 1).order.tolist()
    assert shuffled_blocks(30, 5, 1).order.tolist() != shuffled_blocks(30, 5, 2).order.tolist()


def test_covariance_divides_by_n():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((11, 3)), rng.standard_normal((11, 4))
    joint = np.cov(a.T, b.T, bias=True)
    np.testing.assert_allclose(covariance(centred(a), centred(b)), joint[:3, 3:], rtol=1e-12, atol=1e-15)


def test_sums_over_uneven_blocks_match_a_loop():
    rng = np.random.default_rng(1)
    predictors, labels = rng.standard_normal((2, 9, 4)), rng.standard_normal((9, 3))
    blocks = Blocks(np.arange(9), (0, 4, 7, 9))
    sums, of_labels = predictor_sums(predictors, blocks), label_sums(labels, blocks)
    cross = cross_sums(predictors, labels, blocks)
    assert sums.first.shape == (3, 4, 2)
    assert sums.second.shape == (3, 4, 2, 2)
    assert cross.shape == (3, 4, 2, 3)
    for block, rows in enumerate([slice(0, 4), slice(4, 7), slice(7, 9)]):
        np.testing.assert_allclose(of_labels.first[block], labels[rows].sum(0))
        np.testing.assert_allclose(of_labels.second[block], (labels[rows] ** 2).sum(0))
        for component in range(4):
            part = predictors[:, rows, component]
            np.testing.assert_allclose(sums.first[block, component], part.sum(1))
            np.testing.assert_allclose(sums.second[block, component], part @ part.T)
            np.testing.assert_allclose(cross[block, component], part @ labels[rows])


class TestAssignedBlocks:
    def test_without_groups_sizes_differ_by_one_at_most(self):
        blocks = assign_blocks(47, None, 20, seed=0)
        assert sorted(np.bincount(blocks)) == [2] * 13 + [3] * 7
        assert blocks.tolist() == assign_blocks(47, None, 20, seed=0).tolist()
        assert blocks.tolist() != assign_blocks(47, None, 20, seed=1).tolist()
        assert blocks.tolist() != (np.arange(47) % 20).tolist()

    def test_fewer_rows_than_blocks(self):
        assert sorted(assign_blocks(7, None, 20, seed=0)) == list(range(7))

    @pytest.mark.parametrize("seed", range(5))
    def test_groups_are_never_split_and_sizes_are_even(self, seed):
        rng = np.random.default_rng(seed)
        groups = rng.permutation(np.repeat(np.arange(60) * 7 - 3, rng.integers(1, 9, 60)))
        blocks = assign_blocks(len(groups), groups, 8, seed)
        for group in np.unique(groups):
            assert len(set(blocks[groups == group])) == 1
        sizes = np.bincount(blocks, minlength=8)
        assert sizes.max() - sizes.min() <= 2  # of groups of up to 8 rows: small ones go last and fill up

    def test_the_largest_group_has_a_block_of_its_own_when_it_is_that_large(self):
        groups = np.array(["big"] * 30 + ["a", "b", "c"] * 5)
        blocks = assign_blocks(45, groups, 3, seed=0)
        assert set(blocks[:30]).isdisjoint(blocks[30:])
        assert sorted(np.bincount(blocks)) == [5, 10, 30]

    def test_no_more_blocks_than_groups(self):
        groups = np.array([5, 5, 9, 9, 9, 2])
        assert sorted(set(assign_blocks(6, groups, 20, seed=0))) == [0, 1, 2]
        assert set(assign_blocks(6, np.zeros(6), 20, seed=0)) == {0}

    def test_ties_are_broken_by_the_seed(self):
        groups = np.arange(40)
        assert assign_blocks(40, groups, 5, 0).tolist() == assign_blocks(40, groups, 5, 0).tolist()
        assert assign_blocks(40, groups, 5, 0).tolist() != assign_blocks(40, groups, 5, 1).tolist()

    @pytest.mark.parametrize("groups", [None, np.repeat(np.arange(10), 3)])
    def test_rows_that_do_not_count_are_in_no_block(self, groups):
        kept = np.arange(30) % 7 != 2
        blocks = assign_blocks(30, groups, 5, 0, kept)
        assert (blocks[~kept] == -1).all()
        assert sorted(np.bincount(blocks[kept])) == [5, 5, 5, 5, 6] if groups is None else (blocks[kept] >= 0).all()

    def test_the_stream_is_frozen(self):
        assert assign_blocks(10, None, 3, seed=7).tolist() == [2, 1, 0, 1, 0, 1, 2, 0, 0, 2]


def test_moments_of_blocks_match_a_loop():
    sample = paired(n=11)
    blocks = np.array([0, 2, 0, 2, 2, -1, 3, 0, 2, 2, 0])
    moments = block_moments(sample.x, sample.y, blocks, 5)
    z = np.hstack([sample.x, sample.y])
    assert moments.counts.tolist() == [4, 0, 5, 1, 0]
    assert moments.n_x == 7
    for block in range(5):
        np.testing.assert_allclose(moments.first[block], sum((row for row in z[blocks == block]), np.zeros(12)))
        products = sum((np.outer(row, row) for row in z[blocks == block]), np.zeros((12, 12)))
        np.testing.assert_allclose(moments.second[block], products)


def test_rows_may_be_added_in_portions():
    sample = paired(n=30)
    blocks = np.arange(30) % 4
    sums = BlockSums(4, 7, 5)
    for rows in (slice(0, 1), slice(1, 20), slice(20, 20), slice(20, 30)):
        sums.add(blocks[rows], sample.x[rows], sample.y[rows])
    found, expected = sums.finish(), block_moments(sample.x, sample.y, blocks, 4)
    assert found.counts.tolist() == expected.counts.tolist()
    np.testing.assert_allclose(found.first, expected.first, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.second, expected.second, rtol=0, atol=1e-12)


def test_all_pairs_without_some_are_the_others():
    sample = paired(n=30)
    blocks, labeled = np.arange(30) % 4, np.arange(30) % 3 == 0
    labeled[blocks == 2] = True
    x, y = sample.x, sample.y
    every, part = block_moments(x, y, blocks, 4), block_moments(x[labeled], y[labeled], blocks[labeled], 4)
    rest, expected = without(every, part), block_moments(x[~labeled], y[~labeled], blocks[~labeled], 4)
    assert rest.counts.tolist() == expected.counts.tolist()
    assert rest.counts[2] == 0
    assert rest.n_x == 7
    np.testing.assert_allclose(rest.first, expected.first, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rest.second, expected.second, rtol=0, atol=1e-12)


def test_blocks_side_by_side_keep_their_order():
    sample = paired(n=30)
    blocks = np.arange(30) % 3
    whole = block_moments(sample.x, sample.y, blocks, 3)
    first = block_moments(sample.x[::3], sample.y[::3], blocks[::3], 1)
    others = blocks > 0
    rest = block_moments(sample.x[others], sample.y[others], blocks[others] - 1, 2)
    found = side_by_side(first, rest)
    np.testing.assert_array_equal(found.counts, whole.counts)
    np.testing.assert_allclose(found.first, whole.first, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.second, whole.second, rtol=0, atol=1e-12)
    assert found.n_x == 7


def test_pooled_moments_are_those_of_the_rows():
    rng = np.random.default_rng(2)
    rows, blocks = rng.standard_normal((30, 4)), assign_blocks(30, None, 4, seed=0)
    found = block_moments(rows[:, :3], rows[:, 3:], blocks, 4).pooled(np.array([1.0, 0.0, 2.0, 1.0]))
    parts = [rows[blocks == block] for block in (0, 2, 2, 3)]
    repeated = np.vstack(parts)
    assert found.n == len(repeated)
    np.testing.assert_allclose(found.mean, repeated.mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(repeated.T, bias=True))
