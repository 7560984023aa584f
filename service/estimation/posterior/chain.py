"""One Markov chain over axes and membership: Hamiltonian moves of the axes, then moves of what is signal.

The chain starts at the axes that fit best, hot and with a strict prior on the number of signal components, and cools
during its warm-up; what is found then is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.estimation.moments import Array
from service.estimation.posterior.background import LOG_PRIOR, STRENGTHS, with_backgrounds
from service.estimation.posterior.births import birth_or_death
from service.estimation.posterior.exchangeable import Exchangeable, class_group, exchangeable, stack
from service.estimation.posterior.flips import flip
from service.estimation.posterior.frames import (
    Frames,
    Target,
    Variances,
    curvature,
    hamiltonian_move,
    measured,
)
from service.estimation.posterior.labels import Loading, ScoreProducts, label_term, log_likelihood, score_products
from service.estimation.posterior.membership import (
    STRONG_ODDS,
    WEAK_ODDS,
    Classes,
    Membership,
    NuisanceVariances,
    Setting,
    log_size_prior,
)
from service.estimation.posterior.moments import LabelMoments, PairMoments

# Priors of couplings, in Fisher's z: of nuisance that is mostly weak, and of signal and nuisance that stand out.
WEAK_CENTRE, WEAK_WIDTH2, WIDEST_WEAK = 0.3, 0.36, 0.9
STRONG_CENTRE, STRONG_WIDTH2 = 0.8, 0.49
STRONG_SPREADS, STRONG_WEIGHTS = np.array([0.03, 0.08, 0.2, 0.4, 0.8]), np.array([0.1, 0.2, 0.35, 0.25, 0.1])
VARIANCE_SPREADS = np.array([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0])
SPREAD_SHAPE, SPREAD_SCALE = 2.0, 0.18  # inverse gamma prior of nuisance's squared spread of log variances
SPREAD_LIMITS = (0.05, 3.0)
SLABS = np.geomspace(0.01, 1.6, 7)
ANGLES = np.linspace(0.0, np.pi / 2, 5)

HEAT, HOT_SHARE = 0.3, 0.6  # share of the pairs that counts at first; share of the warm-up until all count
STRICTNESS = 4.0  # extra rate of the prior on the number of signal components at first, gone after half the warm-up
FIRST_STEP, LARGEST_STEP = 0.1, 0.6
ACCEPTANCE, ADAPTATION = 0.75, 0.3
FLIPS = 1  # single flips tried whenever membership is redrawn
BIRTHS = 1  # attempts at a birth or death whenever membership is redrawn
PATH, MOST_LEAPS = 1.2, 6  # length of a trajectory in units of the posterior's spread, and its most steps


@dataclass
class State:
    """Where the chain is."""

    frames: Frames
    members: Membership
    nuisance: NuisanceVariances
    signal_variances: tuple[tuple[float, float], tuple[float, float]]  # mean and spread, x and y
    loading: Loading
    products: tuple[ScoreProducts, ...]
    background: int = 0  # place of the background's strength among background.STRENGTHS


@dataclass(frozen=True)
class Problem:
    """What the chain is run on."""

    pairs: PairMoments
    labels: Sequence[Sequence[LabelMoments]]  # under every strength of the background
    classes: Classes


def problem(pairs: PairMoments, labels: Sequence[LabelMoments]) -> Problem:
    """The moments with the priors that go with them."""
    noise = 1 / pairs.n
    weak = np.geomspace(0.6 * np.sqrt(noise), WIDEST_WEAK, 7)
    strong = exchangeable(STRONG_SPREADS, STRONG_WEIGHTS, STRONG_CENTRE, STRONG_WIDTH2, noise)
    variance_x, variance_y = (_variance_prior(matrix) for matrix in (pairs.sxx, pairs.syy))
    weakly = exchangeable(weak, np.ones(len(weak)), WEAK_CENTRE, WEAK_WIDTH2, noise)
    classes = Classes(
        weak=weakly,
        strong=strong,
        signal=strong,
        variance_x=variance_x,
        variance_y=variance_y,
        couplings=stack((weakly, strong, strong)),
        signal_only=stack((variance_x, variance_y)),
    )
    return Problem(pairs, with_backgrounds(labels, pairs), classes)


def _variance_prior(covariance: Array) -> Exchangeable:
    logs = np.log(np.linalg.eigvalsh(covariance))
    return exchangeable(
        VARIANCE_SPREADS, np.ones(len(VARIANCE_SPREADS)), float(logs.mean()), float(logs.var()) + 0.5, 0.0
    )


class Chain:
    """A chain from given axes; `advance` moves it, `state` says where it is."""

    def __init__(self, given: Problem, x: Array, y: Array, generator: np.random.Generator) -> None:
        r = given.pairs.paired
        frames = measured(given.pairs, x, y)
        centre_x, centre_y = given.classes.variance_x, given.classes.variance_y
        wide = ((centre_x.centre, centre_x.width2**0.5), (centre_y.centre, centre_y.width2**0.5))
        self._given = given
        self._generator = generator
        self._size_prior = log_size_prior(r)
        self._step = FIRST_STEP
        self._accepted: list[float] = []
        self._shape = curvature(frames, given.pairs.n)
        self.state = State(
            frames=frames,
            members=Membership(np.zeros(0, dtype=np.int64), np.zeros(r, dtype=bool)),
            nuisance=NuisanceVariances(*wide),
            signal_variances=wide,
            loading=Loading(slab=float(SLABS[3]), psi=float(ANGLES[2])),
            products=(),
        )
        self._redraw_parameters()

    def warm_up(self, iterations: int, tell: Callable[[float], None] = lambda fraction: None) -> None:
        """Cool from a hot start, adapting the step; the chain is then fixed."""
        quarters = {iterations // 4, iterations // 2, 3 * iterations // 4}
        sizes = np.arange(len(self._size_prior))
        for t in range(iterations):
            if t in quarters:
                self._shape = curvature(self.state.frames, self._given.pairs.n)
            strictness = STRICTNESS * max(0.0, 1 - 2 * t / iterations)
            heat = min(1.0, HEAT + (1 - HEAT) * t / (HOT_SHARE * iterations))
            accepted = self._iterate(t, heat, self._size_prior - strictness * sizes)
            self._step = min(LARGEST_STEP, self._step * float(np.exp(ADAPTATION * (accepted - ACCEPTANCE))))
            tell((t + 1) / iterations)
        self._shape = curvature(self.state.frames, self._given.pairs.n)

    def advance(self, t: int) -> State:
        """One iteration; `t` numbers them."""
        self._accepted.append(self._iterate(t, 1.0, self._size_prior))
        return self.state

    @property
    def acceptance(self) -> float:
        """Mean acceptance of the moves after warm-up."""
        return float(np.mean(self._accepted))

    def _iterate(self, t: int, heat: float, size_prior: Array) -> float:
        state, generator = self.state, self._generator
        step = self._step * generator.uniform(0.8, 1.2)
        leaps = int(min(MOST_LEAPS, max(2, np.ceil(PATH / step))))
        x, y, accepted = hamiltonian_move(self._target(heat), state.frames, self._shape, step, leaps, generator)
        state.frames = measured(self._given.pairs, x, y)
        if t % 2 == 0:
            self._redraw_membership(size_prior)
        else:
            self._redraw_parameters()
        return accepted

    def _target(self, heat: float) -> Target:
        given, state = self._given, self.state
        weak, strong = state.members.split()
        s = state.members.signal
        term = None
        if len(s):
            scale_x, scale_y = np.exp(-0.5 * state.frames.a[s]), np.exp(-0.5 * state.frames.b[s])
            term = label_term(given.labels[state.background], s, scale_x, scale_y, state.loading)
        classes = given.classes
        return Target(
            pairs=given.pairs,
            n=given.pairs.n * heat,
            classes=class_group(classes.couplings, (weak, strong, s), given.pairs.paired),
            variances=_variances(state, given.pairs.sxy.shape),
            labels=term,
        )

    def _redraw_parameters(self) -> None:
        """Means and spreads of log variances, and which nuisance stands out, given axes and membership."""
        state, generator = self.state, self._generator
        s = state.members.signal
        classes = self._given.classes
        if not self._given.pairs.whitened:
            nuisance, signal = [], []
            for values, prior, last, last_signal in (
                (state.frames.a, classes.variance_x, state.nuisance.x, state.signal_variances[0]),
                (state.frames.b, classes.variance_y, state.nuisance.y, state.signal_variances[1]),
            ):
                nuisance.append(_redrawn(np.delete(values, s), prior, last[1], generator))
                signal.append(_redrawn(values[s], prior, last_signal[1], generator))
            state.nuisance = NuisanceVariances(*nuisance)
            state.signal_variances = (signal[0], signal[1])
        state.members = replace(state.members, strong=self._redrawn_strong())

    def _redrawn_strong(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        members, z, generator = self.state.members, self.state.frames.z, self._generator
        weak, strong = members.split()
        classes = self._given.classes
        flags = members.strong.copy()
        nuisance = np.sort(np.r_[weak, strong])
        if not len(nuisance):
            return flags
        share = generator.beta(STRONG_ODDS + len(strong), WEAK_ODDS + len(weak))
        logs = []
        for prior, inside, mass in ((classes.weak, weak, 1 - share), (classes.strong, strong, share)):
            mu, spread = prior.draw_parameters(z[inside], generator, 1)
            variance = spread[0] ** 2 + prior.noise
            logs.append(np.log(mass) - 0.5 * (z[nuisance] - mu[0]) ** 2 / variance - 0.5 * np.log(variance))
        odds = np.clip(logs[0] - logs[1], -50.0, 50.0)
        flags[nuisance] = generator.random(len(nuisance)) < 1 / (1 + np.exp(odds))
        return flags

    def _redraw_membership(self, size_prior: Array) -> None:
        state, given, generator = self.state, self._given, self._generator
        frames = state.frames
        products = self._products(state.background)
        nuisance = None if given.pairs.whitened else state.nuisance
        setting = Setting(given.classes, nuisance, state.loading, size_prior)
        members = flip(state.members, frames, products, setting, FLIPS, generator)
        for _ in range(BIRTHS):
            members, frames, products = birth_or_death(members, frames, products, given.pairs, setting, generator)
        state.members, state.frames, state.products = members, frames, products
        if len(members.signal):
            state.loading = self._redrawn_loading(products)
        self._redraw_background()

    def _products(self, background: int) -> tuple[ScoreProducts, ...]:
        frames, r = self.state.frames, self._given.pairs.paired
        labels = self._given.labels[background]
        return score_products(labels, frames.x[:, :r], frames.y[:, :r], frames.a[:r], frames.b[:r])

    def _redraw_background(self) -> None:
        """The background's strength, by a step to a neighbour on its grid."""
        state, generator = self.state, self._generator
        place = state.background + (1 if generator.random() < 0.5 else -1)
        if not 0 <= place < len(STRENGTHS):
            return
        proposed = self._products(place)
        s, loading = state.members.signal, state.loading
        gain = log_likelihood(proposed, s, loading) - log_likelihood(state.products, s, loading)
        gain += LOG_PRIOR[place] - LOG_PRIOR[state.background]
        if np.log(generator.random()) < gain:
            state.background, state.products = place, proposed

    def _redrawn_loading(self, products: Sequence[ScoreProducts]) -> Loading:
        """Slab and angle, each by a step to a neighbour on its grid."""
        state, generator = self.state, self._generator
        loading = state.loading
        now = log_likelihood(products, state.members.signal, loading)
        for name, grid in (("slab", SLABS), ("psi", ANGLES)):
            place = int(np.abs(grid - getattr(loading, name)).argmin()) + (1 if generator.random() < 0.5 else -1)
            if not 0 <= place < len(grid):
                continue
            proposed = replace(loading, **{name: float(grid[place])})
            there = log_likelihood(products, state.members.signal, proposed)
            if np.log(generator.random()) < there - now:
                loading, now = proposed, there
        return loading


def _variances(state: State, shape: tuple[int, ...]) -> Variances:
    dx = shape[0]
    mean, root = np.empty(sum(shape)), np.empty(sum(shape))
    s = state.members.signal
    for side, offset, nuisance, of_signal in (
        (slice(dx), 0, state.nuisance.x, state.signal_variances[0]),
        (slice(dx, None), dx, state.nuisance.y, state.signal_variances[1]),
    ):
        mean[side], root[side] = nuisance[0], 1 / nuisance[1]
        mean[s + offset], root[s + offset] = of_signal[0], 1 / of_signal[1]
    return Variances(mean, root)


def _redrawn(values: Array, prior: Exchangeable, spread: float, generator: np.random.Generator) -> tuple[float, float]:
    """Mean and spread of a class of log variances: Gibbs steps given its members and the last spread."""
    variance = 1 / (len(values) / spread**2 + 1 / prior.width2)
    mean = variance * (values.sum() / spread**2 + prior.centre / prior.width2)
    mean += np.sqrt(variance) * generator.standard_normal()
    scale = SPREAD_SCALE + 0.5 * ((values - mean) ** 2).sum()
    squared = scale / generator.gamma(SPREAD_SHAPE + 0.5 * len(values))
    return float(mean), float(np.clip(np.sqrt(squared), *SPREAD_LIMITS))
