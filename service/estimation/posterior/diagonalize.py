"""The axes in which both modalities and their coupling are most nearly diagonal, and how well the model fits there.

The spiked model says that orthogonal axes Rx, Ry exist in which Sxx, Syy and Sxy are diagonal at once
(docs/calibrated.md, section 1).  Its profile log-likelihood is -n/2 times

    f(Rx, Ry) = sum_i log det W_i + sum_{j unpaired} log w_j                                            (eq. 2)

with W_i the 2 x 2 covariance of the i-th pair of coordinates and w_j the variance of a coordinate without a partner.
Sweeps of plane rotations (Jacobi) bring f down from the principal axes; each angle is the minimum over all rotations
of its plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import linear_sum_assignment

from service.estimation.coupling import fix_signs
from service.estimation.moments import Array, Indices
from service.estimation.posterior.moments import PairMoments

GRID = 16  # doubled angles at which a rotation is tried before Newton's method refines the best
NEWTON_STEPS = 4
SETTLED = 1e-4  # a sweep that lowers f by less is the last
TIE = 1e-9  # relative difference below which two turns are equally good
_ANGLES = np.array(sorted(np.linspace(-np.pi, np.pi, GRID + 1)[:-1], key=abs))[:, None]  # no turn first
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)
STRONGEST = 0.999  # squared correlation at which the cost of a pairing is cut off
LEAST_SHARE = 1e-12  # of a determinant's scale: below it a perfect correlation leaves rounding, of either sign
LEAST_ROTATED = 1e-15  # the same of a determinant that is computed as a wave about its mean over all angles


def diagonalize(pairs: PairMoments, sweeps: int) -> tuple[Array, Array]:
    """Orthogonal axes in which the moments are most nearly diagonal.

    At most `sweeps` sweeps, none of which raises f (eq. 2); fewer once one lowers it by less than SETTLED.  Whitened
    moments are diagonal in their singular vectors.

    Returns: axes (dx, dx) and (dy, dy) in columns; the first min(dx, dy) are paired one to one, in order of falling
    correlation, which is never negative.  Units and rounding of the moments change neither order nor signs.
    """
    if pairs.whitened:
        left, _, right = np.linalg.svd(pairs.sxy)
        return _steady(left, right.T, pairs.paired)
    x, y, k, m, z = _paired_principal_axes(pairs)
    r = pairs.paired
    before = _criterion(k, m, z)
    for _ in range(sweeps):
        _turn_both(x, y, k, m, z, r)
        _turn_one(x, k, z, m.diagonal().copy(), r)
        transposed = z.T.copy()
        _turn_one(y, m, transposed, k.diagonal().copy(), r)
        z = transposed.T.copy()
        after = _criterion(k, m, z)
        if before - after < SETTLED:
            break
        before = after
    correlations = z.diagonal()[:r] / np.sqrt(k.diagonal()[:r] * m.diagonal()[:r])
    order = np.argsort(-np.abs(correlations), kind="stable")
    x, y = x[:, _paired_first(order, len(k))], y[:, _paired_first(order, len(m))]
    y[:, :r] *= np.where(correlations[order] < 0, -1.0, 1.0)
    return x, y


def _steady(left: Array, right: Array, r: int) -> tuple[Array, Array]:
    """The same singular vectors with signs that rounding does not change."""
    x, y = fix_signs(left), fix_signs(right)
    y[:, :r] = right[:, :r] * np.sign((x[:, :r] * left[:, :r]).sum(axis=0))
    return x, y


def _paired_first(order: Indices, d: int) -> Indices:
    return np.concatenate([order, np.arange(len(order), d)])


def _paired_principal_axes(pairs: PairMoments) -> tuple[Array, Array, Array, Array, Array]:
    """Principal axes, paired so that the product of 1 - correlation^2 is least, with the moments in them."""
    vx, x = np.linalg.eigh(pairs.sxx)
    vy, y = np.linalg.eigh(pairs.syy)
    x, y = fix_signs(x), fix_signs(y)
    z = x.T @ pairs.sxy @ y
    cost = np.log1p(-np.minimum(z**2 / np.outer(vx, vy), STRONGEST))
    i, j = linear_sum_assignment(cost)
    i = np.r_[i, np.setdiff1d(np.arange(len(vx)), i)]
    j = np.r_[j, np.setdiff1d(np.arange(len(vy)), j)]
    return x[:, i], y[:, j], np.diag(vx[i]), np.diag(vy[j]), z[np.ix_(i, j)].copy()


def _criterion(k: Array, m: Array, z: Array) -> float:
    r = min(z.shape)
    a, b, c = k.diagonal(), m.diagonal(), z.diagonal()[:r]
    rest = np.maximum(1 - c * c / (a[:r] * b[:r]), LEAST_SHARE)
    return float(np.log(a).sum() + np.log(b).sum() + np.log(rest).sum())


@cache
def _rounds(d: int) -> tuple[tuple[Indices, Indices], ...]:
    """Every pair of d axes once, in rounds of disjoint pairs: the round-robin tournament."""
    players = list(range(d + d % 2))
    rounds = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        a, b = np.array(players[:half]), np.array(players[half:][::-1])
        real = (a < d) & (b < d)
        rounds.append((np.minimum(a, b)[real], np.maximum(a, b)[real]))
        players = [players[0], players[-1], *players[1:-1]]
    return tuple(rounds)


@dataclass(frozen=True)
class _OneTurned:
    """det W_p det W_q when one modality's plane turns: each is m + c cos + s sin of the doubled angle."""

    m_p: Array
    c_p: Array
    s_p: Array
    m_q: Array
    c_q: Array
    s_q: Array

    def value(self, cos: Array, sin: Array) -> Array:
        d_p, d_q = self._determinants(cos, sin)
        return d_p * d_q

    def slope(self, cos: Array, sin: Array) -> tuple[Array, Array]:
        d_p, d_q = self._determinants(cos, sin)
        g_p, g_q = (self.s_p * cos - self.c_p * sin) / d_p, (self.s_q * cos - self.c_q * sin) / d_q
        return g_p + g_q, (self.m_p - d_p) / d_p + (self.m_q - d_q) / d_q - g_p * g_p - g_q * g_q

    def _determinants(self, cos: Array, sin: Array) -> tuple[Array, Array]:
        d_p = self.m_p + self.c_p * cos + self.s_p * sin
        d_q = self.m_q + self.c_q * cos + self.s_q * sin
        return np.maximum(d_p, LEAST_ROTATED * self.m_p), np.maximum(d_q, LEAST_ROTATED * self.m_q)


@dataclass(frozen=True)
class _BothTurned:
    """The same when the plane turns in both modalities: half sums (0), half differences (1), off-diagonals (c)."""

    k0: Array
    k1: Array
    kc: Array
    m0: Array
    m1: Array
    mc: Array
    z0: Array
    z1: Array
    zc: Array

    def value(self, cos: Array, sin: Array) -> Array:
        (k_p, k_q), (m_p, m_q), (z_p, z_q) = self._entries(cos, sin)
        return _determinant(k_p, m_p, z_p) * _determinant(k_q, m_q, z_q)

    def slope(self, cos: Array, sin: Array) -> tuple[Array, Array]:
        (k_p, k_q), (m_p, m_q), (z_p, z_q) = self._entries(cos, sin)
        k, m, z = k_p - self.k0, m_p - self.m0, z_p - self.z0
        k_, m_, z_ = self.kc * cos - self.k1 * sin, self.mc * cos - self.m1 * sin, self.zc * cos - self.z1 * sin
        d_p, d_q = _determinant(k_p, m_p, z_p), _determinant(k_q, m_q, z_q)
        e_p = k_ * m_p + k_p * m_ - 2 * z_p * z_
        e_q = -k_ * m_q - k_q * m_ + 2 * z_q * z_
        both = 2 * k_ * m_ - 2 * z_ * z_
        h_p = -k * m_p - k_p * m + 2 * z_p * z + both
        h_q = k * m_q + k_q * m - 2 * z_q * z + both
        return e_p / d_p + e_q / d_q, h_p / d_p - (e_p / d_p) ** 2 + h_q / d_q - (e_q / d_q) ** 2

    def _entries(self, cos: Array, sin: Array) -> tuple[tuple[Array, Array], ...]:
        k, m, z = self.k1 * cos + self.kc * sin, self.m1 * cos + self.mc * sin, self.z1 * cos + self.zc * sin
        return (self.k0 + k, self.k0 - k), (self.m0 + m, self.m0 - m), (self.z0 + z, self.z0 - z)


def _determinant(k: Array, m: Array, z: Array) -> Array:
    product = k * m
    return np.asarray(np.maximum(product - z * z, LEAST_SHARE * product))


def _turn_one(axes: Array, k: Array, z: Array, partner: Array, r: int) -> None:
    """Rotate the planes of one modality; `partner` are the variances of the other, z's rows are this one's."""
    for p, q in _rounds(len(k)):
        in_p, in_q = p < r, q < r
        at_p, at_q = np.where(in_p, p, 0), np.where(in_q, q, 0)
        vp, vq, vpq = k[p, p], k[q, q], k[p, q]
        zpp, zqp = np.where(in_p, z[p, at_p], 0.0), np.where(in_p, z[q, at_p], 0.0)
        zpq, zqq = np.where(in_q, z[p, at_q], 0.0), np.where(in_q, z[q, at_q], 0.0)
        yp, yq = np.where(in_p, partner[at_p], 1.0), np.where(in_q, partner[at_q], 1.0)
        curve = _OneTurned(
            m_p=0.5 * ((vp + vq) * yp - zpp * zpp - zqp * zqp),
            c_p=0.5 * ((vp - vq) * yp - zpp * zpp + zqp * zqp),
            s_p=vpq * yp - zpp * zqp,
            m_q=0.5 * ((vp + vq) * yq - zqq * zqq - zpq * zpq),
            c_q=0.5 * ((vq - vp) * yq - zqq * zqq + zpq * zpq),
            s_q=zqq * zpq - vpq * yq,
        )
        cos, sin = _best_angle(curve)
        _turn_columns(axes, p, q, cos, sin)
        _turn_columns(k, p, q, cos, sin)
        _turn_rows(k, p, q, cos, sin)
        _turn_rows(z, p, q, cos, sin)


def _turn_both(x: Array, y: Array, k: Array, m: Array, z: Array, r: int) -> None:
    """Rotate the same plane of both modalities by one angle, which keeps strong pairs together."""
    for p, q in _rounds(r):
        k0, k1, kc = _halves(k[p, p], k[q, q], k[p, q])
        m0, m1, mc = _halves(m[p, p], m[q, q], m[p, q])
        z0, z1, zc = _halves(z[p, p], z[q, q], 0.5 * (z[p, q] + z[q, p]))
        curve = _BothTurned(k0, k1, kc, m0, m1, mc, z0, z1, zc)
        cos, sin = _best_angle(curve)
        for matrix in (x, k, y, m, z):
            _turn_columns(matrix, p, q, cos, sin)
        for matrix in (k, m, z):
            _turn_rows(matrix, p, q, cos, sin)


def _halves(pp: Array, qq: Array, pq: Array) -> tuple[Array, Array, Array]:
    return 0.5 * (pp + qq), 0.5 * (pp - qq), pq


def _best_angle(curve: _OneTurned | _BothTurned) -> tuple[Array, Array]:
    """cos and sin of the angles of least value; the smallest wherever several are as good."""
    values = curve.value(_COS, _SIN)
    # The least turn of those that are equally good: where a swap of two axes changes nothing, rounding must not decide.
    coarse = _ANGLES[(values <= (1 + TIE) * values.min(axis=0)).argmax(axis=0), 0]
    angle, reach = coarse, 2 * np.pi / GRID
    for _ in range(NEWTON_STEPS):
        gradient, curvature = curve.slope(np.cos(angle), np.sin(angle))
        convex = curvature > 0
        step = np.where(convex, gradient / np.where(convex, curvature, 1.0), 0.0)
        angle = np.clip(angle - step, coarse - reach, coarse + reach)
    # Newton's method may leave the valley that the grid found.
    angle = np.where(
        curve.value(np.cos(angle), np.sin(angle)) < curve.value(np.cos(coarse), np.sin(coarse)), angle, coarse
    )
    return np.cos(angle / 2), np.sin(angle / 2)


def _turn_columns(matrix: Array, p: Indices, q: Indices, c: Array, s: Array) -> None:
    a, b = matrix[:, p], matrix[:, q]
    matrix[:, p], matrix[:, q] = a * c + b * s, b * c - a * s


def _turn_rows(matrix: Array, p: Indices, q: Indices, c: Array, s: Array) -> None:
    a, b, c, s = matrix[p], matrix[q], c[:, None], s[:, None]
    matrix[p], matrix[q] = a * c + b * s, b * c - a * s
