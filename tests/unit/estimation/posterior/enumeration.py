"""All memberships of a problem of four components, with their exact posterior probabilities given the axes."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.special import betaln, logsumexp

from service.estimation.posterior.chain import Problem, problem
from service.estimation.posterior.fit import best_axes
from service.estimation.posterior.frames import Frames, measured
from service.estimation.posterior.labels import Loading, ScoreProducts, log_likelihood, score_products
from service.estimation.posterior.membership import (
    STRONG_ODDS,
    WEAK_ODDS,
    Membership,
    NuisanceVariances,
    Setting,
    log_size_prior,
)

from .worlds import label_moments, pair_moments, spiked_world

N_COMPONENTS = 4
WEAK, STRONG, SIGNAL = range(3)


class Tiny(NamedTuple):
    given: Problem
    frames: Frames
    products: tuple[ScoreProducts, ...]
    setting: Setting


def tiny(*, whitened: bool = False) -> Tiny:
    """Weak labels, two sets of them, on part of the rows: no membership is certain."""
    world = spiked_world(seed=8, n=60, dx=4, dy=5, k=2, kappa=0.8, nu=0.4, noise=1.2)
    pairs = pair_moments(world.x, world.y)
    labels = [
        label_moments(world.x[rows], world.y[rows], world.labels[rows][:, [column]])
        for column, rows in enumerate((slice(None), slice(20, None)))
    ]
    found = best_axes(pairs, 60)
    frames = measured(pairs, found.x, found.y)
    given = problem(pairs, labels)
    products = score_products(labels, frames.x[:, :4], frames.y[:, :4], frames.a[:4], frames.b[:4])
    nuisance = None if whitened else NuisanceVariances((-0.2, 0.4), (0.1, 0.5))
    setting = Setting(given.classes, nuisance, Loading(0.3, np.pi / 8), log_size_prior(N_COMPONENTS))
    return Tiny(given, frames, products, setting)


def membership(roles: tuple[int, ...]) -> Membership:
    which = np.array(roles)
    return Membership(np.flatnonzero(which == SIGNAL), which == STRONG)


def roles(members: Membership) -> tuple[int, ...]:
    which = np.where(members.strong, STRONG, WEAK)
    which[members.signal] = SIGNAL
    return tuple(which.tolist())


ALL_ROLES = tuple(product(range(3), repeat=N_COMPONENTS))


def log_posterior(members: Membership, frames: Frames, products: tuple[ScoreProducts, ...], setting: Setting) -> float:
    """log p(membership | axes), up to a constant, term by term."""
    s = members.signal
    weak, strong = members.split()
    classes = setting.classes
    total = setting.log_size_prior[len(s)]
    total += betaln(STRONG_ODDS + len(strong), WEAK_ODDS + len(weak))
    total -= betaln(STRONG_ODDS, WEAK_ODDS)
    total += classes.weak.of(frames.z[weak]) + classes.strong.of(frames.z[strong]) + classes.signal.of(frames.z[s])
    if setting.nuisance is not None:
        others = np.setdiff1d(np.arange(len(members.strong)), s)
        for values, prior, (mean, spread) in (
            (frames.a, classes.variance_x, setting.nuisance.x),
            (frames.b, classes.variance_y, setting.nuisance.y),
        ):
            total += prior.of(values[s])
            total -= float((0.5 * ((values[others] - mean) / spread) ** 2 + np.log(spread)).sum())
    return float(total + log_likelihood(products, s, setting.loading))


def probabilities(of: Tiny) -> np.ndarray:
    """Of ALL_ROLES."""
    logs = np.array([log_posterior(membership(which), of.frames, of.products, of.setting) for which in ALL_ROLES])
    return np.exp(logs - logsumexp(logs))
