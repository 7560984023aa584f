import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from service.estimation.posterior import births
from service.estimation.posterior.chain import problem
from service.estimation.posterior.frames import Target, Variances, energy_gradient, measured
from service.estimation.posterior.labels import Loading, score_products
from service.estimation.posterior.membership import Membership, NuisanceVariances, Setting, flipped, log_size_prior
from service.estimation.posterior.moments import PairMoments

from .enumeration import SIGNAL, log_posterior, membership, tiny
from .worlds import label_moments, pair_moments, rotation, spiked_world

SURPRISE = 1e-3  # p-value below which frequencies are not those of the posterior


def test_turning_two_components_is_the_same_as_measuring_them_anew():
    of = tiny()
    pairs = of.given.pairs
    turned = births._turn(of.frames, of.products, pairs, 2, 0, 0.7)
    anew = measured(pairs, turned.frames.x, turned.frames.y)
    for name in ("z", "a", "b"):
        np.testing.assert_allclose(getattr(turned.frames, name), getattr(anew, name), rtol=1e-10, atol=1e-12)
    products = score_products(of.given.labels[0], anew.x[:, :4], anew.y[:, :4], anew.a[:4], anew.b[:4])
    for found, expected in zip(turned.products, products, strict=True):
        np.testing.assert_allclose(found.gram, expected.gram, rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(found.cross, expected.cross, rtol=1e-10, atol=1e-9)
    flat = Variances(np.zeros(9), np.zeros(9))
    target = Target(pairs, pairs.n, None, flat, labels=None)
    change = energy_gradient(target, anew.x, anew.y)[0] - energy_gradient(target, of.frames.x, of.frames.y)[0]
    np.testing.assert_allclose(turned.energy, change, rtol=1e-9)


@pytest.mark.parametrize("whitened", [False, True])
def test_what_a_birth_gains_is_a_difference_of_the_posterior(whitened):
    of = tiny(whitened=whitened)
    turned = births._turn(of.frames, of.products, of.given.pairs, 2, 1, -0.4)
    without, j = (0, 0, SIGNAL, 1), 1
    inner = membership((0, SIGNAL, SIGNAL, 1))
    logs = []
    for kind in (0, 1):
        outer = list(without)
        outer[j] = kind
        logs.append(log_posterior(membership(tuple(outer)), of.frames, of.products, of.setting))
    gain, as_weak, as_strong = births._joining_gain(
        (membership(without), of.frames), (inner, turned.frames), j, of.setting
    )
    gain += births.log_likelihood(turned.products, inner.signal, of.setting.loading)
    gain -= births.log_likelihood(of.products, np.array([2]), of.setting.loading)
    exact = log_posterior(inner, turned.frames, turned.products, of.setting) - logsumexp(logs)
    np.testing.assert_allclose(gain, exact, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(as_strong - as_weak, logs[1] - logs[0], rtol=1e-9, atol=1e-9)


def test_partners_are_sought_among_the_near_and_never_excluded():
    z = np.array([0.5, 0.5, 0.9, 3.0])
    near = births._nearness(z, 0, np.array([1, 2, 3]), 100.0)
    np.testing.assert_allclose(near.sum(), 1.0, rtol=1e-12)
    assert near[0] > near[1] > near[2] > 0


def test_no_birth_without_a_member_and_no_death_of_the_last():
    of = tiny()
    for seed in range(10):
        for which in ((0, 0, 0, 0), (SIGNAL, 0, 0, 0)):
            members = membership(which)
            after, frames, products = births.birth_or_death(
                members, of.frames, of.products, of.given.pairs, of.setting, np.random.default_rng(seed)
            )
            assert len(after.signal) >= len(members.signal)
            if not len(members.signal):
                assert after is members
                assert frames is of.frames
                assert products is of.products


def two_components() -> tuple[PairMoments, list]:
    """Two components of nearly equal coupling and a label of one direction among them."""
    world = spiked_world(seed=4, n=20, dx=2, dy=2, k=2, kappa=0.8, n_labels=1, noise=1.0)
    return pair_moments(world.x, world.y), [label_moments(world.x, world.y, world.labels)]


def test_births_and_deaths_leave_the_posterior_of_axes_and_membership_as_it_is():
    pairs, labels = two_components()
    given = problem(pairs, labels)
    setting = Setting(given.classes, NuisanceVariances((0.0, 0.5), (0.1, 0.6)), Loading(0.3, 0.6), log_size_prior(2))
    rng = np.random.default_rng(0)
    # Both modalities turned by one angle, which is all that these moves change.
    base_x, base_y = rotation(rng, 2), rotation(rng, 2)
    angles = (np.arange(240) + 0.5) / 240 * 2 * np.pi
    every = [Membership(np.flatnonzero(np.array(w) == SIGNAL), np.array(w) == 1) for w in np.ndindex(3, 3)]
    flat = Target(pairs, pairs.n, None, Variances(np.zeros(4), np.zeros(4)), labels=None)

    def state(angle):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        frames = measured(pairs, base_x @ turn, base_y @ turn)
        return frames, score_products(labels, frames.x, frames.y, frames.a, frames.b)

    states = [state(angle) for angle in angles]
    logs = np.array(
        [
            np.array([log_posterior(m, frames, products, setting) for m in every])
            - energy_gradient(flat, frames.x, frames.y)[0]
            for frames, products in states
        ]
    )
    exact = np.exp(logs - logsumexp(logs))
    moved = np.array([len(m.signal) > 0 for m in every])
    exact[:, ~moved] = 0.0  # nothing moves where nothing is signal
    exact /= exact.sum()

    n, bins = 1500, 6
    starts = np.searchsorted(exact.cumsum(), (np.arange(n) + rng.random()) / n)
    visits, changed = np.zeros((bins, 9)), 0
    origin = np.arctan2(base_x[1, 0], base_x[0, 0])
    handed = np.sign(np.linalg.det(base_x))
    for start in starts:
        frames, products = states[start // 9]
        members = every[start % 9]
        after = members
        for _ in range(2):
            after, frames, products = births.birth_or_death(after, frames, products, pairs, setting, rng)
        changed += len(after.signal) != len(members.signal)
        angle = handed * (np.arctan2(frames.x[1, 0], frames.x[0, 0]) - origin)
        kind = [w for w, m in enumerate(every) if _same(m, after)]
        visits[int(angle % (2 * np.pi) / (2 * np.pi) * bins), kind[0]] += 1
    assert changed > 0.1 * n
    expected = n * exact.reshape(bins, -1, 9).sum(axis=1)
    often = expected >= 5
    visits = np.append(visits[often], visits[~often].sum())
    expected = np.append(expected[often], expected[~often].sum())
    assert stats.chi2.sf(((visits - expected) ** 2 / expected).sum(), len(expected) - 1) > SURPRISE


def _same(a: Membership, b: Membership) -> bool:
    return a.signal.tolist() == b.signal.tolist() and [p.tolist() for p in a.split()] == [p.tolist() for p in b.split()]


def test_a_death_undoes_a_birth():
    of = tiny()
    there = births._turn(of.frames, of.products, of.given.pairs, 2, 1, 0.3)
    back = births._turn(there.frames, there.products, of.given.pairs, 2, 1, -0.3)
    np.testing.assert_allclose(back.frames.x, of.frames.x, atol=1e-12)
    np.testing.assert_allclose(back.energy, -there.energy, rtol=1e-9)
    np.testing.assert_allclose(back.products[0].gram, of.products[0].gram, rtol=1e-9, atol=1e-9)
    assert flipped(flipped(membership((0, 0, SIGNAL, 0)), 1), 1).signal.tolist() == [2]
