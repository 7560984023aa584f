"""What a state of the chain says of the population: floors, counts, and how the sample's components share in signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.estimation.moments import Array, Indices
from service.estimation.posterior.chain import Problem, State
from service.estimation.posterior.exchangeable import shrunk
from service.estimation.posterior.frames import Frames

LEAST_VARIANCE = 1e-6  # of a standardised score: below it the model has cut the direction off
OBJECTIVES = 3  # ca, cp_x_to_y, cp_y_to_x, everywhere in this order


@dataclass(frozen=True)
class Geometry:
    """From the model's coordinates to those of the principal components."""

    root_x: Array | None  # (rx, dx), x = root_x x_model up to what was cut; None where they are the same
    root_y: Array | None
    read_x: Array | None  # (rx, dx), x_model = read_x^T x
    read_y: Array | None
    gain_x: Array | None  # the same from shrunken covariances, for gains of prediction
    gain_y: Array | None


@dataclass(frozen=True)
class SampleComponents:
    """Components of one sample spectrum: x (dx, c), y (dy, c) with value_i = x_i^T Sxy y_i."""

    x: Array
    y: Array
    values: Array  # (c,), descending
    by: str  # whose scores stand for the component: x, y, or both
    whitened: tuple[bool, bool] = (False, False)  # whether x_i and y_i give scores of unit variance


@dataclass(frozen=True)
class Draws:
    """Draws of the population's floors and counts for each objective, and means over the draws."""

    signal_floor: Array  # (n, 3), 0 without signal
    nuisance_floor: Array  # (n, 3), 0 without nuisance
    recovered: Array  # (n, 3), signal components above the nuisance floor
    signal_count: Array  # (n,)
    paired: int

    @property
    def log_ratios(self) -> Array:
        """(n, 3): -inf without signal, inf without nuisance."""
        with np.errstate(divide="ignore"):
            none = self.signal_count == 0
            ratios = np.where(none[:, None], 0.0, self.signal_floor) / np.where(
                (self.signal_count == self.paired)[:, None], 0.0, np.where(none[:, None], 1.0, self.nuisance_floor)
            )
            return np.asarray(np.log(ratios))


@dataclass
class Collected:
    """Sums over the states seen so far."""

    floors: list[Array]
    counts: list[Array]
    sizes: list[Array]
    shares: list[Array]  # per spectrum, sum over states
    couplings: list[Array]  # per spectrum, sum over states of x_i^T E[Sxy] y_i
    variances: list[tuple[Array, Array]]  # the same of x_i^T E[Sxx] x_i and y_i^T E[Syy] y_i
    states: int = 0  # of which components were looked at


def nothing(spectra: tuple[SampleComponents, ...]) -> Collected:
    """No state seen."""
    zeros = [np.zeros((4, len(s.values))) for s in spectra]
    return Collected([], [], [], [z[0] for z in zeros], [z[1] for z in zeros], [(z[2], z[3]) for z in zeros])


def collect(
    into: Collected,
    state: State,
    given: Problem,
    geometry: Geometry,
    covariances: tuple[Array, Array],
    spectra: tuple[SampleComponents, ...],
    size: int,
    generator: np.random.Generator,
) -> None:
    """Add what `state` says, with `size` draws of couplings and variances given its axes."""
    r = given.pairs.paired
    s = state.members.signal
    nuisance = np.setdiff1d(np.arange(r), s)
    correlations = np.tanh(_couplings(state, given, size, generator))
    phi = np.abs(correlations)
    strengths = [phi] if given.pairs.whitened else [phi, *_prediction_strengths(state, given, phi, generator)]
    floors = np.zeros((size, OBJECTIVES, 2))
    counts = np.zeros((size, OBJECTIVES))
    for place, strength in enumerate(strengths):
        floors[:, place], counts[:, place] = _floors(strength[:, s], strength[:, nuisance])
    if given.pairs.whitened:
        for place, (root, axes) in enumerate(((geometry.gain_y, state.frames.y), (geometry.gain_x, state.frames.x)), 1):
            assert root is not None  # noqa: S101  # nosec B101
            gains = root @ axes[:, :r]
            products = gains.T @ gains
            for draw in range(size):
                of_signal = _singular_values(products, phi[draw], s)
                of_nuisance = _singular_values(products, phi[draw], nuisance)[:1]
                floors[draw, place], counts[draw, place] = (
                    part[0] for part in _floors(of_signal[None], of_nuisance[None])
                )
    into.floors.append(floors)
    into.counts.append(counts)
    into.sizes.append(np.full(size, len(s)))
    if spectra:
        _add_components(into, state.frames, s, correlations.mean(axis=0), geometry, covariances, spectra)
        into.states += 1


def finished(collected: Collected, paired: int) -> Draws:
    """All draws."""
    floors = np.concatenate(collected.floors)
    return Draws(
        floors[..., 0], floors[..., 1], np.concatenate(collected.counts), np.concatenate(collected.sizes), paired
    )


def corrected_values(collected: Collected, spectra: tuple[SampleComponents, ...]) -> tuple[Array, ...]:
    """Per spectrum (c,): what the sample component's directions couple in the population, E[Sxy] for the sample's Sxy.

    A score that has unit variance in the sample has more in the population, which does not share its chance
    correlations; it is brought to unit variance there.
    """
    found = []
    for spectrum, couplings, variances in zip(spectra, collected.couplings, collected.variances, strict=True):
        value = couplings / collected.states
        for whitened, variance in zip(spectrum.whitened, variances, strict=True):
            if whitened:
                value = value / np.sqrt(np.maximum(variance / collected.states, LEAST_VARIANCE))
        found.append(value)
    return tuple(found)


def _couplings(state: State, given: Problem, size: int, generator: np.random.Generator) -> Array:
    z = state.frames.z
    drawn = np.empty((size, len(z)))
    weak, strong = state.members.split()
    classes = given.classes
    for members, prior in ((weak, classes.weak), (strong, classes.strong), (state.members.signal, classes.signal)):
        if len(members):
            drawn[:, members] = prior.draw_members(z[members], generator, size)
    return drawn


def _prediction_strengths(state: State, given: Problem, phi: Array, generator: np.random.Generator) -> list[Array]:
    """tau_i = phi_i sd(y_i) and phi_i sd(x_i), log variances drawn given the sample's, whose variance is 2 / n."""
    r = given.pairs.paired
    s = state.members.signal
    found = []
    for values, nuisance, of_signal in (
        (state.frames.b[:r], state.nuisance.y, state.signal_variances[1]),
        (state.frames.a[:r], state.nuisance.x, state.signal_variances[0]),
    ):
        mean, variance = np.full(r, nuisance[0]), np.full(r, nuisance[1] ** 2)
        mean[s], variance[s] = of_signal[0], of_signal[1] ** 2
        drawn = shrunk(values, 2 / given.pairs.n, mean, variance, generator, len(phi))
        found.append(phi * np.exp(0.5 * drawn))
    return found


def _floors(signal: Array, nuisance: Array) -> tuple[Array, Array]:
    """(n, 2) least signal and largest nuisance of (n, k) and (n, j), and how many signals exceed it (n,)."""
    floor = signal.min(axis=1) if signal.shape[1] else np.zeros(len(signal))
    ceiling = nuisance.max(axis=1) if nuisance.shape[1] else np.zeros(len(signal))
    return np.stack([floor, ceiling], axis=1), (signal > ceiling[:, None]).sum(axis=1)


def _singular_values(products: Array, phi: Array, members: Indices) -> Array:
    """Of the gains times phi, restricted to some components; descending."""
    part = products[np.ix_(members, members)] * np.outer(phi[members], phi[members])
    return np.asarray(np.sqrt(np.maximum(np.linalg.eigvalsh(part)[::-1], 0.0)))


def _add_components(
    into: Collected,
    frames: Frames,
    signal: Indices,
    correlations: Array,
    geometry: Geometry,
    covariances: tuple[Array, Array],
    spectra: tuple[SampleComponents, ...],
) -> None:
    """Shares: how much of a sample component's score is a function of the signal's scores (R^2, in the sample).

    Couplings and variances: what the sample component's directions covary, and vary, in the population.
    """
    r = len(correlations)
    coupling = correlations * np.exp(0.5 * (frames.a[:r] + frames.b[:r]))
    axes_x, axes_y = frames.x, frames.y
    root_x = axes_x if geometry.root_x is None else geometry.root_x @ axes_x
    root_y = axes_y if geometry.root_y is None else geometry.root_y @ axes_y
    read_x = axes_x if geometry.read_x is None else geometry.read_x @ axes_x
    read_y = axes_y if geometry.read_y is None else geometry.read_y @ axes_y
    variances_x, variances_y = np.exp(frames.a), np.exp(frames.b)
    for place, spectrum in enumerate(spectra):
        along_x, along_y = root_x.T @ spectrum.x, root_y.T @ spectrum.y
        into.couplings[place] += np.einsum("ij,i,ij->j", along_x[:r], coupling, along_y[:r])
        into.variances[place][0][:] += variances_x @ along_x**2
        into.variances[place][1][:] += variances_y @ along_y**2
        if not len(signal):
            continue
        sides = []
        if spectrum.by != "y":
            sides.append(_share(read_x[:, signal], spectrum.x, covariances[0]))
        if spectrum.by != "x":
            sides.append(_share(read_y[:, signal], spectrum.y, covariances[1]))
        into.shares[place] += np.mean(sides, axis=0)


def _share(signal: Array, directions: Array, covariance: Array) -> Array:
    """R^2 of scores along `directions` (d, c) on scores along `signal` (d, k)."""
    weighted = covariance @ signal
    between = weighted.T @ directions
    explained = (between * np.linalg.solve(signal.T @ weighted, between)).sum(axis=0)
    return np.asarray(explained / np.einsum("ij,ij->j", directions, covariance @ directions))
