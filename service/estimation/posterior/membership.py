"""Which components are signal: moves over sets S, given the axes (births and deaths also turn two axes).

Prior of S: p(k) proportional to exp(-SIZE_RATE k), all sets of one size alike; couplings z and log variances of the
signal components form exchangeable classes of their own, beside those of weak and of strong nuisance
(docs/calibrated.md, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from service.estimation.moments import Array, Indices
from service.estimation.posterior.exchangeable import Exchangeable, Stack
from service.estimation.posterior.frames import Frames, fisher
from service.estimation.posterior.labels import (
    SCALE,
    SHAPE,
    Loading,
    ScoreProducts,
    appreciable,
    fitted,
    log_likelihood,
    penalties,
)
from service.estimation.posterior.moments import PairMoments

Flags = NDArray[np.bool_]

SIZE_RATE = 0.35  # of the geometric prior of the number of signal components
WEAK_ODDS, STRONG_ODDS = 4.5, 0.5  # beta prior of the share of strong nuisance
ODDS_LIMIT = 40.0  # log odds beyond which a proposal is as good as certain
NEAR = 3.0  # births look for partners within about this many standard errors of coupling
EXCHANGES = 0.2  # share of rounds that end with an exchange
HOPELESS = 40.0  # log odds below which a birth or death is not worked out


@dataclass(frozen=True)
class Classes:
    """Priors of the classes that components belong to."""

    weak: Exchangeable  # couplings of nuisance
    strong: Exchangeable  # couplings of the few nuisance components that stand out
    signal: Exchangeable  # couplings of signal
    variance_x: Exchangeable  # log variances of signal components in x
    variance_y: Exchangeable
    couplings: Stack  # weak, strong, signal
    signal_only: Stack  # the log variances: x, y


@dataclass(frozen=True)
class NuisanceVariances:
    """Mean and spread of the log variances of nuisance, in x and in y; None where both are whitened."""

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Setting:
    """What the moves take as given."""

    classes: Classes
    nuisance: NuisanceVariances | None
    loading: Loading
    log_size_prior: Array  # (r + 2,), log p(S) by the size of S; the last is -inf


@dataclass(frozen=True)
class Membership:
    """Signal components (sorted), and which of the others count as strong nuisance (r,)."""

    signal: Indices
    strong: Flags

    def split(self) -> tuple[Indices, Indices]:
        """Weak and strong nuisance."""
        nuisance = np.ones(len(self.strong), dtype=bool)
        nuisance[self.signal] = False
        return np.flatnonzero(nuisance & ~self.strong), np.flatnonzero(nuisance & self.strong)


def log_size_prior(r: int) -> Array:
    """log p(S) for every size of S from 0 to r; one more, -inf, for sizes beyond."""
    k = np.arange(r + 2)
    choices = gammaln(r + 1) - gammaln(k + 1) - gammaln(np.maximum(r - k, 0) + 1)
    prior = -SIZE_RATE * k - choices
    prior[-1] = -np.inf
    return np.asarray(prior)


@dataclass(frozen=True)
class _Odds:
    """Of changing the membership of each component: exact but for the moment factors, and with them, nearly."""

    exact: Array
    approximate: Array
    factors: float  # log of the moment factors of the present members

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
    """`count` single flips, each proposed where it is likely to be accepted, and now and then an exchange."""
    turned = [part.turned(setting.loading.turn) for part in products]
    odds = _odds(members, frames, turned, setting)
    weights = odds.weights()
    for _ in range(count):
        mass = weights.cumsum()
        i = min(int(np.searchsorted(mass, generator.random() * mass[-1])), len(weights) - 1)
        proposed = _flipped(members, i)
        there = _odds(proposed, frames, turned, setting)
        back = there.weights()
        gain = odds.exact[i] + there.factors - odds.factors
        gain += np.log(back[i] / back.sum()) - np.log(weights[i] / mass[-1])
        if np.log(generator.random()) < gain:
            members, odds, weights = proposed, there, back
    if len(members.signal) and generator.random() < EXCHANGES:
        members = _exchanged(members, frames, turned, setting, generator)
    return members


def _flipped(members: Membership, i: int) -> Membership:
    present = members.signal == i
    signal = members.signal[~present] if present.any() else np.sort(np.append(members.signal, i))
    return replace(members, signal=signal)


def _exchanged(
    members: Membership,
    frames: Frames,
    turned: Sequence[ScoreProducts],
    setting: Setting,
    generator: np.random.Generator,
) -> Membership:
    """One member redrawn among all components that are not otherwise in S."""
    leaving = members.signal[generator.integers(len(members.signal))]
    rest = _flipped(members, int(leaving))
    candidates = np.setdiff1d(np.arange(len(members.strong)), rest.signal)
    log_odds = _odds(rest, frames, turned, setting).approximate[candidates]
    mass = np.exp(log_odds - log_odds.max()).cumsum()
    return _flipped(rest, int(candidates[np.searchsorted(mass, generator.random() * mass[-1])]))


def _odds(members: Membership, frames: Frames, turned: Sequence[ScoreProducts], setting: Setting) -> _Odds:
    """Log odds of every single flip, all at once."""
    s = members.signal
    k, r = len(s), len(members.strong)
    inside = np.zeros(r, dtype=bool)
    inside[s] = True
    prior = _prior_odds(members, inside, frames, setting)
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
    return _Odds(exact, exact + gain_of_factor, factors)


def _leaving(block: Array, coefficients: Array, scale: Array, shape: float, log_penalty: float) -> Array:
    """Change of the log likelihood when each member leaves: Savage and Dickey's ratio at coefficients 0."""
    p, q, o = block[:, 0, 0], block[:, 1, 1], block[:, 0, 1]
    determinant = p * q - o * o
    along, across = coefficients[:, 0], coefficients[:, 1]
    lost = (q[:, None] * along**2 - 2 * o[:, None] * along * across + p[:, None] * across**2) / determinant[:, None]
    n_targets = len(scale)
    change = -0.5 * n_targets * (np.log(determinant) + log_penalty)
    return np.asarray(change - shape * (np.log(scale + 0.5 * lost) - np.log(scale)).sum(axis=1))


def _prior_odds(members: Membership, inside: Flags, frames: Frames, setting: Setting) -> Array:
    """Log odds of signal against nuisance of every component, from its coupling and variances, given the others."""
    classes = setting.classes
    nuisance = ~inside
    weak, strong = nuisance & ~members.strong, nuisance & members.strong
    share = nuisance.sum() - nuisance + WEAK_ODDS + STRONG_ODDS
    as_weak, as_strong, as_signal = classes.couplings.given_others(frames.z[None], np.stack([weak, strong, inside]))
    as_weak += np.log((weak.sum() - weak + WEAK_ODDS) / share)
    as_strong += np.log((strong.sum() - strong + STRONG_ODDS) / share)
    odds = as_signal - np.logaddexp(as_weak, as_strong)
    if setting.nuisance is not None:
        r = len(inside)
        values = np.stack([frames.a[:r], frames.b[:r]])
        mean, spread = np.array([setting.nuisance.x, setting.nuisance.y]).T[..., None]
        logs = classes.signal_only.given_others(values, np.stack([inside, inside]))
        odds += (logs + 0.5 * ((values - mean) / spread) ** 2 + np.log(spread)).sum(axis=0)
    return np.asarray(odds)


@dataclass(frozen=True)
class _Turned:
    """Frames and score products after a turn in the plane of two components."""

    frames: Frames
    products: tuple[ScoreProducts, ...]
    energy: float  # change of the pairs' part of U


def birth_or_death(
    members: Membership,
    frames: Frames,
    products: tuple[ScoreProducts, ...],
    pairs: PairMoments,
    setting: Setting,
    generator: np.random.Generator,
) -> tuple[Membership, Frames, tuple[ScoreProducts, ...]]:
    """Add or drop a component together with a turn in its plane with a member, in both modalities.

    Where components have nearly the same coupling, one label fixes one direction among them; whether it stands for
    one component or for several that share it can change only together with the axes.
    """
    now = (members, frames, products)
    s, r = members.signal, len(members.strong)
    k = len(s)
    birth = generator.random() < 0.5
    if not 0 < k < r if birth else k < 2:
        return now
    if birth:
        i = int(s[generator.integers(k)])
        outside = _outside(s, r)
        near = _nearness(frames.z, i, outside, pairs.n)
        j = int(outside[min(int(np.searchsorted(near.cumsum(), generator.random())), len(outside) - 1)])
        proposed = _flipped(members, j)
    else:
        i, j = (int(s[place]) for place in _two_of(k, generator))
        proposed = _flipped(members, j)
        outside = _outside(proposed.signal, r)
    turned = _turn(frames, products, pairs, i, j, generator.uniform(-np.pi / 2, np.pi / 2))
    if not birth:
        near = _nearness(turned.frames.z, i, outside, pairs.n)
    # A birth chooses (i, then j by nearness) and its death the ordered pair (i, j), each with the same turn.
    if turned.energy > HOPELESS:
        return now
    size = k if birth else k - 1
    proposal = np.log(size) - np.log(size * (size + 1)) - np.log(near[np.flatnonzero(outside == j)[0]])
    gain = (proposal if birth else -proposal) - turned.energy
    outer = (members if birth else proposed, frames if birth else turned.frames)
    inner = (proposed if birth else members, turned.frames if birth else frames)
    change, as_weak, as_strong = _joining_gain(outer, inner, j, setting)
    gain += change if birth else -change
    if gain < -HOPELESS:
        return now
    gain += log_likelihood(turned.products, proposed.signal, setting.loading)
    gain -= log_likelihood(products, s, setting.loading)
    if not np.log(generator.random()) < gain:
        return now
    if not birth:
        is_strong = generator.random() < 1 / (1 + np.exp(min(as_weak - as_strong, ODDS_LIMIT)))
        proposed = replace(proposed, strong=_set(proposed.strong, j, bool(is_strong)))
    return proposed, turned.frames, turned.products


def _outside(signal: Indices, r: int) -> Indices:
    nuisance = np.ones(r, dtype=bool)
    nuisance[signal] = False
    return np.flatnonzero(nuisance)


def _two_of(k: int, generator: np.random.Generator) -> tuple[int, int]:
    """Two different places among k, in either order alike."""
    first, second = int(generator.integers(k)), int(generator.integers(k - 1))
    return first, second + (second >= first)


def _joining_gain(
    outer: tuple[Membership, Frames], inner: tuple[Membership, Frames], j: int, setting: Setting
) -> tuple[float, float, float]:
    """log p(inner) - log p(outer), where j is signal in `inner` alone and its class of nuisance is summed over.

    Also log p of j as weak and as strong nuisance, up to a common constant.
    """
    classes = setting.classes
    (without, before), (with_j, after) = outer, inner
    weak, strong = without.split()
    others_weak, others_strong = weak[weak != j], strong[strong != j]
    share = len(others_weak) + len(others_strong) + WEAK_ODDS + STRONG_ODDS
    as_weak = float(np.log((len(others_weak) + WEAK_ODDS) / share)) + _joined(classes.weak, before.z, others_weak, j)
    as_strong = float(np.log((len(others_strong) + STRONG_ODDS) / share)) + _joined(
        classes.strong, before.z, others_strong, j
    )
    pairs = [(classes.signal, before.z, after.z)]
    gain = -float(np.logaddexp(as_weak, as_strong))
    if setting.nuisance is not None:
        pairs += [(classes.variance_x, before.a, after.a), (classes.variance_y, before.b, after.b)]
        for values, (mean, spread) in ((before.a, setting.nuisance.x), (before.b, setting.nuisance.y)):
            gain += 0.5 * float((values[j] - mean) / spread) ** 2 + float(np.log(spread))
    for prior, then, now in pairs:
        gain += _difference(prior, then[without.signal], now[with_j.signal])
    size = setting.log_size_prior
    return gain + float(size[len(with_j.signal)] - size[len(without.signal)]), as_weak, as_strong


def _joined(prior: Exchangeable, values: Array, members: Indices, j: int) -> float:
    """log p of value j given the members."""
    return _difference(prior, values[members], values[np.append(members, j)])


def _difference(prior: Exchangeable, before: Array, after: Array) -> float:
    """log p(after) - log p(before) of two sets of members."""
    d, e = before - prior.centre, after - prior.centre
    logs = prior.log_marginal(
        np.array([float(len(d)), float(len(e))]), np.array([d.sum(), e.sum()]), np.array([d @ d, e @ e])
    )
    return float(logs[1] - logs[0])


def _set(flags: Flags, place: int, value: bool) -> Flags:
    changed = flags.copy()
    changed[place] = value
    return changed


def _nearness(z: Array, i: int, outside: Indices, n: float) -> Array:
    weight = np.exp(-np.abs(z[outside] - z[i]) * np.sqrt(n) / NEAR) + 1e-3
    return np.asarray(weight / weight.sum())


def _turn(
    frames: Frames, products: tuple[ScoreProducts, ...], pairs: PairMoments, i: int, j: int, angle: float
) -> _Turned:
    plane = [i, j]
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    x, y = frames.x[:, plane] @ turn, frames.y[:, plane] @ turn
    kx, ky = np.einsum("ij,ij->j", x, pairs.sxx @ x), np.einsum("ij,ij->j", y, pairs.syy @ y)
    f = np.einsum("ij,ij->j", x, pairs.sxy @ y) / np.sqrt(kx * ky)
    new = Frames(frames.x.copy(), frames.y.copy(), frames.z.copy(), frames.a.copy(), frames.b.copy())
    new.x[:, plane], new.y[:, plane] = x, y
    new.z[plane], new.a[plane], new.b[plane] = fisher(f), np.log(kx), np.log(ky)
    energy = 0.5 * pairs.n * (_plane_energy(new, plane) - _plane_energy(frames, plane))
    # Scores are standardised: undo the old scale, turn, apply the new one.
    to_x = np.exp(0.5 * frames.a[plane])[:, None] * turn * np.exp(-0.5 * new.a[plane])
    to_y = np.exp(0.5 * frames.b[plane])[:, None] * turn * np.exp(-0.5 * new.b[plane])
    return _Turned(new, tuple(_turned_products(part, plane, to_x, to_y) for part in products), energy)


def _plane_energy(frames: Frames, plane: list[int]) -> float:
    f = np.tanh(frames.z[plane])
    return float((frames.a[plane] + frames.b[plane] + np.log1p(-f * f)).sum())


def _turned_products(products: ScoreProducts, plane: list[int], to_x: Array, to_y: Array) -> ScoreProducts:
    gram, cross = products.gram.copy(), products.cross.copy()
    for side, to in ((0, to_x), (1, to_y)):
        gram[plane, side] = np.tensordot(to.T, gram[plane, side], axes=1)
        cross[plane, side] = to.T @ cross[plane, side]
    for side, to in ((0, to_x), (1, to_y)):
        gram[:, :, plane, side] = gram[:, :, plane, side] @ to
    return ScoreProducts(products.m, gram, cross, products.tt)
