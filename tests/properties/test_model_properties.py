"""What must hold for any spiked model, and for both objectives without a ridge.

Maps are invertible with a condition number of at most 10, samples have at least five pairs per feature: whitened
covariances lose less than four digits to them, so that 1e-8 of the largest singular value leaves room.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from service.estimation.coupling import alignment_components, prediction_components, principal_components, whiten
from service.estimation.labels import Targets
from service.estimation.objectives import (
    align,
    alignment_triplets,
    joint_covariance,
    predict,
    prediction_triplets,
    subspace_distance,
)
from service.estimation.reference import EIGENVALUE_FLOOR, RIDGE, reference
from service.estimation.separation import separation
from service.estimation.spiked_model import SpikedModel, model_separation, spiked_model
from service.estimation.spiked_sample import draw, own_bases, population, random_bases
from service.estimation.stages import Stages, silent
from service.estimation.terms import Direction, Rule

FEW = settings(derandomize=True, deadline=None, max_examples=25)
CLOSE = 1e-8
X_TO_Y, Y_TO_X = Direction
SEEDS = st.integers(0, 2**32 - 1)
CONDITION = 10.0


@st.composite
def ordinary_models(draw_from):
    """A spiked model of 1 to 3 signal coordinates whose ratios are numbers: x and y have coupled nuisance, and not
    equally many features."""
    rng = np.random.default_rng(draw_from(SEEDS))
    k = draw_from(st.integers(1, 3))
    dx = draw_from(st.integers(k + 1, 8))
    dy = draw_from(st.integers(k + 1, 8).filter(lambda d: d != dx))
    return spiked_model(
        kappa=rng.uniform(0.5, 2.0, k),
        gamma_x=rng.uniform(0.05, 2.0, k),
        gamma_y=rng.uniform(0.05, 2.0, k),
        gamma_tilde_x=rng.uniform(0.2, 5.0, dx - k),
        gamma_tilde_y=rng.uniform(0.2, 5.0, dy - k),
        nu=rng.uniform(0.1, 0.95, min(dx, dy) - k),
    )


@st.composite
def edge_models(draw_from):
    """A spiked model at the edges: no signal, no nuisance in x or y or both, equally many features, no private
    variance, nuisance that is not coupled at all or perfectly."""
    rng = np.random.default_rng(draw_from(SEEDS))
    k = draw_from(st.integers(0, 3))
    dx, dy = (max(1, k + draw_from(st.sampled_from([0, 0, 1, 3]))) for _ in range(2))
    if draw_from(st.booleans()):
        dy = dx
    return spiked_model(
        kappa=rng.uniform(0.5, 2.0, k),
        gamma_x=rng.choice([0.0, 1.0], k),
        gamma_y=rng.choice([0.0, 1.0], k),
        gamma_tilde_x=rng.uniform(0.2, 5.0, dx - k),
        gamma_tilde_y=rng.uniform(0.2, 5.0, dy - k),
        nu=rng.choice([0.0, 0.5, 1.0], min(dx, dy) - k),
    )


def models():
    """Any spiked model."""
    return st.one_of(ordinary_models(), edge_models())


@st.composite
def samples(draw_from):
    """A model, its hidden bases and 40 to 80 pairs, with a generator for what is done to them."""
    model = draw_from(models())
    seed = draw_from(SEEDS)
    bases = random_bases(model, seed)
    return model, bases, draw(model, bases, draw_from(st.integers(40, 80)), seed), np.random.default_rng(seed)


def invertible(rng, d):
    left, right = (linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    return (left * rng.uniform(1.0, CONDITION, d)) @ right


def orthogonal(rng, d):
    return linalg.qr(rng.standard_normal((d, d)))[0]


def by_the_procedure(x, y):
    """Spectra of the published procedure's own functions, its ridge left out."""
    white_x, white_y = (whiten(principal_components(z, z.shape[1]), 0.0, EIGENVALUE_FLOOR) for z in (x, y))
    return {
        "ca": alignment_components(white_x, white_y, 50).singular_values,
        X_TO_Y: prediction_components(white_x, white_y, 50).singular_values,
        Y_TO_X: prediction_components(white_y, white_x, 50).singular_values,
    }


def by_the_solvers(x, y):
    """Spectra of the linear solvers."""
    joint = joint_covariance(x, y)
    return {
        "ca": alignment_triplets(joint).values,
        **{direction: prediction_triplets(joint, direction).values for direction in Direction},
    }


BOTH_WAYS = pytest.mark.parametrize("spectra", [by_the_procedure, by_the_solvers])


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * expected[0])


@BOTH_WAYS
@FEW
@given(sample=samples())
def test_alignment_is_the_same_under_any_invertible_map_of_either_modality(spectra, sample):
    _, _, pairs, rng = sample
    expected = spectra(pairs.x, pairs.y)["ca"]
    mapped_x = pairs.x @ invertible(rng, pairs.x.shape[1])
    mapped_y = pairs.y @ invertible(rng, pairs.y.shape[1])
    assert_close(spectra(mapped_x, pairs.y)["ca"], expected)
    assert_close(spectra(pairs.x, mapped_y)["ca"], expected)


@BOTH_WAYS
@FEW
@given(sample=samples())
def test_prediction_is_the_same_under_invertible_maps_of_the_source_and_orthogonal_ones_of_the_target(spectra, sample):
    _, _, pairs, rng = sample
    expected = spectra(pairs.x, pairs.y)
    dx, dy = pairs.x.shape[1], pairs.y.shape[1]
    assert_close(spectra(pairs.x @ invertible(rng, dx), pairs.y @ orthogonal(rng, dy))[X_TO_Y], expected[X_TO_Y])
    assert_close(spectra(pairs.x @ orthogonal(rng, dx), pairs.y @ invertible(rng, dy))[Y_TO_X], expected[Y_TO_X])


@pytest.mark.parametrize("direction", Direction)
@FEW
@given(sample=samples(), scale=st.floats(0.01, 100.0))
def test_ratios_of_prediction_are_the_same_under_any_scale_of_the_target(direction, sample, scale):
    """Components keep their classes: their overlap with the signal subspace of the target does not change either."""
    model, bases, pairs, _ = sample
    forward = direction is X_TO_Y
    signal = (bases.y if forward else bases.x)[:, : model.k]
    x, y = (pairs.x, scale * pairs.y) if forward else (scale * pairs.x, pairs.y)
    expected = prediction_ratio(pairs.x, pairs.y, direction, signal)
    found = prediction_ratio(x, y, direction, signal)
    assert (found.status, found.signal_count) == (expected.status, expected.signal_count)
    assert found.ratio == (None if expected.ratio is None else pytest.approx(expected.ratio, rel=CLOSE))


def prediction_ratio(x, y, direction, signal):
    triplets = prediction_triplets(joint_covariance(x, y), direction)
    target = triplets.y if direction is X_TO_Y else triplets.x
    return separation(triplets.values, np.square(signal.T @ target).sum(axis=0) > 0.5)


@FEW
@given(samples(), st.floats(0.01, 100.0))
def test_the_procedure_s_ratios_of_prediction_are_the_same_under_any_scale_of_the_target(sample, scale):
    """Also with its ridge, which is the source's alone."""
    _, _, pairs, rng = sample
    labels = Targets(pairs.x[:, :1] + rng.standard_normal((len(pairs.x), 1)), ("a",))
    found_y, found_x, expected = (
        reference(x, y, labels, 50, 100, Stages(silent))
        for x, y in ((pairs.x, scale * pairs.y), (scale * pairs.x, pairs.y), (pairs.x, pairs.y))
    )
    for rule in Rule:
        for name, found in (("cp_x_to_y", found_y), ("cp_y_to_x", found_x)):
            np.testing.assert_array_equal(getattr(found, name).classes[rule], getattr(expected, name).classes[rule])
            ratio, other = (getattr(each.separations(rule), name) for each in (found, expected))
            assert ratio.status is other.status
            assert ratio.ratio == (None if other.ratio is None else pytest.approx(other.ratio, rel=CLOSE))


@FEW
@given(samples(), st.floats(0.01, 0.2))
def test_the_ridge_lowers_singular_values_by_at_most_half_of_epsilon_over_the_smallest_eigenvalue(sample, unit):
    """With lambda the smallest eigenvalue of Sxx, (Sxx + eps)^{-1/2} Sxx^{1/2} has singular values of at least
    (1 + eps / lambda)^{-1/2} >= 1 - eps / (2 lambda) and at most 1, and multiplies C and A from the side of x; y alike.
    Hence every singular value falls, relatively by at most eps / 2 times the sum of 1 / lambda over whitened sides.
    """
    _, _, pairs, rng = sample
    x = unit * pairs.x @ invertible(rng, pairs.x.shape[1])
    y = unit * pairs.y @ invertible(rng, pairs.y.shape[1])
    joint = joint_covariance(x, y)
    loss_x, loss_y = (RIDGE / linalg.eigvalsh(covariance)[0] / 2 for covariance in (joint.x, joint.y))
    ridged = reference(x, y, Targets(pairs.x[:, :1], ("a",)), 50, 100, Stages(silent))
    exact = by_the_solvers(x, y)
    for found, expected, loss in (
        (ridged.ca, exact["ca"], loss_x + loss_y),
        (ridged.cp_x_to_y, exact[X_TO_Y], loss_x),
        (ridged.cp_y_to_x, exact[Y_TO_X], loss_y),
    ):
        rounding = CLOSE * expected[0]
        assert (found.singular_values <= expected + rounding).all()
        assert (found.singular_values >= expected * (1 - loss) - rounding).all()
        assert found.singular_values.sum() < expected.sum()


MARGIN = 1e-5  # relative distance of a ratio from 1; a gap of that size costs a subspace five digits


def with_ratio(model: SpikedModel, objective: str, ratio: float) -> SpikedModel:
    """The model whose nuisance is rescaled so that one ratio becomes `ratio`: correlations for CA, else variances."""
    factor = getattr(model_separation(model).separation, objective).ratio / ratio
    match objective:
        case "ca":
            nu = factor * np.array(model.nu)
            return dataclasses.replace(model, nu=tuple(nu.tolist()))
        case "cp_x_to_y":
            scaled = factor**2 * np.array(model.gamma_tilde_y)
            return dataclasses.replace(model, gamma_tilde_y=tuple(scaled.tolist()))
        case _:
            scaled = factor**2 * np.array(model.gamma_tilde_x)
            return dataclasses.replace(model, gamma_tilde_x=tuple(scaled.tolist()))


@pytest.mark.parametrize("objective", ["ca", "cp_x_to_y", "cp_y_to_x"])
@FEW
@given(model=ordinary_models(), seed=SEEDS)
def test_the_recovered_subspace_flips_where_the_ratio_crosses_one(objective, model, seed):
    for ratio, recovers in ((1 + MARGIN, True), (1 - MARGIN, False)):
        moved = with_ratio(model, objective, ratio)
        found = getattr(model_separation(moved).separation, objective)
        assert found.ratio == pytest.approx(ratio, rel=1e-12)
        assert found.recovers is recovers
        bases = random_bases(moved, seed)
        joint = population(moved, bases)
        k = moved.k
        if objective == "ca":
            solution = align(joint, k)
            spans = solution.W.T, solution.V.T
        else:
            solution = predict(joint, k, Direction(objective.removeprefix("cp_")))
            spans = solution.E.T, solution.D
            spans = spans if objective == "cp_x_to_y" else spans[::-1]
        for span, basis in zip(spans, (bases.x, bases.y), strict=True):
            distance = subspace_distance(span, basis[:, :k])
            assert distance == pytest.approx(0.0 if recovers else 1.0, abs=1e-8)


@FEW
@given(models())
def test_exchanging_x_and_y_exchanges_the_directions(model):
    swapped = SpikedModel(
        kappa=model.kappa,
        gamma_x=model.gamma_y,
        gamma_y=model.gamma_x,
        gamma_tilde_x=model.gamma_tilde_y,
        gamma_tilde_y=model.gamma_tilde_x,
        nu=model.nu,
    )
    found, expected = model_separation(swapped), model_separation(model)
    assert found.rho == pytest.approx(expected.rho, rel=1e-14)
    assert (found.tau.x_to_y, found.xi.x_to_y) == (expected.tau.y_to_x, expected.xi.y_to_x)
    assert found.separation.cp_y_to_x == expected.separation.cp_x_to_y
    assert found.regimes.x_to_y is expected.regimes.y_to_x


@FEW
@given(ordinary_models())
def test_with_uniform_variances_one_ratio_follows_from_the_other(model):
    """Delta_CA / Delta_CP = sqrt(max gamma_tilde_target / min(kappa^2 + gamma_target))."""
    uniform = spiked_model(
        kappa=model.kappa[:1] * model.k,
        gamma_x=model.gamma_x[0],
        gamma_y=model.gamma_y[0],
        gamma_tilde_x=model.gamma_tilde_x[0],
        gamma_tilde_y=model.gamma_tilde_y[0],
        nu=model.nu,
        dx=model.dx,
        dy=model.dy,
    )
    found = model_separation(uniform).separation
    for cp, gamma, gamma_tilde in (
        (found.cp_x_to_y, uniform.gamma_y[0], uniform.gamma_tilde_y[0]),
        (found.cp_y_to_x, uniform.gamma_x[0], uniform.gamma_tilde_x[0]),
    ):
        expected = np.sqrt(gamma_tilde / (uniform.kappa[0] ** 2 + gamma))
        assert found.ca.ratio / cp.ratio == pytest.approx(expected, rel=1e-12)


def encoder_norms(W, V, joint):
    """|W Sxx^{1/2}|_F^2 + |V Syy^{1/2}|_F^2."""
    return np.trace(W @ joint.x @ W.T) + np.trace(V @ joint.y @ V.T)


@FEW
@given(st.one_of(ordinary_models(), edge_models().filter(lambda model: model.k > 0)), SEEDS)
def test_no_feasible_pair_of_encoders_is_smaller_than_the_closed_form(model, seed):
    joint = population(model, random_bases(model, seed))
    k = model.k
    best = align(joint, k)
    least = 2 * (1 / best.triplets.values[:k]).sum()
    np.testing.assert_allclose(best.W @ joint.cross @ best.V.T, np.eye(k), rtol=0, atol=1e-10)
    assert encoder_norms(best.W, best.V, joint) == pytest.approx(least, rel=1e-10)
    rng = np.random.default_rng(seed)
    for size in (10.0, 1e-3):  # anywhere, and beside the optimum
        W = best.W + size * rng.standard_normal(best.W.shape)
        V = best.V + size * rng.standard_normal(best.V.shape)
        V = linalg.solve((W @ joint.cross @ V.T).T, V)
        np.testing.assert_allclose(W @ joint.cross @ V.T, np.eye(k), rtol=0, atol=1e-6)
        assert encoder_norms(W, V, joint) >= least * (1 - 1e-10)


SLOPES = (-0.58, -0.42)  # of log error over log n, around -1/2


def test_sample_spectra_tend_to_the_closed_forms_like_one_over_the_root_of_n():
    model = spiked_model([1.6, 1.1], 0.4, 0.7, [2.0, 0.5], [1.5, 0.8, 0.3, 1.0], [0.45, 0.15])
    truth = model_separation(model)
    expected = {
        "ca": np.sort([*truth.rho, *truth.nu])[::-1],
        X_TO_Y: np.sort([*truth.tau.x_to_y, *truth.xi.x_to_y])[::-1],
        Y_TO_X: np.sort([*truth.tau.y_to_x, *truth.xi.y_to_x])[::-1],
    }
    sizes = [500, 2000, 8000, 32000]
    errors = {name: np.zeros(len(sizes)) for name in expected}
    for place, n_pairs in enumerate(sizes):
        for seed in range(24):
            pairs = draw(model, own_bases(model), n_pairs, seed)
            for name, values in by_the_solvers(pairs.x, pairs.y).items():
                errors[name][place] += np.square(values - expected[name]).mean()
    for name, squares in errors.items():
        slope = np.polyfit(np.log(sizes), np.log(squares) / 2, 1)[0]
        assert SLOPES[0] < slope < SLOPES[1], name
