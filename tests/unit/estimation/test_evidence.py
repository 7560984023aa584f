"""The two tests before every claim: hardly ever wrong without signal, sure with it, and blind to what is arbitrary."""

import numpy as np
import pytest
from scipy.stats import binom

from service.estimation import evidence
from service.estimation.evidence import (
    CoupledComponents,
    CouplingEvidence,
    component_p_values,
    coupling_evidence,
    label_evidence,
    pairing_not_better_than_shuffled,
)

DRAWS = 200
TOO_MANY = int(binom.ppf(0.999, DRAWS, 0.05))  # an exact test at level 0.05 claims more than this once in 1000


def coupled(rng, n, dx, dy, correlations, tail=None):
    """x (n, dx), y (n, dy) of falling variance; their i-th columns correlate at correlations[i]."""
    x, y = rng.standard_normal((n, dx)), rng.standard_normal((n, dy))
    k = len(correlations)
    y[:, :k] = correlations * x[:, :k] + np.sqrt(1 - np.square(correlations)) * y[:, :k]
    if tail == "t4":
        x, y = (values / np.sqrt(rng.chisquare(4, n) / 4)[:, None] for values in (x, y))
    if tail == "outlier":
        x[0], y[1] = 1000 * x[0], 1000 * y[1]
    return x / np.sqrt(1 + np.arange(dx)), y / np.sqrt(1 + np.arange(dy))


def moments(x, y, count=20, groups=None, seed=0):
    z = np.hstack([x, y])
    members = np.arange(len(z)) if groups is None else groups
    parts = np.array_split(np.random.default_rng(seed).permutation(members.max() + 1), count)
    blocks = [z[np.isin(members, part)] for part in parts]
    return (
        np.array([float(len(block)) for block in blocks]),
        np.stack([block.sum(axis=0) for block in blocks]),
        np.stack([block.T @ block for block in blocks]),
    )


def coupling(x, y, count=20, groups=None, seed=0, **options):
    grouped = groups is not None
    return coupling_evidence(*moments(x, y, count, groups), x.shape[1], grouped=grouped, seed=seed, **options)


def near_copies(rng, values, members):
    return values[members] + 0.02 * rng.standard_normal((len(members), values.shape[1]))


class TestCoupling:
    @pytest.mark.parametrize("tail", [None, "t4", "outlier"])
    def test_shuffled_rows_are_seldom_called_coupled(self, tail):
        claims = 0
        for draw in range(DRAWS):
            rng = np.random.default_rng([draw, 1])
            x, y = coupled(rng, 120, 16, 12, [0.9, 0.7], tail)
            claims += coupling(x, y[rng.permutation(120)], seed=draw, resamples=99).p_value <= 0.05
        assert claims <= TOO_MANY

    def test_groups_of_near_copies_are_seldom_called_coupled_unless_taken_for_rows(self):
        claims = {True: 0, False: 0}
        for draw in range(DRAWS):
            rng = np.random.default_rng([draw, 2])
            x, y = coupled(rng, 80, 30, 24, [])
            members = np.repeat(np.arange(80), rng.integers(1, 11, 80))
            sums = moments(near_copies(rng, x, members), near_copies(rng, y, members), 20, members)
            for grouped in claims:
                claims[grouped] += (
                    coupling_evidence(*sums, 30, grouped=grouped, seed=draw, resamples=99).p_value <= 0.05
                )
        assert claims[True] <= TOO_MANY < claims[False]

    @pytest.mark.parametrize(
        ("n", "correlations"),
        [
            (300, [0.0, 0.65]),  # one strong component among many private ones
            (600, [0.2] * 24),  # weak and everywhere
            (400, [0.0] * 23 + [0.7]),  # in the direction of least variance
        ],
    )
    @pytest.mark.parametrize("tail", [None, "t4"])
    def test_coupling_is_found(self, n, correlations, tail):
        found = [
            coupling(*coupled(np.random.default_rng([draw, 3]), n, 30, 24, correlations, tail), resamples=99).p_value
            for draw in range(10)
        ]
        assert np.median(found) <= 0.02

    def test_coupling_of_groups_is_found(self):
        rng = np.random.default_rng(4)
        x, y = coupled(rng, 80, 8, 6, [0.9])
        members = np.repeat(np.arange(80), rng.integers(1, 11, 80))
        found = coupling(near_copies(rng, x, members), near_copies(rng, y, members), groups=members)
        assert found.p_value <= 0.01
        assert found.n_blocks == 20

    def test_held_out_correlation_is_that_of_the_population(self):
        x, y = coupled(np.random.default_rng(5), 3000, 12, 9, [0.3, 0.8, 0.5])
        assert coupling(x, y).held_out_correlation == pytest.approx(0.8, abs=0.03)
        x, y = coupled(np.random.default_rng(5), 300, 60, 50, [])
        assert abs(coupling(x, y).held_out_correlation) < 0.2  # in sample it is 0.8

    def test_perfect_coupling(self):
        x, _ = coupled(np.random.default_rng(6), 200, 7, 5, [])
        found = coupling(x, x[:, :4])
        assert found.p_value == pytest.approx(1 / 200)
        assert found.held_out_correlation == pytest.approx(1, abs=0.01)

    def test_neither_unit_nor_offset_nor_sign_matters(self):
        x, y = coupled(np.random.default_rng(7), 150, 9, 6, [0.4])
        signs = np.where(np.arange(6) % 2, -1.0, 1.0)
        before, after = coupling(x, y), coupling(1e3 * x + 40, 1e-3 * signs * y - 1)
        assert after.p_value == before.p_value
        assert after.held_out_correlation == pytest.approx(before.held_out_correlation, rel=1e-6)
        assert 0.005 < before.p_value < 1

    def test_x_and_y_may_change_places(self):
        x, y = coupled(np.random.default_rng(8), 150, 9, 6, [0.4])
        forth, back = coupling(x, y), coupling(y, x)
        assert forth.p_value == back.p_value
        assert forth.held_out_correlation == pytest.approx(back.held_out_correlation, rel=1e-6)

    def test_the_seed_decides_the_flips(self):
        x, y = coupled(np.random.default_rng(9), 150, 9, 6, [0.25])
        assert coupling(x, y, seed=1) == coupling(x, y, seed=1)
        assert len({coupling(x, y, seed=seed).p_value for seed in range(5)}) > 1

    @pytest.mark.parametrize("groups", [None, np.arange(200) // 2])
    def test_five_blocks_prove_nothing(self, groups):
        x, _ = coupled(np.random.default_rng(10), 200, 7, 5, [])
        assert coupling(x, x[:, :4], 5, groups).p_value == pytest.approx(1 / 16)
        assert coupling(x, x[:, :4], 6, groups).p_value == pytest.approx(1 / 32)

    def test_more_coordinates_than_rows_are_no_failure(self):
        x, y = coupled(np.random.default_rng(11), 60, 90, 80, [])
        assert 0 < coupling(x, y).p_value <= 1

    def test_a_modality_that_does_not_vary_is_not_coupled(self):
        x, y = coupled(np.random.default_rng(12), 100, 5, 3, [])
        assert coupling(x, np.full_like(y, 0.3)) == CouplingEvidence(1.0, 0.0, 20)

    def test_a_coordinate_that_does_not_vary_and_an_empty_block_change_nothing(self):
        x, y = coupled(np.random.default_rng(13), 100, 5, 3, [0.4])
        padded = np.hstack([x, np.full((100, 1), 2.0)])
        assert coupling(padded, y) == coupling(x, y)
        sums = [np.concatenate([part, np.zeros_like(part[:1])]) for part in moments(x, y)]
        assert coupling_evidence(*sums, 5, grouped=False) == coupling(x, y)

    def test_flips_vary_as_the_observed_sum_does(self):
        sizes = np.array([3, 5, 1, 4])
        centring = np.eye(13) - 1 / 13
        squares = (centring @ centring.T) ** 2  # variance of a sum of products of rows, independent in x and in y
        members = np.repeat(np.arange(4), sizes)
        within_blocks = sum(squares[np.ix_(members == block, members == block)].sum() for block in range(4))
        assert evidence._flip_scale(sizes.astype(float)) ** 2 * within_blocks == pytest.approx(squares.sum())

    def test_statistics_are_powers_of_singular_values(self):
        rng = np.random.default_rng(15)
        blocks, patterns = rng.standard_normal((7, 5, 3)), rng.choice([-1.0, 1.0], (60, 7))
        values = np.stack([np.linalg.svd(np.tensordot(signs, blocks, 1), compute_uv=False) for signs in patterns])
        np.testing.assert_allclose(evidence._whole(blocks, patterns), (values**2).sum(axis=1))
        np.testing.assert_allclose(evidence._strongest(blocks, patterns), (values**16).sum(axis=1))


class TestWarning:
    def test_due_when_the_pairing_is_no_better_than_shuffled(self):
        (warning,) = pairing_not_better_than_shuffled(CouplingEvidence(0.06, 0.031, 39))
        assert warning.code == "pairing_not_better_than_shuffled"
        assert "p = 0.06" in warning.message
        assert "0.03 on pairs left out" in warning.message
        assert "same sample" in warning.message

    def test_not_due_otherwise(self):
        assert list(pairing_not_better_than_shuffled(CouplingEvidence(0.05, 0.6, 39))) == []


def components(dx, dy, correlations):
    """The first coordinates of x and of y, taken for the coupled components."""
    k = len(correlations)
    return CoupledComponents(np.eye(dx, k), np.eye(dy, k), np.asarray(correlations, dtype=float))


CORRELATIONS = [0.9] * 6 + [0.5] * 6


def labeled(rng, m, n_groups=None):
    """x (m, 16), y (m, 14) with 12 coupled components, and the first three of x's hidden ones."""
    x, y = coupled(rng, n_groups or m, 16, 14, CORRELATIONS)
    signal = x[:, :3] * np.sqrt(1 + np.arange(3))
    if n_groups is None:
        return x, y, signal, None
    members = np.repeat(np.arange(n_groups), rng.integers(1, 11, n_groups))
    return near_copies(rng, x, members), near_copies(rng, y, members), near_copies(rng, signal, members), members


def eight_classes(rng, signal):
    return np.eye(8)[((signal[:, None] - rng.standard_normal((8, signal.shape[1]))) ** 2).sum(axis=2).argmin(axis=1)]


class TestLabels:
    @pytest.mark.parametrize("n_groups", [None, 60])
    def test_labels_of_other_rows_are_seldom_called_associated(self, n_groups):
        claims = np.zeros(3)
        for draw in range(DRAWS):
            rng = np.random.default_rng([draw, 20])
            x, y, _, members = labeled(rng, 120, n_groups)
            signal = rng.standard_t(4, (n_groups or 120, 3))
            if members is not None:
                signal = near_copies(rng, signal, members)
            targets = np.hstack([eight_classes(rng, signal), signal])
            found = label_evidence(x, y, targets, components(16, 14, CORRELATIONS), members, seed=draw, resamples=99)
            claims += np.array([found.p_x, found.p_y, found.p_value]) <= 0.05
        assert claims.max() <= TOO_MANY

    @pytest.mark.parametrize("n_groups", [None, 80])
    @pytest.mark.parametrize(
        "labels",
        [
            lambda rng, signal: signal.sum(axis=1, keepdims=True) + 2 * rng.standard_normal((len(signal), 1)),
            eight_classes,
            lambda rng, signal: np.hstack([signal[:, :1], rng.standard_normal((len(signal), 200))]),
        ],
        ids=["one label of three components", "eight classes", "one of 201 labels"],
    )
    def test_labels_of_the_signal_are_found(self, labels, n_groups):
        found = []
        for draw in range(5):
            rng = np.random.default_rng([draw, 21])
            x, y, signal, members = labeled(rng, 150, n_groups)
            found.append(label_evidence(x, y, labels(rng, signal), components(16, 14, CORRELATIONS), members).p_value)
        assert np.median(found) <= 0.01

    def test_a_thousand_classes_are_enough_to_see_the_signal(self):
        rng = np.random.default_rng(22)
        x, y, signal, _ = labeled(rng, 1000)
        centres = rng.standard_normal((1000, 3))
        nearest = (((signal**2).sum(axis=1)[:, None] - 2 * signal @ centres.T) + (centres**2).sum(axis=1)).argmin(
            axis=1
        )
        found = label_evidence(x, y, np.eye(1000)[nearest], components(16, 14, CORRELATIONS))
        assert found.p_value <= 0.01

    def test_the_claim_needs_both_modalities(self):
        rng = np.random.default_rng(23)
        x, _, signal, _ = labeled(rng, 150)
        found = label_evidence(x, rng.standard_normal((150, 14)), signal, components(16, 14, CORRELATIONS))
        assert found.p_x <= 0.01
        assert found.p_y > 0.05
        assert found.p_value == found.p_y

    def test_components_that_are_not_coupled_do_not_count(self):
        rng = np.random.default_rng(24)
        x, y, signal, _ = labeled(rng, 150)
        without = components(16, 14, [0.0, -0.1, 0.0, *CORRELATIONS[3:]])
        with_them = components(16, 14, CORRELATIONS)
        assert label_evidence(x, y, signal, without).p_x > 0.05
        assert label_evidence(x, y, signal, with_them).p_x <= 0.01
        none = components(16, 14, [-0.1, 0.0])  # then all count alike
        assert label_evidence(x, y, signal, none).p_x <= 0.01

    @pytest.mark.parametrize("n_groups", [None, 40])
    def test_neither_units_nor_offsets_nor_signs_nor_the_order_of_rows_matter(self, n_groups):
        rng = np.random.default_rng(25)
        x, y, signal, members = labeled(rng, 90, n_groups)
        targets = np.hstack([0.3 * signal[:, :2], np.zeros((len(x), 2))]) + rng.standard_normal((len(x), 4))
        targets[rng.random(targets.shape) < 0.2] = np.nan
        before = label_evidence(x, y, targets, components(16, 14, CORRELATIONS), members)
        order = rng.permutation(len(x))
        signs = np.where(np.arange(12) % 3, -1.0, 1.0)
        turned = components(16, 14, CORRELATIONS)
        turned = CoupledComponents(turned.x * signs, turned.y * 7, turned.correlations)
        after = label_evidence(
            100 * x[order] + 5,
            y[order] - 3,
            (1 - 50 * targets)[order],
            turned,
            None if members is None else np.array([f"subject {g}" for g in members])[order],
        )
        assert (after.p_x, after.p_y) == pytest.approx((before.p_x, before.p_y))
        assert 0.01 < before.p_value < 1

    def test_the_seed_decides_the_rearrangements(self):
        rng = np.random.default_rng(26)
        x, y, signal, _ = labeled(rng, 90)
        targets = 0.1 * signal + rng.standard_normal(signal.shape)
        found = [label_evidence(x, y, targets, components(16, 14, CORRELATIONS), seed=seed) for seed in (0, 0, 1, 2)]
        assert found[0] == found[1]
        assert len({each.p_x for each in found}) > 1

    def test_labels_of_some_rows_are_found(self):
        rng = np.random.default_rng(27)
        x, y, signal, _ = labeled(rng, 150)
        targets = np.hstack([signal[:, :1], rng.standard_normal((150, 3))])
        targets[rng.random(targets.shape) < 0.5] = np.nan
        targets[:, 3] = np.nan
        assert label_evidence(x, y, targets, components(16, 14, CORRELATIONS)).p_value <= 0.01

    def test_labels_that_do_not_vary_prove_nothing(self):
        x, y, _, _ = labeled(np.random.default_rng(28), 50)
        assert label_evidence(x, y, np.ones((50, 2)), components(16, 14, CORRELATIONS)).p_value == 1

    def test_five_groups_prove_nothing(self):
        x, y, signal, _ = labeled(np.random.default_rng(29), 50)
        found = label_evidence(x, y, signal, components(16, 14, CORRELATIONS), np.arange(50) % 5)
        assert found.p_value > 0.05
        assert found.n_units == 5


class TestComponents:
    def test_the_components_that_labels_hang_on_are_found(self):
        rng = np.random.default_rng(30)
        scores = rng.standard_normal((200, 40))
        targets = np.hstack([scores[:, [3]] + scores[:, [17]], rng.standard_normal((200, 4))])
        p_values = component_p_values(scores, targets)
        assert (p_values[[3, 17]] <= 0.01).all()
        assert (np.delete(p_values, [3, 17]) > 0.05).all()

    @pytest.mark.parametrize("grouped", [False, True])
    def test_a_component_without_association_is_seldom_among_them(self, grouped):
        claims = 0
        for draw in range(DRAWS):
            rng = np.random.default_rng([draw, 31])
            scores, targets = rng.standard_t(4, (60, 15)), rng.standard_normal((60, 4))
            targets[:, 0] += 2 * scores[:, 0]
            members = np.repeat(np.arange(60), rng.integers(1, 11, 60)) if grouped else None
            if members is not None:
                scores, targets = near_copies(rng, scores, members), near_copies(rng, targets, members)
            p_values = component_p_values(scores, targets, members, seed=draw, resamples=99)
            claims += (p_values[1:] <= 0.05).any()
        assert claims <= TOO_MANY

    def test_neither_units_nor_the_order_of_rows_nor_of_components_matter(self):
        rng = np.random.default_rng(32)
        scores = rng.standard_normal((80, 6))
        targets = scores[:, :2] @ np.array([[0.4, 0.1, 0], [0, 0.3, 0]]) + rng.standard_normal((80, 3))
        rows, columns = rng.permutation(80), rng.permutation(6)
        before = component_p_values(scores, targets, seed=5)
        after = component_p_values(-10 * scores[rows][:, columns] + 1, 3 - targets[rows], seed=5)
        np.testing.assert_allclose(after, before[columns])
        assert len(set(before)) > 2

    def test_a_component_that_does_not_vary_is_not_associated(self):
        rng = np.random.default_rng(33)
        scores = rng.standard_normal((60, 3))
        scores[:, 1] = 4.0
        p_values = component_p_values(scores, scores[:, :1])
        assert p_values[1] == 1
        assert p_values[0] <= 0.01
