"""Axes of the components as points of O(dx) x O(dy): energy, gradient, curvature, and Hamiltonian moves.

Components i = 1..r have axes x_i, y_i (columns of Rx, Ry), variances e^{a_i}, e^{b_i} and correlation tanh z_i;
coordinates of different components are independent.  With the profile likelihood of variances and correlations

    U(Rx, Ry) = n/2 [sum_i a_i + sum_j b_j + sum_{i<=r} log(1 - f_i^2)]
                - sum over classes c of log g_c(z_c) - log h(a) - log h(b) - log L(labels | Rx, Ry)        (eq. 3)

where a_i, b_j and f_i = tanh z_i are the sample's in these axes, and z_i is seen with variance 1/n (Fisher).

A move turns the axes by skew matrices in the frame of the components themselves: R <- R Cay(eps V),
V = H^{-1} p with H the curvature of U in every plane.  Each half step keeps the Haar and Lebesgue measures, the flow
keeps U + kinetic energy and is reversible, so the Metropolis test leaves the posterior invariant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dgesv

from service.estimation.moments import Array
from service.estimation.posterior.exchangeable import ClassGroup
from service.estimation.posterior.labels import LabelTerm
from service.estimation.posterior.moments import PairMoments

LARGEST_CORRELATION = 0.9999  # beyond it two coordinates are one, and Fisher's transformation overflows
CURVATURE_FLOOR = 0.5  # per dimension: along directions that the data leave free a move turns axes by about 1 / sqrt(d)
LOST_ENERGY = 1000.0  # a trajectory that climbs so far has left the region where its step is stable


@dataclass(frozen=True)
class Frames:
    """Axes with what the pairs look like in them."""

    x: Array  # (dx, dx), orthogonal
    y: Array  # (dy, dy), orthogonal
    z: Array  # (r,), Fisher's transformation of the correlations
    a: Array  # (dx,), log variances of x
    b: Array  # (dy,), log variances of y


@dataclass(frozen=True)
class Variances:
    """Prior N(mean, 1 / root_precision^2) of the log variances (dx + dy,), x's first."""

    mean: Array
    root_precision: Array


@dataclass(frozen=True)
class Target:
    """The posterior of the axes with everything else given."""

    pairs: PairMoments
    n: float  # pairs that the likelihood counts; fewer while the chain is hot
    classes: ClassGroup | None  # of couplings
    variances: Variances
    labels: LabelTerm | None


@dataclass(frozen=True)
class Curvature:
    """Inverse and root of the curvature of U in every plane: two by two for planes that both modalities have."""

    inverse: tuple[Array, Array, Array]  # x (dx, dx), y (dy, dy), between (r, r)
    root: tuple[Array, Array, Array]


def measured(pairs: PairMoments, x: Array, y: Array) -> Frames:
    """The frames of axes x, y."""
    r = pairs.paired
    a = np.einsum("ij,ij->j", x, pairs.sxx @ x)
    b = np.einsum("ij,ij->j", y, pairs.syy @ y)
    c = np.einsum("ij,ij->j", x[:, :r], pairs.sxy @ y[:, :r])
    return Frames(x, y, fisher(c / np.sqrt(a[:r] * b[:r])), np.log(a), np.log(b))


def fisher(correlations: Array) -> Array:
    """arctanh, bounded."""
    return np.arctanh(_bounded(correlations))


def _bounded(correlations: Array) -> Array:
    return np.minimum(np.maximum(correlations, -LARGEST_CORRELATION), LARGEST_CORRELATION)


def energy_gradient(target: Target, x: Array, y: Array) -> tuple[float, Array, Array]:
    """U (eq. 3) and its gradients in the skew generators of the axes' own planes.

    Arguments: x (dx, dx), y (dy, dy), orthogonal.
    Returns: U up to a constant; gradients (dx, dx), (dy, dy), skew: entry (i, j) is the derivative along
    x <- x exp(t V), V_ij = 1 = -V_ji.  The labels' moment factors and the bound on correlations are left out of them.
    """
    pairs, n, r, dx = target.pairs, target.n, target.pairs.paired, len(x)
    c = x.T @ (pairs.sxy @ y)
    if pairs.whitened:
        f = _bounded(c.diagonal()[:r])
    else:
        k, m = x.T @ (pairs.sxx @ x), y.T @ (pairs.syy @ y)
        variances = np.concatenate([k.diagonal(), m.diagonal()])
        scale = 1 / np.sqrt(variances[:r] * variances[dx : dx + r])
        f = _bounded(c.diagonal()[:r] * scale)
    rest = 1 - f * f
    z = np.arctanh(f)
    energy = 0.5 * n * float(np.log(rest).sum())
    slope_z = (-n) * f
    if target.classes is not None:
        value, slope = target.classes.value_and_gradient(z)
        energy -= value
        slope_z -= slope
    # From z to the entries of the moments in these axes: f = c_ii / sqrt(k_ii m_ii).
    pull = slope_z / rest
    if pairs.whitened:
        gx, gy = np.zeros_like(x), np.zeros_like(y)
    else:
        logs = np.log(variances)
        off = (logs - target.variances.mean) * target.variances.root_precision
        energy += 0.5 * float(n * logs.sum() + off @ off)
        slope = 0.5 * n + off * target.variances.root_precision
        through = 0.5 * pull * f
        slope[:r] -= through
        slope[dx : dx + r] -= through
        slope *= 2 / variances
        gx, gy = k * slope[:dx], m * slope[dx:]
        pull = pull * scale
    gx[:, :r] += c[:, :r] * pull
    gy[:, :r] += c[:r].T * pull
    if target.labels is not None:
        energy += target.labels.add(x, y, gx, gy)
    return float(energy), gx - gx.T, gy - gy.T


def curvature(frames: Frames, n: float) -> Curvature:
    """Second derivatives of the pairs' part of U in every plane (i, j), where the moments are diagonal.

    With t_x = e^{a_j - a_i}, w = 1 / (1 - f^2):  H_xx = n [(t_x - 1 + f_i^2) w_i + (1/t_x - 1 + f_j^2) w_j],  H_yy
    alike, and  H_xy = -n f_i f_j [sqrt(t_x t_y) w_i + w_j / sqrt(t_x t_y)].  Eigenvalues are floored: directions that
    the pairs do not determine are bounded by the orthogonal group itself.
    """
    dx, dy, r = len(frames.a), len(frames.b), len(frames.z)
    floor = CURVATURE_FLOOR * max(dx, dy)
    f = np.tanh(frames.z)
    hx, hy = _own_curvature(frames.a, f, n), _own_curvature(frames.b, f, n)
    half = 0.5 * (frames.a[:r] + frames.b[:r])
    between = np.exp(half[None, :] - half[:, None]) / (1 - f * f)[:, None]
    hxy = -n * np.outer(f, f) * (between + between.T)
    # Eigenvalues and angle of the 2 x 2 matrix of every shared plane.
    middle, half_gap = 0.5 * (hx[:r, :r] + hy[:r, :r]), 0.5 * (hx[:r, :r] - hy[:r, :r])
    radius, angle = np.hypot(half_gap, hxy), 0.5 * np.arctan2(hxy, half_gap)
    high, low = np.maximum(middle + radius, floor), np.maximum(middle - radius, floor)
    cos, sin = np.cos(angle), np.sin(angle)

    def assembled(of_high: Array, of_low: Array, of_x: Array, of_y: Array) -> tuple[Array, Array, Array]:
        of_x[:r, :r] = of_high * cos * cos + of_low * sin * sin
        of_y[:r, :r] = of_high * sin * sin + of_low * cos * cos
        return of_x, of_y, (of_high - of_low) * cos * sin

    hx, hy = np.maximum(hx, floor), np.maximum(hy, floor)
    return Curvature(
        inverse=assembled(1 / high, 1 / low, 1 / hx, 1 / hy),
        root=assembled(np.sqrt(high), np.sqrt(low), np.sqrt(hx), np.sqrt(hy)),
    )


def _own_curvature(log_variances: Array, f: Array, n: float) -> Array:
    d, r = len(log_variances), len(f)
    square = np.zeros(d)
    square[:r] = f * f
    ratio = np.exp(log_variances[None, :] - log_variances[:, None])
    one_way = (ratio - 1 + square[:, None]) / (1 - square)[:, None]
    return np.asarray(n * (one_way + one_way.T))


@dataclass(frozen=True)
class Motion:
    """Axes and how they move."""

    x: Array  # (dx, dx)
    y: Array  # (dy, dy)
    px: Array  # (dx, dx), momenta, skew
    py: Array  # (dy, dy)

    def kinetic(self, shape: Curvature, r: int) -> float:
        """Half the sum over planes of p H^{-1} p."""
        vx, vy = across(shape.inverse, self.px, self.py, r)
        # Each plane stands twice in a skew matrix.
        return 0.25 * float(np.vdot(self.px, vx) + np.vdot(self.py, vy))


def hamiltonian_move(
    target: Target,
    frames: Frames,
    shape: Curvature,
    step: float,
    leaps: int,
    generator: np.random.Generator,
) -> tuple[Array, Array, float]:
    """One Hamiltonian move, which leaves exp(-U) on O(dx) x O(dy) as it is.

    Arguments: frames of the present axes; shape, the curvature that momenta are drawn with, the same at both ends;
    step, of the leapfrog in units of the posterior's spread; leaps, its steps.

    Returns: the axes it ends at, (dx, dx) and (dy, dy), those of `frames` themselves where it was refused; and the
    probability with which it was accepted, 0 where the trajectory climbed by LOST_ENERGY.
    """
    dx, dy, r = len(frames.a), len(frames.b), len(frames.z)
    px, py = across(shape.root, _skew(generator, dx), _skew(generator, dy), r)
    start = Motion(frames.x, frames.y, px, py)
    end, gained = trajectory(target, start, shape, step, leaps)
    if not gained < LOST_ENERGY:
        return frames.x, frames.y, 0.0
    gain = start.kinetic(shape, r) - end.kinetic(shape, r) - gained
    accepted = float(np.exp(np.minimum(gain, 0.0)))
    if generator.random() < accepted:
        return end.x, end.y, accepted
    return frames.x, frames.y, accepted


def trajectory(target: Target, start: Motion, shape: Curvature, step: float, leaps: int) -> tuple[Motion, float]:
    """`leaps` leapfrog steps from `start`: where they end, and what U has gained; they end early once it is lost."""
    x, y, px, py, r = start.x, start.y, start.px, start.py, target.pairs.paired
    before, gx, gy = energy_gradient(target, x, y)
    gained = 0.0
    for leap in range(leaps):
        push = 0.5 * step if leap == 0 else step
        px, py = px - push * gx, py - push * gy
        vx, vy = across(shape.inverse, px, py, r)
        x, y = x @ cayley(vx, step), y @ cayley(vy, step)
        energy, gx, gy = energy_gradient(target, x, y)
        gained = energy - before
        if not gained < LOST_ENERGY:
            break
    return Motion(x, y, px - 0.5 * step * gx, py - 0.5 * step * gy), gained


def cayley(velocity: Array, step: float) -> Array:
    """Rotation (I - H)^{-1} (I + H), H = step velocity / 2, of a skew velocity (d, d): exp(step velocity) + O(step^3).

    Orthogonal to rounding, and undone by -velocity.
    """
    half = (0.5 * step) * velocity
    identity = np.eye(len(half))
    return np.asarray(dgesv(identity - half, identity + half, overwrite_a=1, overwrite_b=1)[2])


def _skew(generator: np.random.Generator, d: int) -> Array:
    upper = np.triu(generator.standard_normal((d, d)), 1)
    return np.asarray(upper - upper.T)


def across(blocks: tuple[Array, Array, Array], px: Array, py: Array, r: int) -> tuple[Array, Array]:
    """Plane by plane, a two by two matrix times (p_x, p_y); planes of one modality alone have one entry."""
    of_x, of_y, between = blocks
    vx, vy = of_x * px, of_y * py
    vx[:r, :r] += between * py[:r, :r]
    vy[:r, :r] += between * px[:r, :r]
    return vx, vy
