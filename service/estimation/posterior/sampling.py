"""Draws of the posterior from moments: which model, from which axes, for how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array
from service.estimation.posterior.chain import Chain, problem
from service.estimation.posterior.draws import (
    Draws,
    Geometry,
    SampleComponents,
    collect,
    corrected_values,
    finished,
    nothing,
)
from service.estimation.posterior.fit import best_axes
from service.estimation.posterior.moments import LabelMoments, PairMoments, inverse_root

WARM_UP, KEPT = 30, 40  # iterations that are thrown away, and that are kept, with many pairs for every coordinate
# Chains that differ in their seeds: with few coordinates a chain is cheap, and pairs in plenty let it hardly leave a
# number of signal components once it has settled on one.
MOST_CHAINS, COORDINATES_PER_CHAIN = 8, 60
DRAWS = 4  # of couplings and variances for every kept state
COMPONENTS_EVERY = 3  # kept states of which the sample's components are looked at: it costs as much as a move
LEAST_WHITENED, PAIRS_PER_WHITENED = 10, 5  # coordinates that are whitened, and pairs that each of them needs
MISFIT_DEVIATIONS = 1.5  # standard errors by which the likelihood ratio may exceed 1 for the spiked model to stand


@dataclass(frozen=True)
class Posterior:
    """What the chain found."""

    draws: Draws
    shares: tuple[Array, ...]  # per spectrum: R^2 of each sample component's score on the signal's scores, averaged
    corrected: tuple[Array, ...]  # per spectrum: coupling of each sample component's directions in the population
    spiked: bool  # whether the spiked model, orthogonal components in both modalities, stands
    misfit: float  # of the spiked model: likelihood ratio over its degrees of freedom
    acceptance: float  # mean acceptance of the Hamiltonian moves that were kept
    crowding: float  # coordinates of both modalities per effective pair


def sample_posterior(
    pairs: PairMoments,
    labels: Sequence[LabelMoments],
    spectra: tuple[SampleComponents, ...],
    n_pairs: int,
    seed: int,
    tell: Callable[[float], None] = lambda fraction: None,
    spiked: bool | None = None,
    effort: float = 1.0,
) -> Posterior:
    """Run chains on `pairs` (not whitened) and `labels`; `n_pairs` rows stand behind pairs.n effective ones.

    `spiked` says whether the spiked model stands; by default the data say it.  `effort` is a factor on the length of
    the chains, its square one on their number.

    The spiked model is used where the likelihood ratio does not reject it; else both modalities are whitened, after
    which components are orthogonal whatever the model, and gains of prediction are taken from their covariances.

    Arguments: labels, of every set of labeled rows, in the coordinates of `pairs`; spectra, whose components' shares
    and couplings are wanted; seed, of all chains; tell, is called with the fraction done, up to 1.

    Returns: the posterior.  Same moments and seed: the same draws.
    """
    covariances = (pairs.sxx, pairs.syy)
    best = best_axes(pairs, n_pairs)
    if spiked is None:
        spiked = bool(best.misfit <= 1 + MISFIT_DEVIATIONS * np.sqrt(2 / max(best.freedom, 1.0)))
    geometry = Geometry(None, None, None, None, None, None)
    misfit = best.misfit
    if not spiked:
        pairs, labels, geometry = _whitened(pairs, labels)
        best = best_axes(pairs, n_pairs)
    given = problem(pairs, labels)
    warm_up, kept = iterations(pairs, effort)
    n_chains = max(1, round(effort * effort * chains(pairs)))
    collected, acceptances = nothing(spectra), []
    for number in range(n_chains):
        generator = np.random.default_rng([seed, number])
        chain = Chain(given, best.x, best.y, generator)
        chain.warm_up(warm_up)
        tell((number + warm_up / (warm_up + kept)) / n_chains)
        for t in range(kept):
            state = chain.advance(t)
            looked_at = spectra if t % COMPONENTS_EVERY == 0 else ()
            collect(collected, state, given, geometry, covariances, looked_at, DRAWS, generator)
        tell((number + 1) / n_chains)
        acceptances.append(chain.acceptance)
    return Posterior(
        draws=finished(collected, pairs.paired),
        shares=tuple(total / collected.states for total in collected.shares),
        corrected=corrected_values(collected, spectra),
        spiked=spiked,
        misfit=misfit,
        acceptance=float(np.mean(acceptances)),
        crowding=sum(pairs.sxy.shape) / pairs.n,
    )


def chains(pairs: PairMoments) -> int:
    """How many chains are run, at least one: as many as few coordinates leave time for."""
    return int(np.clip((COORDINATES_PER_CHAIN / sum(pairs.sxy.shape)) ** 1.5, 1, MOST_CHAINS))


def iterations(pairs: PairMoments, effort: float = 1.0) -> tuple[int, int]:
    """Iterations of warm-up and after: up to twice as many where coordinates are many for the pairs."""
    more = effort * (1 + min(1.0, sum(pairs.sxy.shape) / pairs.n))
    return round(WARM_UP * more), round(KEPT * more)


def _whitened(
    pairs: PairMoments, labels: Sequence[LabelMoments]
) -> tuple[PairMoments, Sequence[LabelMoments], Geometry]:
    """Both modalities with unit covariance, cut to as many leading principal coordinates as the pairs can whiten."""
    dx, dy = pairs.sxy.shape
    most = max(LEAST_WHITENED, int(pairs.n / PAIRS_PER_WHITENED))
    cut_x, cut_y = np.eye(dx, min(dx, most)), np.eye(dy, min(dy, most))
    sxx, syy = cut_x.T @ pairs.sxx @ cut_x, cut_y.T @ pairs.syy @ cut_y
    to_x, root_x = inverse_root(sxx)
    to_y, root_y = inverse_root(syy)
    to_x, to_y = cut_x @ to_x, cut_y @ to_y
    white = PairMoments(np.eye(len(sxx)), to_x.T @ pairs.sxy @ to_y, np.eye(len(syy)), pairs.n, whitened=True)
    gains = (inverse_root(_shrunken(matrix, pairs.n))[1] for matrix in (sxx, syy))
    geometry = Geometry(cut_x @ root_x, cut_y @ root_y, to_x, to_y, *gains)
    return white, [part.mapped(to_x, to_y) for part in labels], geometry


def _shrunken(covariance: Array, n: float) -> Array:
    """Towards a multiple of the identity, by the intensity that minimises the expected loss for normal rows.

    Ledoit and Wolf 2004 with the normal distribution's fourth moments: a = min(1, b / d), b = (tr(S)^2 + tr(S^2)) / n,
    d = |S - mu I|^2.
    """
    d = len(covariance)
    mean = np.trace(covariance) / d
    distance = float(((covariance - mean * np.eye(d)) ** 2).sum())
    error = float(np.trace(covariance) ** 2 + (covariance**2).sum()) / n
    share = min(1.0, error / distance) if distance > 0 else 1.0
    return np.asarray((1 - share) * covariance + share * mean * np.eye(d))
