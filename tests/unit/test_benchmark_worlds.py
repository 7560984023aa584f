"""Worlds are what their table says: true ratios, shares, tails, groups, labels, frozen draws."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from benchmarks.labelings import KIND_SHARES, LABELINGS, LabelKind, one_rare_class
from benchmarks.populations import SPECTRUM_SHARES, Spectrum, draw_population
from benchmarks.problems import REGIMES
from benchmarks.worlds import Grouping, Traits, crowded_world, labels_of, sample, wide_world

PLAIN = Traits(degrees=None, grouping=None, label_kind=LabelKind.LINEAR)


def covariances(population):
    """Sxx, Syy, Sxy of the mixed rows."""
    k = len(population.kappa2)
    dx, dy = len(population.mixing_x), len(population.mixing_y)
    cross = np.zeros((dx, dy))
    cross[range(k), range(k)] = population.kappa2
    for j, nu in enumerate(population.nu):
        cross[k + j, k + j] = nu * math.sqrt(population.tilde_x[j] * population.tilde_y[j])
    sxx = np.diag(np.concatenate([population.kappa2 + population.gamma_x, population.tilde_x]))
    syy = np.diag(np.concatenate([population.kappa2 + population.gamma_y, population.tilde_y]))
    mx, my = population.mixing_x, population.mixing_y
    return mx.T @ sxx @ mx, my.T @ syy @ my, mx.T @ cross @ my


def inverse_root(covariance):
    return linalg.inv(linalg.sqrtm(covariance).real)


def extreme_gains(source, target_by_source, reading, k):
    """Least gain of A on the signal, largest on the nuisance; column i of `reading` reads coordinate i from a row."""
    prediction = target_by_source @ inverse_root(source)
    whitened = linalg.sqrtm(source).real @ reading
    whitened /= np.linalg.norm(whitened, axis=0)
    np.testing.assert_allclose(whitened.T @ whitened, np.eye(len(source)), atol=1e-8)
    signal, nuisance = whitened[:, :k], whitened[:, k:]
    return linalg.svdvals(prediction @ signal)[:k].min(), linalg.svdvals(prediction @ nuisance).max()


def some_population(seed, general, dx=9, dy=7):
    return draw_population(np.random.default_rng(seed), REGIMES[seed % 4], dx, dy, general=general)


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_true_ratios_are_those_of_the_mixed_population(seed, general):
    population = some_population(seed, general)
    if population.spectrum is Spectrum.NONE:
        population = replace(population, nu=np.linspace(0.6, 0.1, len(population.nu)))
    sxx, syy, sxy = covariances(population)
    k, ratios = len(population.kappa2), population.ratios()
    couplings = linalg.svdvals(inverse_root(sxx) @ sxy @ inverse_root(syy))
    expected = np.sort(np.concatenate([population.rho, population.nu]))[::-1]
    np.testing.assert_allclose(couplings, expected, atol=1e-7)
    assert ratios.ca == pytest.approx(population.rho.min() / population.nu.max(), rel=1e-12)
    for source, cross, mixing, ratio in (
        (sxx, sxy.T, population.mixing_x, ratios.cp_x_to_y),
        (syy, sxy, population.mixing_y, ratios.cp_y_to_x),
    ):
        least, largest = extreme_gains(source, cross, linalg.inv(mixing), k)
        assert ratio == pytest.approx(least / largest, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_gains_of_orthogonal_mixing_are_the_closed_forms(seed):
    population = some_population(seed, general=False)
    closed, gains = population.ratios(), replace(population, general=True).ratios()
    assert tuple(vars(gains).values()) == pytest.approx(tuple(vars(closed).values()), rel=1e-9)
    np.testing.assert_allclose(population.mixing_x.T @ population.mixing_x, np.eye(9), atol=1e-12)


def test_general_mixing_changes_prediction_and_not_alignment():
    population = some_population(0, general=True)
    unmixed = replace(population, general=False)
    assert population.ratios().ca == unmixed.ratios().ca
    assert population.ratios().cp_x_to_y != pytest.approx(unmixed.ratios().cp_x_to_y, rel=0.01)
    condition = linalg.svdvals(population.mixing_x)
    assert condition[0] / condition[-1] > 1.2


def test_without_nuisance_coupling_ratios_are_infinite():
    population = replace(some_population(0, general=False), nu=np.zeros(3))
    assert set(vars(population.ratios()).values()) == {math.inf}
    assert set(vars(replace(population, general=True).ratios()).values()) == {math.inf}
    assert not population.ratios().near_boundary


@pytest.mark.parametrize(
    "traits",
    [
        PLAIN,
        replace(PLAIN, degrees=9.0),
        replace(PLAIN, grouping=Grouping(np.arange(60_000) % 20_000, 0.7)),
    ],
)
@pytest.mark.parametrize("general", [False, True])
def test_samples_have_the_covariances_of_the_population(traits, general):
    population = some_population(5, general)
    drawn = sample(np.random.default_rng(0), population, 60_000, traits)
    found = np.cov(drawn.x.T, drawn.y.T)
    sxx, syy, sxy = covariances(population)
    expected = np.block([[sxx, sxy], [sxy.T, syy]])
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(found / scale, expected / scale, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.signal.T), np.eye(len(population.kappa2)), atol=0.05)


def test_groups_own_their_share_of_the_variance():
    grouping = Grouping(np.repeat(np.arange(4000), 2), 0.8)
    drawn = sample(np.random.default_rng(1), some_population(1, general=False), 8000, replace(PLAIN, grouping=grouping))
    for values in (drawn.x, drawn.y, drawn.signal):
        for column in values.T:
            assert np.corrcoef(column[0::2], column[1::2])[0, 1] == pytest.approx(0.8, abs=0.05)
    own = drawn.signal - np.sqrt(0.8) * drawn.group_signal[grouping.members]
    assert own.std() == pytest.approx(np.sqrt(0.2), rel=0.05)


def test_tails_are_those_of_the_t_distribution():
    rng = np.random.default_rng(2)
    drawn = sample(rng, some_population(2, general=False), 40_000, replace(PLAIN, degrees=5.0))
    mixed = np.abs(drawn.x[:, 0] / drawn.x[:, 0].std())
    # P(|t_5| > 4 sd) = P(|t_5| > 4 sqrt(5 / 3)) = 0.0036; a normal row is as far out in 6 of 100 000.
    assert 0.002 < (mixed > 4).mean() < 0.0055
    lengths = [np.linalg.norm(values, axis=1) for values in (drawn.x, drawn.y)]
    assert np.corrcoef(*lengths)[0, 1] > 0.5


@pytest.mark.parametrize("generate", [wide_world, crowded_world])
def test_regimes_come_in_equal_shares(generate):
    assert [generate(seed).ratios.regime for seed in range(8)] == [*REGIMES] * 2


def test_wide_worlds_keep_to_the_table():
    worlds = [wide_world(seed) for seed in range(60)]
    for world in worlds:
        (n, dx), dy, m = world.x.shape, world.y.shape[1], len(world.rows)
        assert 150 <= n <= 8000
        assert 5 <= min(dx, dy) <= max(dx, dy) <= min(90, 0.3 * n)
        assert 50 <= m <= min(n, 2000)
        assert world.labels.shape[0] == m
        assert (world.labels.std(axis=0) > 0).all()
        assert (np.diff(world.rows) > 0).all()
        assert world.population.nu.max() < 0.98
        assert 1 <= len(world.population.kappa2) <= min(8, max(1, min(dx, dy) // 2))
    assert {world.traits.label_kind for world in worlds} == set(LabelKind)
    assert {world.population.spectrum for world in worlds} == set(Spectrum)
    assert 0.2 < np.mean([world.population.general for world in worlds]) < 0.6
    assert 0.1 < np.mean([world.traits.degrees is not None for world in worlds]) < 0.4
    grouped = [world for world in worlds if world.groups is not None]
    assert 0.03 < len(grouped) / len(worlds) < 0.3
    for world in grouped:
        assert len(np.unique(world.groups)) >= 30
        assert 0.3 <= world.traits.grouping.share <= 0.95


def test_crowded_worlds_keep_to_the_table():
    for seed in range(12):
        world = crowded_world(seed)
        (n, dx), dy = world.x.shape, world.y.shape[1]
        assert 150 <= n <= 700
        assert 0.15 - 2 / n <= (dx + dy) / n <= 0.55
        assert 60 <= len(world.rows) <= n
        assert world.groups is None


@pytest.mark.parametrize(
    ("generate", "seed", "shapes", "ratios", "corner"),
    [
        (
            wide_world,
            0,
            ((497, 5), (497, 13), (145, 2)),
            (143.1950368986, 554.8142573683, 629.5830416163),
            -0.3363074212,
        ),
        (
            wide_world,
            3,
            ((268, 40), (268, 11), (50, 4)),
            (0.1186179933, 0.5965701669, 0.0712390538),
            -1.8138732487,
        ),
        (
            crowded_world,
            2,
            ((204, 33), (204, 61), (190, 1)),
            (0.4710170328, 1.1031491996, 1.7077218627),
            0.3847380866,
        ),
    ],
)
def test_a_seed_names_one_world_for_ever(generate, seed, shapes, ratios, corner):
    world = generate(seed)
    assert (world.x.shape, world.y.shape, world.labels.shape) == shapes
    assert tuple(vars(world.ratios).values()) == pytest.approx(ratios, rel=1e-8)
    assert world.x[0, 0] == pytest.approx(corner, rel=1e-6)


def test_shares_are_shares():
    assert sum(KIND_SHARES.values()) == pytest.approx(1)
    assert sum(SPECTRUM_SHARES.values()) == pytest.approx(1)


class TestLabels:
    def signal(self, k=3):
        return np.random.default_rng(3).standard_normal((4000, k))

    @pytest.mark.parametrize("kind", list(LabelKind))
    def test_every_signal_coordinate_is_in_the_labels(self, kind):
        signal = self.signal()
        labels = LABELINGS[kind](np.random.default_rng(4), signal)
        features = np.hstack([signal, signal**2 - 1])
        labels = labels[:, labels.std(axis=0) > 0]
        strength = np.abs(np.corrcoef(features.T, labels.T)[:6, 6:]).max(axis=1)
        assert (strength[:3] > 0.08).all()

    @pytest.mark.parametrize("kind", [LabelKind.CLASSES, LabelKind.RARE])
    def test_classes_are_one_hot(self, kind):
        labels = LABELINGS[kind](np.random.default_rng(5), self.signal())
        assert set(np.unique(labels)) == {0.0, 1.0}
        assert (labels.sum(axis=1) == 1).all()
        assert 2 <= labels.shape[1] <= 12

    @pytest.mark.parametrize("k", [1, 3])
    def test_one_class_is_rare(self, k):
        for seed in range(5):
            labels = one_rare_class(np.random.default_rng(seed), self.signal(k))
            assert (labels.sum(axis=1) == 1).all()
            shares = labels.mean(axis=0)
            assert 0.029 <= shares[-1] <= 0.061
            assert shares.argmin() == len(shares) - 1

    def test_mixed_labels_end_in_two_irrelevant_columns(self):
        labels = LABELINGS[LabelKind.MIXED](np.random.default_rng(6), self.signal())
        related = np.abs(np.corrcoef(self.signal().T, labels.T)[:3, 3:]).max(axis=0)
        assert (related[-2:] < 0.05).all()
        assert (related[:-2] > 0.1).all()
        assert set(np.unique(labels[:, -3])) == {0.0, 1.0}

    def test_labels_are_drawn_until_one_varies(self):
        calls = []

        def third_time_varying(rng, signal):
            calls.append(len(signal))
            varying = np.arange(len(signal)) if len(calls) == 3 else np.ones(len(signal))
            return np.column_stack([np.ones(len(signal)), varying])

        labels = labels_of(np.random.default_rng(0), third_time_varying, self.signal(), np.array([2, 5]))
        assert calls == [4000] * 3
        np.testing.assert_array_equal(labels, [[2.0], [5.0]])
