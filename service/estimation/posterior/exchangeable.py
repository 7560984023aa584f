"""Exchangeable classes: members z_i ~ N(mu, s^2) with mu ~ N(centre, width^2) and s on a grid, all of it unknown.

A class of components that have nearly the same coupling, or the same variance, is told by this from one whose members
differ, and the strongest of many noisy members is not mistaken for a strong one (docs/calibrated.md, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.estimation.moments import Array, Indices


@dataclass(frozen=True)
class Exchangeable:
    """A class whose members are seen with noise of variance `noise`; build it with `exchangeable`."""

    centre: float
    width2: float
    noise: float
    spreads: Array  # (K,), grid of s
    log_weights: Array  # (K,), of the grid
    precisions: Array  # (K,), 1 / (s^2 + noise)
    log_roots: Array  # (K,), half the logarithm of the precisions

    def log_marginal(self, count: Array, first: Array, second: Array) -> Array:
        """log p of members given their number and the sums of (z - centre) and its square, all of one shape."""
        p = self.precisions
        total = np.multiply.outer(count, p) + 1 / self.width2
        terms = (
            self.log_weights
            + np.multiply.outer(count, self.log_roots)
            - 0.5 * np.multiply.outer(second, p)
            + 0.5 * np.multiply.outer(first * first, p * p) / total
            - 0.5 * np.log(total * self.width2)
        )
        largest = terms.max(axis=-1)
        return np.asarray(largest + np.log(np.exp(terms - largest[..., None]).sum(axis=-1)))

    def of(self, values: Array) -> float:
        """log p of the members `values` (c,)."""
        d = values - self.centre
        return float(self.log_marginal(np.asarray(float(len(d))), np.asarray(d.sum()), np.asarray(d @ d)))

    def draw_parameters(self, values: Array, generator: np.random.Generator, size: int) -> tuple[Array, Array]:
        """`size` draws of (mu, s) given the members."""
        d = values - self.centre
        first = float(d.sum())
        terms, total = self._terms(len(d), first, float(d @ d))
        mass = np.exp(terms - terms.max()).cumsum()
        k = np.searchsorted(mass, generator.random(size) * mass[-1])
        mu = self.centre + self.precisions[k] * first / total[k] + generator.standard_normal(size) / np.sqrt(total[k])
        return mu, self.spreads[k]

    def draw_members(self, values: Array, generator: np.random.Generator, size: int) -> Array:
        """`size` draws (size, c) of what the members are without their noise."""
        mu, spread = self.draw_parameters(values, generator, size)
        return shrunk(values, self.noise, mu[:, None], spread[:, None] ** 2, generator, size)

    def _terms(self, count: int, first: float, second: float) -> tuple[Array, Array]:
        p = self.precisions
        total = count * p + 1 / self.width2
        terms = (
            self.log_weights
            + count * self.log_roots
            - (0.5 * second) * p
            + (0.5 * first * first) * p * p / total
            - 0.5 * np.log(total * self.width2)
        )
        return terms, total


def exchangeable(spreads: Array, weights: Array, centre: float, width2: float, noise: float) -> Exchangeable:
    """The class with s in `spreads` by prior `weights`, mu ~ N(centre, width2), and noise variance `noise`."""
    precisions = 1 / (spreads**2 + noise)
    return Exchangeable(
        centre, width2, noise, spreads, np.log(weights / weights.sum()), precisions, 0.5 * np.log(precisions)
    )


@dataclass(frozen=True)
class Stack:
    """Several classes side by side, evaluated at once; build it with `stack`."""

    centres: Array  # (C, 1)
    log_weights: Array  # (C, 1, K), -inf where a class's grid is shorter
    log_roots: Array
    precisions: Array
    inverse_widths: Array  # (C, 1, 1), 1 / width^2

    def log_marginal(self, count: Array, first: Array, second: Array) -> Array:
        """log p of members, each class's numbers and sums (C, q) about its centre: (C, q)."""
        count, first, second = count[..., None], first[..., None], second[..., None]
        p = self.precisions
        total = count * p + self.inverse_widths
        terms = (
            self.log_weights
            + count * self.log_roots
            - 0.5 * second * p
            + 0.5 * first * first * p * p / total
            - 0.5 * np.log(total / self.inverse_widths)
        )
        largest = terms.max(axis=-1)
        return np.asarray(largest + np.log(np.exp(terms - largest[..., None]).sum(axis=-1)))

    def given_others(self, values: Array, inside: NDArray[np.bool_]) -> Array:
        """log p(value | the class's other members) of values (C, q), members (`inside`) or not."""
        d = values - self.centres
        square = d * d
        count = inside.sum(axis=1, keepdims=True).astype(np.float64)
        first, second = (d * inside).sum(axis=1, keepdims=True), (square * inside).sum(axis=1, keepdims=True)
        sign = np.where(inside, -1.0, 1.0)
        counts = np.concatenate([count, count + sign], axis=1)
        firsts = np.concatenate([first, first + sign * d], axis=1)
        seconds = np.concatenate([second, second + sign * square], axis=1)
        logs = self.log_marginal(counts, firsts, seconds)
        return np.asarray(sign * (logs[:, 1:] - logs[:, :1]))


def stack(classes: Sequence[Exchangeable]) -> Stack:
    """The classes side by side, shorter grids padded."""
    width = max(len(prior.precisions) for prior in classes)

    def padded(values: Sequence[Array], fill: float) -> Array:
        return np.array([np.r_[row, np.full(width - len(row), fill)] for row in values])[:, None, :]

    return Stack(
        centres=np.array([[prior.centre] for prior in classes]),
        log_weights=padded([prior.log_weights for prior in classes], -np.inf),
        log_roots=padded([prior.log_roots for prior in classes], 0.0),
        precisions=padded([prior.precisions for prior in classes], 1.0),
        inverse_widths=np.array([[[1 / prior.width2]] for prior in classes]),
    )


@dataclass(frozen=True)
class ClassGroup:
    """Values shared out among the classes of a stack; build it with `class_group`."""

    member: Indices  # (r,), the class of each value
    centres: Array  # (r,), the centre of each value's class
    fixed: Array  # (C, K), the parts of log p that depend on the counts alone
    precisions: Array  # (C, K)
    totals: Array  # (C, K), posterior precisions of the means

    def value_and_gradient(self, values: Array) -> tuple[float, Array]:
        """Sum of the classes' log p, and its gradient (r,)."""
        d = values - self.centres
        n_classes = len(self.fixed)
        first = np.bincount(self.member, d, n_classes)[:, None]
        second = np.bincount(self.member, d * d, n_classes)[:, None]
        p = self.precisions
        terms = self.fixed - 0.5 * second * p + 0.5 * first * first * p * p / self.totals
        largest = terms.max(axis=1, keepdims=True)
        weights = np.exp(terms - largest)
        mass = weights.sum(axis=1, keepdims=True)
        weights *= p / mass
        pull = (weights * p / self.totals).sum(axis=1) * first[:, 0]
        hold = weights.sum(axis=1)
        return float((largest + np.log(mass)).sum()), pull[self.member] - hold[self.member] * d


def class_group(classes: Stack, members: Sequence[Indices], r: int) -> ClassGroup:
    """The classes with their members, which share out the values 0..r-1."""
    member = np.empty(r, dtype=np.int64)
    for place, inside in enumerate(members):
        member[inside] = place
    count = np.array([[float(len(inside))] for inside in members])
    precisions, inverse_widths = classes.precisions[:, 0], classes.inverse_widths[:, 0]
    totals = count * precisions + inverse_widths
    fixed = classes.log_weights[:, 0] + count * classes.log_roots[:, 0] - 0.5 * np.log(totals / inverse_widths)
    return ClassGroup(member, classes.centres[member, 0], fixed, precisions, totals)


def shrunk(
    values: Array, noise: float, mean: Array, variance: Array, generator: np.random.Generator, size: int
) -> Array:
    """`size` draws (size, c) of t ~ N(mean, variance) given values ~ N(t, noise)."""
    posterior = 1 / (1 / variance + 1 / noise)
    spread = np.sqrt(posterior) * generator.standard_normal((size, len(values)))
    return np.asarray(posterior * (values / noise + mean / variance) + spread)
