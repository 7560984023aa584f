"""Births and deaths: moves that change which components are signal together with the axes of two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array, Indices
from service.estimation.posterior.exchangeable import Exchangeable
from service.estimation.posterior.frames import Frames, fisher
from service.estimation.posterior.labels import ScoreProducts, log_likelihood
from service.estimation.posterior.membership import STRONG_ODDS, WEAK_ODDS, Membership, Setting, flipped
from service.estimation.posterior.moments import PairMoments

NEAR = 3.0  # births look for partners within about this many standard errors of coupling
HOPELESS = 40.0  # log odds below which a birth or death is not worked out
ODDS_LIMIT = 40.0  # log odds of weak against strong nuisance beyond which it is certain


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

    A birth picks a member i and a partner j outside by nearness of their couplings, a death an ordered pair of
    members (i, j); either turns the plane (i, j) by an angle uniform over half a circle, in both modalities alike.

    Returns: membership, frames and score products after the move; the very same where nothing moved.
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
        proposed = flipped(members, j)
    else:
        i, j = (int(s[place]) for place in _two_of(k, generator))
        proposed = flipped(members, j)
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
        proposed = flipped(members, j, bool(is_strong))
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
    return ScoreProducts(products.m, gram, cross, products.tt, products.log_determinant)
