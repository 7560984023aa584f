from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from service.estimation.posterior import flips
from service.estimation.posterior.membership import Membership, flipped

from .enumeration import ALL_ROLES, SIGNAL, log_posterior, membership, probabilities, roles, tiny

LEAST_EXPECTED = 5  # visits that a membership needs to count by itself in a chi-squared test
SURPRISE = 1e-3  # p-value below which frequencies are not those of the posterior


def surprise(visits, expected):
    """p-value of visits with these expectations, rare memberships taken together."""
    often = expected >= LEAST_EXPECTED
    visits = np.append(visits[often], visits[~often].sum())
    expected = np.append(expected[often], expected[~often].sum())
    return stats.chi2.sf(((visits - expected) ** 2 / expected).sum(), len(expected) - 1)


def test_a_member_leaves_with_its_kind_of_nuisance_and_comes_back():
    members = Membership(np.array([1, 3]), np.array([True, False, False, False]))
    without = flipped(members, 3, strong=True)
    assert without.signal.tolist() == [1]
    assert without.strong.tolist() == [True, False, False, True]
    assert [part.tolist() for part in without.split()] == [[2], [0, 3]]
    assert flipped(without, 3).signal.tolist() == [1, 3]


@pytest.mark.parametrize("whitened", [False, True])
def test_odds_of_every_flip_are_differences_of_the_posterior(whitened):
    of = tiny(whitened=whitened)
    turned = [part.turned(of.setting.loading.turn) for part in of.products]

    def value(which):
        return log_posterior(membership(tuple(which)), of.frames, of.products, of.setting)

    def factors(which):
        return flips._odds(membership(tuple(which)), of.frames, turned, of.setting).factors

    for which in ((0, 0, 0, 0), (2, 0, 1, 0), (2, 1, 2, 1), (2, 2, 2, 2)):
        odds = flips._odds(membership(which), of.frames, turned, of.setting)
        for place in range(len(which)):
            kinds = []
            for kind in range(3):
                changed = list(which)
                changed[place] = kind
                kinds.append(changed)
            nuisance = np.logaddexp(value(kinds[0]), value(kinds[1]))
            joining = value(kinds[SIGNAL]) - nuisance
            change = -joining if which[place] == SIGNAL else joining
            with_factors = odds.exact[place] - odds.factors
            there = kinds[0] if which[place] == SIGNAL else kinds[SIGNAL]
            np.testing.assert_allclose(with_factors + factors(there), change, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(odds.strong[place], np.exp(value(kinds[1]) - nuisance), rtol=1e-9)


def test_odds_with_factors_are_exact_where_no_other_member_has_one():
    of = tiny()
    turned = [part.turned(of.setting.loading.turn) for part in of.products]
    odds = flips._odds(membership((0, 0, 0, 0)), of.frames, turned, of.setting)
    for place in range(4):
        alone = flips._odds(flipped(membership((0, 0, 0, 0)), place), of.frames, turned, of.setting)
        np.testing.assert_allclose(odds.approximate[place] - odds.exact[place], alone.factors, rtol=1e-9)


def remembered(function):
    """The same function of a membership, worked out once for each."""
    known = {}

    def of(members, *rest):
        key = roles(members)
        if key not in known:
            known[key] = function(members, *rest)
        return known[key]

    return of


def distorted(function):
    """Odds with proposals that are off: what moves leave invariant must not hang on how well they are proposed."""

    def of(members, *rest):
        odds = function(members, *rest)
        off = np.random.default_rng(roles(members)).normal(0.0, 0.7, len(odds.approximate))
        return replace(odds, approximate=odds.approximate + off)

    return of


@pytest.mark.parametrize("exchanges", [0.0, 1.0])
@pytest.mark.parametrize("whitened", [False, True])
def test_flips_and_exchanges_leave_the_posterior_as_it_is(whitened, exchanges, monkeypatch):
    monkeypatch.setattr(flips, "EXCHANGES", exchanges)
    monkeypatch.setattr(flips, "_odds", remembered(distorted(flips._odds)))
    monkeypatch.setattr(flips, "_factors", remembered(flips._factors))
    of = tiny(whitened=whitened)
    exact = probabilities(of)
    rng = np.random.default_rng(1)
    n = 20000
    # As many starts of every membership as it deserves, but for the remainder: their scatter does not blur the answer.
    starts = np.searchsorted(exact.cumsum(), (np.arange(n) + rng.random()) / n)
    place = {which: number for number, which in enumerate(ALL_ROLES)}
    visits, moved = np.zeros(len(exact)), 0
    for start in starts:
        after = flips.flip(membership(ALL_ROLES[start]), of.frames, of.products, of.setting, 1, rng)
        moved += roles(after) != ALL_ROLES[start]
        visits[place[roles(after)]] += 1
    assert moved > 0.03 * n
    assert surprise(visits, n * exact) > SURPRISE
