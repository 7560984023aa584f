"""Marginal likelihood of the labels given which components are signal.

For every set of labeled rows and target t_q (unit variance, uncorrelated targets)

    t_q = sum_{i in S} (beta_iq e_i + delta_iq d_i) + noise,   noise ~ N(0, sigma_q^2)                    (eq. 4)

where u_i, v_i are the standardised scores of component i in x and y, e_i = cos(psi) u_i + sin(psi) v_i,
d_i = -sin(psi) u_i + cos(psi) v_i, and one angle psi serves all components: a latent signal is read from both
modalities in about the same proportion.  beta ~ N(0, sigma_q^2 slab), delta ~ N(0, sigma_q^2 slab ACROSS),
sigma_q^2 ~ InverseGamma(SHAPE, SCALE), all integrated out.  Each signal component's prior carries the factor
sum_q beta_iq^2 / (sigma_q^2 L slab) (a moment prior, Johnson and Rossell 2010): a component on which no label depends
appreciably is no signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from service.estimation.moments import Array, Indices
from service.estimation.posterior.moments import LabelMoments, block_diagonal

ACROSS = 0.08  # prior variance of delta over that of beta
SHAPE, SCALE = 1.0, 0.5  # of the noise variance's prior: weak, mean about the targets' own variance


@dataclass(frozen=True)
class Loading:
    """What the labels' prior is told: slab, and the angle psi."""

    slab: float
    psi: float

    @property
    def turn(self) -> Array:
        """(u, v) from (e, d)."""
        cos, sin = np.cos(self.psi), np.sin(self.psi)
        return np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class ScoreProducts:
    """Products of standardised scores with each other (r, 2, r, 2) and with the targets (r, 2, L), per label set."""

    m: float
    gram: Array
    cross: Array
    tt: Array
    log_determinant: float  # of the noise's covariance over its variance

    def turned(self, turn: Array) -> ScoreProducts:
        """From scores (u, v) to (e, d)."""
        gram = (turn.T @ (self.gram.transpose(0, 2, 1, 3) @ turn)).transpose(0, 2, 1, 3)
        return ScoreProducts(self.m, np.ascontiguousarray(gram), turn.T @ self.cross, self.tt, self.log_determinant)

    def of(self, members: Indices) -> ScoreProducts:
        """Those of some components."""
        both = np.array([0, 1])
        return ScoreProducts(
            self.m, self.gram[np.ix_(members, both, members, both)], self.cross[members], self.tt, self.log_determinant
        )


@dataclass(frozen=True)
class Fit:
    """The regression of one label set on its signal components, in coordinates (e_1, d_1, e_2, d_2, ...)."""

    inverse: Array  # (2k, 2k), of the penalised Gram matrix
    coefficients: Array  # (2k, L)
    scale: Array  # (L,), SCALE + half the penalised residual sum of squares
    log_determinant: float
    shape: float  # SHAPE + m / 2

    @property
    def precision(self) -> Array:
        """Posterior mean of 1 / sigma_q^2."""
        return self.shape / self.scale


def score_products(sets: Sequence[LabelMoments], x: Array, y: Array, a: Array, b: Array) -> tuple[ScoreProducts, ...]:
    """Score products of components with axes x (dx, r), y (dy, r) and log variances a, b (r,)."""
    r = x.shape[1]
    scores = block_diagonal(x * np.exp(-0.5 * a), y * np.exp(-0.5 * b))
    found = []
    for labeled in sets:
        gram = (scores.T @ (labeled.products @ scores)).reshape(2, r, 2, r).transpose(1, 0, 3, 2)
        cross = (scores.T @ labeled.cross).reshape(2, r, -1).transpose(1, 0, 2)
        found.append(
            ScoreProducts(
                labeled.m,
                np.ascontiguousarray(gram),
                np.ascontiguousarray(cross),
                labeled.tt,
                labeled.log_determinant,
            )
        )
    return tuple(found)


def fitted(products: ScoreProducts, slab: float) -> Fit:
    """The penalised regression on all components of `products`, which are already turned."""
    k, _, n_targets = products.cross.shape
    gram = products.gram.reshape(2 * k, 2 * k).copy()
    gram.flat[:: 2 * k + 1] += penalties(k, slab)
    cross = products.cross.reshape(2 * k, n_targets)
    inverse, log_determinant = inverted(gram)
    coefficients = inverse @ cross
    explained = (cross * coefficients).sum(axis=0)
    return Fit(
        inverse,
        coefficients,
        SCALE + 0.5 * np.maximum(products.tt - explained, 0.0),
        log_determinant,
        SHAPE + 0.5 * products.m,
    )


def penalties(k: int, slab: float) -> Array:
    """Prior precisions of (beta_1, delta_1, beta_2, ...), times sigma^2."""
    return np.tile([1 / slab, 1 / (slab * ACROSS)], k)


def appreciable(fit: Fit, slab: float) -> Array:
    """Log of every component's moment factor (k,): the posterior mean of sum_q beta_q^2 / (sigma_q^2 L slab)."""
    beta = fit.coefficients[0::2]
    n_targets = beta.shape[1]
    mean_square = (beta * beta) @ fit.precision + n_targets * fit.inverse.diagonal()[0::2]
    return np.asarray(np.log(mean_square / (n_targets * slab)))


def log_likelihood(sets: Sequence[ScoreProducts], members: Indices, loading: Loading) -> float:
    """Log marginal likelihood (eq. 4) of all label sets, moment factors included, up to a constant."""
    total = 0.0
    for products in sets:
        total -= 0.5 * len(products.tt) * products.log_determinant
        if not len(members):
            total -= (SHAPE + 0.5 * products.m) * float(np.log(SCALE + 0.5 * products.tt).sum())
            continue
        fit = fitted(products.of(members).turned(loading.turn), loading.slab)
        n_targets = len(products.tt)
        half_log_prior = 0.5 * float(np.log(penalties(len(members), loading.slab)).sum())
        total -= n_targets * (0.5 * fit.log_determinant - half_log_prior)
        total -= fit.shape * float(np.log(fit.scale).sum())
        total += float(appreciable(fit, loading.slab).sum())
    return total


@dataclass(frozen=True)
class LabelTerm:
    """-log L(labels) as a function of the axes, for the energy (eq. 3): members, loading and scales held fixed."""

    sets: Sequence[LabelMoments]
    members: Indices
    scale_x: Array  # (k,), 1 / standard deviation of the members' scores
    scale_y: Array
    cos: float
    sin: float
    penalty: Array  # (2k, 2k), of the coefficients of (u_1, ..., u_k, v_1, ..., v_k)

    def add(self, x: Array, y: Array, gx: Array, gy: Array) -> float:
        """The energy; its gradients are added to gx, gy.  The moment factors enter the energy alone.

        An inexact force leaves a Hamiltonian move valid: only its acceptance suffers.
        """
        members, k, dx = self.members, len(self.members), len(x)
        scores = block_diagonal(x[:, members] * self.scale_x, y[:, members] * self.scale_y)
        energy = 0.0
        for labeled in self.sets:
            weighted_scores = labeled.products @ scores
            inverse, log_determinant = inverted(scores.T @ weighted_scores + self.penalty)
            cross = scores.T @ labeled.cross
            coefficients = inverse @ cross
            n_targets, shape = len(labeled.tt), SHAPE + 0.5 * labeled.m
            scale = SCALE + 0.5 * np.maximum(labeled.tt - (cross * coefficients).sum(axis=0), 0.0)
            precision = shape / scale
            beta = self.cos * coefficients[:k] + self.sin * coefficients[k:]
            spread = inverse.diagonal()
            own = self.cos**2 * spread[:k] + self.sin**2 * spread[k:]
            own += 2 * self.cos * self.sin * inverse[:k, k:].diagonal()
            mean_square = (beta * beta) @ precision + n_targets * own
            energy += 0.5 * n_targets * log_determinant + shape * np.log(scale).sum() - np.log(mean_square).sum()
            weighted = coefficients * precision
            pull = weighted_scores @ (weighted @ coefficients.T + n_targets * inverse) - labeled.cross @ weighted.T
            gx[:, members] += x.T @ (pull[:dx, :k] * self.scale_x)
            gy[:, members] += y.T @ (pull[dx:, k:] * self.scale_y)
        return float(energy)


def label_term(
    sets: Sequence[LabelMoments], members: Indices, scale_x: Array, scale_y: Array, loading: Loading
) -> LabelTerm:
    """The term for these members; scale_x, scale_y (k,) standardise their scores."""
    cos, sin = float(np.cos(loading.psi)), float(np.sin(loading.psi))
    along, across = 1 / loading.slab, 1 / (loading.slab * ACROSS)
    mixed = cos * sin * (along - across)
    of_one = np.array([[cos**2 * along + sin**2 * across, mixed], [mixed, sin**2 * along + cos**2 * across]])
    return LabelTerm(sets, members, scale_x, scale_y, cos, sin, np.kron(of_one, np.eye(len(members))))


def inverted(positive: Array) -> tuple[Array, float]:
    """Inverse and log determinant of a positive definite matrix, by one Cholesky factorisation."""
    factor, failed = dpotrf(positive, lower=1)
    if failed:
        raise np.linalg.LinAlgError("not positive definite")
    # Above the diagonal both routines leave zeros.
    lower, _ = dpotri(factor, lower=1)
    inverse = lower + lower.T
    inverse.flat[:: len(inverse) + 1] = lower.diagonal()
    return inverse, 2 * float(np.log(factor.diagonal()).sum())
