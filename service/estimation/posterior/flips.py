"""Moves that change which components are signal, the axes as they are: single flips and exchanges.

A component that leaves becomes weak or strong nuisance by its probability of either given all others, so that its
odds, which sum over both, are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array
from service.estimation.posterior.frames import Frames
from service.estimation.posterior.labels import SCALE, SHAPE, ScoreProducts, appreciable, fitted, penalties
from service.estimation.posterior.membership import (
    STRONG_ODDS,
    WEAK_ODDS,
    Flags,
    Membership,
    Setting,
    flipped,
)

ODDS_LIMIT = 40.0  # log odds beyond which a proposal is as good as certain
EXCHANGES = 0.2  # share of rounds that end with an exchange


@dataclass(frozen=True)
class _Odds:
    """Of changing the membership of each component: exact but for the moment factors, and with them, nearly."""

    exact: Array
    approximate: Array
    factors: float  # log of the moment factors of the present members
    strong: Array  # probability that a component is strong nuisance if it is none of the signal

    def weights(self) -> Array:
        """Locally balanced proposal weights (Zanella 2020), t / (1 + t) of the odds t."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self.approximate, -ODDS_LIMIT, ODDS_LIMIT))))


def flip(
    members: Membership,
    frames: Frames,
    products: Sequence[ScoreProducts],
    setting: Setting,
    count: int,
    generator: np.random.Generator,
) -> Membership:
    """`count` single flips, each proposed where it is likely to be accepted, and now and then an exchange.

    Both leave p(S, kinds of nuisance | axes) as it is, however good their proposals are.

    Arguments: products, of all r components with the labels, (u, v) not yet turned; setting, with the loading.
    """
    turned = [part.turned(setting.loading.turn) for part in products]
    odds = _odds(members, frames, turned, setting)
    weights = odds.weights()
    for _ in range(count):
        mass = weights.cumsum()
        i = min(int(np.searchsorted(mass, generator.random() * mass[-1])), len(weights) - 1)
        proposed = flipped(members, i, generator.random() < odds.strong[i])
        there = _odds(proposed, frames, turned, setting)
        back = there.weights()
        gain = odds.exact[i] + there.factors - odds.factors
        gain += np.log(back[i] / back.sum()) - np.log(weights[i] / mass[-1])
        if np.log(generator.random()) < gain:
            members, odds, weights = proposed, there, back
    if len(members.signal) and generator.random() < EXCHANGES:
        members = _exchanged(members, odds, frames, turned, setting, generator)
    return members


def _exchanged(
    members: Membership,
    odds: _Odds,
    frames: Frames,
    turned: Sequence[ScoreProducts],
    setting: Setting,
    generator: np.random.Generator,
) -> Membership:
    """One member redrawn among all components that are not otherwise in S, by odds that are nearly exact.

    The Metropolis test makes up for what the odds leave out: how the other members' moment factors change.
    """
    leaving = int(members.signal[generator.integers(len(members.signal))])
    rest = flipped(members, leaving, generator.random() < odds.strong[leaving])
    candidates = np.setdiff1d(np.arange(len(members.strong)), rest.signal)
    without = _odds(rest, frames, turned, setting)
    log_odds = without.approximate[candidates]
    mass = np.exp(log_odds - log_odds.max()).cumsum()
    joining = int(candidates[np.searchsorted(mass, generator.random() * mass[-1])])
    if joining == leaving:
        return members
    proposed = flipped(rest, joining)
    left_out = without.exact - without.approximate
    gain = left_out[joining] + _factors(proposed, turned, setting) - left_out[leaving] - odds.factors
    return proposed if np.log(generator.random()) < gain else members


def _factors(members: Membership, turned: Sequence[ScoreProducts], setting: Setting) -> float:
    """Log of all moment factors of the members."""
    slab = setting.loading.slab
    return sum(float(appreciable(fitted(part.of(members.signal), slab), slab).sum()) for part in turned)


def _odds(members: Membership, frames: Frames, turned: Sequence[ScoreProducts], setting: Setting) -> _Odds:
    """Log odds of every single flip, all at once."""
    s = members.signal
    k, r = len(s), len(members.strong)
    inside = np.zeros(r, dtype=bool)
    inside[s] = True
    prior, strong = _prior_odds(members, inside, frames, setting)
    size = setting.log_size_prior
    exact = np.where(inside, size[k - 1] - size[k] - prior, size[k + 1] - size[k] + prior)
    slab = setting.loading.slab
    log_penalty = float(np.log(penalties(1, slab)).sum())
    gain_of_factor = np.zeros(r)
    factors = 0.0
    for products in turned:
        n_targets = len(products.tt)
        every = np.arange(r)
        own = products.gram[every, :, every, :] + np.diag(penalties(1, slab))
        cross = products.cross
        scale = SCALE + 0.5 * products.tt
        shape = SHAPE + 0.5 * products.m
        if k:
            fit = fitted(products.of(s), slab)
            scale = fit.scale
            with_members = products.gram[:, :, s, :].reshape(2 * r, 2 * k)
            cross = cross - (with_members @ fit.coefficients).reshape(r, 2, n_targets)
            projected = (with_members @ fit.inverse).reshape(r, 2, 1, 2 * k)
            own = own - (projected * with_members.reshape(r, 1, 2, 2 * k)).sum(axis=-1)
        # Joining: the 2 x 2 Schur complement of each component's scores given the members'.
        p, q, o = own[:, 0, 0], own[:, 1, 1], own[:, 0, 1]
        determinant = np.where(inside, 1.0, p * q - o * o)
        along, across = cross[:, 0], cross[:, 1]
        beta = (q[:, None] * along - o[:, None] * across) / determinant[:, None]
        delta = (p[:, None] * across - o[:, None] * along) / determinant[:, None]
        explained = np.where(inside[:, None], 0.0, along * beta + across * delta)
        scale_then = np.maximum(scale - 0.5 * explained, 0.5 * SCALE)
        joining = -0.5 * n_targets * (np.log(determinant) - log_penalty)
        joining -= shape * (np.log(scale_then) - np.log(scale)).sum(axis=1)
        mean_square = (beta * beta * (shape / scale_then)).sum(axis=1) + n_targets * q / determinant
        factor = np.log(np.maximum(mean_square, 1e-12) / (n_targets * slab))
        change = joining
        if k:
            block = fit.inverse.reshape(k, 2, k, 2)[np.arange(k), :, np.arange(k), :]
            own_coefficients = fit.coefficients.reshape(k, 2, n_targets)
            change[s] = _leaving(block, own_coefficients, fit.scale, fit.shape, log_penalty)
            factor[s] = -appreciable(fit, slab)
            factors -= float(factor[s].sum())
        exact = exact + change
        gain_of_factor += factor
    return _Odds(exact, exact + gain_of_factor, factors, strong)


def _leaving(block: Array, coefficients: Array, scale: Array, shape: float, log_penalty: float) -> Array:
    """Change of the log likelihood when each member leaves: Savage and Dickey's ratio at coefficients 0."""
    p, q, o = block[:, 0, 0], block[:, 1, 1], block[:, 0, 1]
    determinant = p * q - o * o
    along, across = coefficients[:, 0], coefficients[:, 1]
    lost = (q[:, None] * along**2 - 2 * o[:, None] * along * across + p[:, None] * across**2) / determinant[:, None]
    n_targets = len(scale)
    change = -0.5 * n_targets * (np.log(determinant) + log_penalty)
    return np.asarray(change - shape * (np.log(scale + 0.5 * lost) - np.log(scale)).sum(axis=1))


def _prior_odds(members: Membership, inside: Flags, frames: Frames, setting: Setting) -> tuple[Array, Array]:
    """Log odds of signal against nuisance of every component, from its coupling and variances, given the others.

    Also the probability that it is strong nuisance, if it is nuisance.
    """
    classes = setting.classes
    nuisance = ~inside
    weak, strong = nuisance & ~members.strong, nuisance & members.strong
    share = nuisance.sum() - nuisance + WEAK_ODDS + STRONG_ODDS
    as_weak, as_strong, as_signal = classes.couplings.given_others(frames.z[None], np.stack([weak, strong, inside]))
    as_weak += np.log((weak.sum() - weak + WEAK_ODDS) / share)
    as_strong += np.log((strong.sum() - strong + STRONG_ODDS) / share)
    either = np.logaddexp(as_weak, as_strong)
    odds = as_signal - either
    if setting.nuisance is not None:
        r = len(inside)
        values = np.stack([frames.a[:r], frames.b[:r]])
        mean, spread = np.array([setting.nuisance.x, setting.nuisance.y]).T[..., None]
        logs = classes.signal_only.given_others(values, np.stack([inside, inside]))
        odds += (logs + 0.5 * ((values - mean) / spread) ** 2 + np.log(spread)).sum(axis=0)
    return np.asarray(odds), np.exp(as_strong - either)
