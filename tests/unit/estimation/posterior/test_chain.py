import numpy as np
import pytest
from scipy import stats

from service.estimation.posterior import chain as module
from service.estimation.posterior.background import LOG_PRIOR, STRENGTHS
from service.estimation.posterior.chain import ANGLES, SLABS, Chain, problem
from service.estimation.posterior.fit import best_axes
from service.estimation.posterior.frames import Target, Variances, energy_gradient, measured
from service.estimation.posterior.labels import Loading, log_likelihood, score_products
from service.estimation.posterior.membership import STRONG_ODDS, WEAK_ODDS, log_size_prior
from service.estimation.posterior.moments import PairMoments

from .enumeration import probabilities, tiny
from .worlds import label_moments, pair_moments, spiked_world

NO_LABEL = np.array([], dtype=int)


def chain_of(seed=0, n=120, **world):
    data = spiked_world(seed=2, n=n, dx=5, dy=4, **world)
    pairs = pair_moments(data.x, data.y)
    given = problem(pairs, [label_moments(data.x[: n // 2], data.y[: n // 2], data.labels[: n // 2])])
    fit = best_axes(pairs, n)
    return Chain(given, fit.x, fit.y, np.random.default_rng(seed))


def test_priors_of_every_size_sum_to_a_geometric_one():
    from math import comb

    prior = log_size_prior(5)
    assert prior[-1] == -np.inf
    by_size = np.array([comb(5, k) * np.exp(prior[k]) for k in range(6)])
    np.testing.assert_allclose(by_size[1:] / by_size[:-1], np.full(5, np.exp(-0.35)), rtol=1e-9)


def test_same_seed_same_chain_and_another_seed_another():
    ends = []
    for seed in (0, 0, 1):
        chain = chain_of(seed)
        chain.warm_up(6)
        for t in range(4):
            state = chain.advance(t)
        ends.append(state.frames.z)
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[2] - ends[0]).max() > 1e-6


def test_axes_stay_orthogonal_and_frames_true_to_them():
    chain = chain_of()
    chain.warm_up(20)
    for t in range(30):
        state = chain.advance(t)
        frames = state.frames
        np.testing.assert_allclose(frames.x.T @ frames.x, np.eye(5), atol=1e-12)
        np.testing.assert_allclose(frames.y.T @ frames.y, np.eye(4), atol=1e-12)
        anew = measured(chain._given.pairs, frames.x, frames.y)
        np.testing.assert_allclose(frames.z, anew.z, rtol=1e-9)
        assert (np.diff(state.members.signal) > 0).all()
    assert 0.3 < chain.acceptance <= 1.0


def test_a_clear_signal_is_found_and_unrelated_labels_find_none():
    chain = chain_of(noise=0.2)
    chain.warm_up(30)
    sizes = [len(chain.advance(t).members.signal) for t in range(20)]
    assert np.mean(np.array(sizes) == 2) > 0.8

    data = spiked_world(seed=2, n=120, dx=5, dy=4)
    unrelated = np.random.default_rng(7).standard_normal((120, 1))
    pairs = pair_moments(data.x, data.y)
    fit = best_axes(pairs, 120)
    chain = Chain(problem(pairs, [label_moments(data.x, data.y, unrelated)]), fit.x, fit.y, np.random.default_rng(0))
    chain.warm_up(30)
    assert np.mean([len(chain.advance(t).members.signal) == 0 for t in range(20)]) > 0.8


def test_which_nuisance_stands_out_is_drawn_from_its_posterior():
    of = tiny()
    of = of._replace(frames=module.replace(of.frames, z=np.array([0.1, 0.15, 0.8, 1.6])))
    exact = probabilities(of).reshape(3, 3, 3, 3)[:2, :2, :2, :2]
    exact = exact / exact.sum()
    by_number = np.array([exact[np.indices((2, 2, 2, 2)).sum(axis=0) == k].sum() for k in range(5)])
    chain = Chain(of.given, of.frames.x, of.frames.y, np.random.default_rng(0))
    chain.state.frames = of.frames
    numbers = np.zeros(5)
    for _ in range(12000):
        drawn = chain._redrawn_strong()
        chain.state.members = module.replace(chain.state.members, strong=drawn)
        numbers[drawn.sum()] += 1
    monte_carlo = 0.03  # about four standard errors of a run whose steps hang together
    np.testing.assert_allclose(numbers / numbers.sum(), by_number, atol=monte_carlo)
    assert by_number[0] < 0.7


@pytest.mark.parametrize("count", [0, 6])
def test_mean_and_spread_of_log_variances_are_drawn_from_their_posterior(count):
    values = np.array([0.4, -0.3, 0.1, 0.9, -0.6, 0.2])[:count]
    prior = module._variance_prior(np.diag(np.exp([0.5, 0.1, -0.4])))
    means, spreads = np.linspace(-6, 6, 601), np.geomspace(0.05, 3.0, 400)
    logs = stats.norm.logpdf(means, prior.centre, np.sqrt(prior.width2))[:, None] + np.log(spreads)
    logs = logs + stats.invgamma.logpdf(spreads**2, module.SPREAD_SHAPE, scale=module.SPREAD_SCALE) + np.log(spreads)
    for value in values:
        logs = logs + stats.norm.logpdf(value, means[:, None], spreads)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    generator = np.random.default_rng(0)
    last, found = 0.5, []
    for _ in range(6000):
        mean, last = module._redrawn(values, prior, last, generator)
        found.append((mean, np.log(last)))
    expected = (weights.sum(axis=1) @ means, weights.sum(axis=0) @ np.log(spreads))
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.05)


def test_loadings_are_drawn_from_their_posterior():
    chain = chain_of(noise=3.0)
    state, given = chain.state, chain._given
    state.members = module.replace(state.members, signal=np.array([0, 1]))
    frames = state.frames
    products = score_products(given.labels[0], frames.x[:, :4], frames.y[:, :4], frames.a[:4], frames.b[:4])
    logs = np.array(
        [[log_likelihood(products, state.members.signal, Loading(slab, psi)) for psi in ANGLES] for slab in SLABS]
    )
    exact = np.exp(logs - logs.max())
    exact /= exact.sum()
    visits = np.zeros_like(exact)
    for _ in range(4000):
        state.loading = chain._redrawn_loading(products)
        visits[np.abs(SLABS - state.loading.slab).argmin(), np.abs(ANGLES - state.loading.psi).argmin()] += 1
    assert 0.5 * np.abs(visits / visits.sum() - exact).sum() < 0.1
    assert exact.max() < 0.5


def test_the_whole_chain_samples_the_posterior_of_a_problem_small_enough_to_integrate():
    # Whitened, one component and one angle: membership, kind of nuisance, slab and psi can all be summed over.
    rng = np.random.default_rng(6)
    n = 30
    shared = rng.standard_normal((n, 1))
    x, y = np.hstack([shared, np.zeros((n, 1))]) + rng.standard_normal((n, 2)), shared + rng.standard_normal((n, 1))
    target = shared + 2.5 * rng.standard_normal((n, 1))
    raw = pair_moments(x, y)
    to_x = np.linalg.inv(np.linalg.cholesky(raw.sxx)).T
    to_y = 1 / np.sqrt(raw.syy)
    pairs = PairMoments(np.eye(2), to_x.T @ raw.sxy @ to_y, np.eye(1), raw.n, whitened=True)
    labels = [label_moments(x, y, target).mapped(to_x, to_y)]
    given = problem(pairs, labels)
    classes, size = given.classes, log_size_prior(1)

    angles = (np.arange(90) + 0.5) / 90 * 2 * np.pi
    share = STRONG_ODDS / (STRONG_ODDS + WEAK_ODDS)
    flat = Target(pairs, pairs.n, None, Variances(np.zeros(3), np.zeros(3)), labels=None)
    loadings = [Loading(slab, psi) for slab in SLABS for psi in ANGLES]
    logs = np.empty((len(angles), 2, len(STRENGTHS), len(loadings)))
    for place, angle in enumerate(angles):
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        frames = measured(pairs, axes, np.eye(1))
        nuisance = np.logaddexp(
            np.log(1 - share) + classes.weak.of(frames.z), np.log(share) + classes.strong.of(frames.z)
        )
        base = -energy_gradient(flat, axes, np.eye(1))[0]
        logs[place, 0] = base + size[0] + nuisance + LOG_PRIOR[:, None]
        logs[place, 1] = base + size[1] + classes.signal.of(frames.z) + LOG_PRIOR[:, None]
        for background, sets in enumerate(given.labels):
            products = score_products(sets, frames.x[:, :1], frames.y, frames.a[:1], frames.b)
            logs[place, 0, background] += log_likelihood(products, NO_LABEL, loadings[0])
            logs[place, 1, background] += [log_likelihood(products, np.array([0]), loading) for loading in loadings]
    exact = np.exp(logs - logs.max())
    exact /= exact.sum()

    chain = Chain(given, np.eye(2), np.eye(1), np.random.default_rng(0))
    chain.warm_up(60)
    signal, coupled, backgrounds = [], [], np.zeros(len(STRENGTHS))
    for t in range(4000):
        state = chain.advance(t)
        backgrounds[state.background] += 1
        signal.append(len(state.members.signal))
        coupled.append(abs(np.tanh(state.frames.z[0])))
    # The chain need not cross to the axes of opposite sign: only the size of a coupling means anything.
    correlation = np.abs([np.cos(a) * pairs.sxy[0, 0] + np.sin(a) * pairs.sxy[1, 0] for a in angles])
    probability = exact[:, 1].sum()
    assert 0.2 < probability < 0.8
    monte_carlo = 0.06  # about four standard errors: membership changes every few iterations
    assert np.mean(signal) == pytest.approx(probability, abs=monte_carlo)
    of_state = exact.sum(axis=(1, 2, 3))
    assert np.mean(coupled) == pytest.approx(of_state @ correlation, abs=monte_carlo)
    of_background = exact.sum(axis=(0, 1, 3))
    np.testing.assert_allclose(backgrounds / backgrounds.sum(), of_background, atol=monte_carlo)
