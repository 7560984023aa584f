"""Simulation: a problem drawn from a spiked model, and what the objectives and the estimator make of the sample.

The estimator sees pairs in hidden bases.  The objectives do not depend on a modality's basis, nor on units where it is
whitened, and are solved where that does not hide the truth from rounding: in the model's own coordinates, divided by
their standard deviations in the population.  The target of a prediction keeps its units.
"""

from __future__ import annotations

import numpy as np

from service.estimation import inputs
from service.estimation.errors import InvalidModel
from service.estimation.estimate import estimate
from service.estimation.labels import LabelType, label_columns
from service.estimation.moments import Array, BlockSums
from service.estimation.objectives import (
    JointCovariance,
    Triplets,
    alignment_triplets,
    prediction_triplets,
    sample_covariance,
    subspace_distance,
)
from service.estimation.options import Options
from service.estimation.separation import regime_of, separation, without_ties
from service.estimation.separation_records import Regimes, Separation, Separations
from service.estimation.simulation_records import (
    SampledObjective,
    SampledObjectives,
    SimulatedEstimate,
    Simulation,
    SubspaceDistance,
)
from service.estimation.spiked_model import SpikedModel, model_separation
from service.estimation.spiked_sample import Pairs, draw_chunks, draw_labels, own_bases, random_bases
from service.estimation.stages import Progress, silent
from service.estimation.terms import Direction

MAX_PAIRS = 100_000
MAX_ESTIMATED_VALUES = 20_000_000  # n (dx + dy) where the estimator is asked, which holds them all: 160 MB
SMALL_VALUES = 2_000_000  # n (dx + dy) of a simulation that a caller can wait for
SMALL_FEATURES = 128  # of either modality, likewise
RECOVERED_SHARE = 0.5  # of a direction's squared length: above it the direction is closer to the signal's subspace
SAMPLE_TIE = 1e-9  # relative: correlations that are 1 because pairs are few differ by rounding alone
LABEL_NOISE = 0.5  # standard deviation of a label's noise; that of its signal is 1
SAMPLED = 0.8  # fraction of a simulation without the estimator that is done when all pairs are drawn
BEFORE_ESTIMATE = 0.3  # fraction of a simulation with it that is done when it is asked


def is_small(model: SpikedModel, n_pairs: int, *, estimated: bool) -> bool:
    """Whether a simulation is computed while its caller waits: the estimator is not asked, and features and pairs are
    so few that it takes well under half a second where nothing else is computed at the time.
    """
    return (
        not estimated and max(model.dx, model.dy) <= SMALL_FEATURES and n_pairs * (model.dx + model.dy) <= SMALL_VALUES
    )


def check_simulation(
    model: SpikedModel, n_pairs: int, seed: int, n_labeled: int | None = None, options: Options | None = None
) -> None:
    """Refuse what `simulate` would refuse, before anything is drawn.  Raises InvalidModel, InvalidOption."""
    least = max(inputs.MIN_PAIRS, model.k + 1)
    if not least <= n_pairs <= MAX_PAIRS:
        raise InvalidModel(f"n_pairs is {n_pairs}. Use a whole number from {least} to {MAX_PAIRS}.", part="model")
    low, high = inputs.SEED_BOUNDS
    if not low <= seed <= high:
        raise InvalidModel(f"seed is {seed}. Use a whole number from {low} to {high}.", part="model")
    if n_labeled is None:
        if options is not None:
            raise InvalidModel(
                "There are options for the estimator, but n_labeled is not given, without which it is not asked. Give "
                "n_labeled, or leave out the options.",
                part="model",
            )
        return
    if not inputs.MIN_LABELED_ROWS <= n_labeled <= n_pairs:
        raise InvalidModel(
            f"n_labeled is {n_labeled}. Use a whole number from {inputs.MIN_LABELED_ROWS} to n_pairs, {n_pairs}.",
            part="model",
        )
    if n_pairs * (model.dx + model.dy) > MAX_ESTIMATED_VALUES:
        raise InvalidModel(
            f"{n_pairs} pairs of {model.dx} + {model.dy} features are more than {MAX_ESTIMATED_VALUES} values, the "
            "limit where the estimator is asked. Use fewer pairs or features, or leave out n_labeled.",
            part="model",
        )
    if options is not None:
        inputs.check_options(options)


def simulate(
    model: SpikedModel,
    n_pairs: int,
    seed: int,
    *,
    n_labeled: int | None = None,
    options: Options | None = None,
    progress: Progress = silent,
) -> Simulation:
    """Draw pairs of the model in hidden bases, solve every objective on them, and hold the solutions against the truth.

    Arguments:
        n_pairs: pairs to draw, MIN_PAIRS to MAX_PAIRS, and more than the model has signal coordinates.
        seed: of the bases, the pairs and the labels; the same seed and model give the same simulation.
        n_labeled: rows that get noisy labels of the signal, which the estimator is then asked about; None for neither.
        options: of the estimator; its defaults where None.
        progress: called with a stage's name and the fraction done before it.

    Memory: the moments of x and y, and a chunk of rows; all n (dx + dy) values where the estimator is asked.

    Raises: InvalidModel, InvalidOption for what cannot be simulated; NumericalFailure.
    """
    check_simulation(model, n_pairs, seed, n_labeled, options)
    deviations = np.sqrt(model.variances_x), np.sqrt(model.variances_y)
    bases = random_bases(model, seed)
    kept = None
    share = 1.0
    if n_labeled is not None:
        kept = Pairs(*(np.empty((n_pairs, width)) for width in (model.dx, model.dy, model.k)))
        share = BEFORE_ESTIMATE
    sums = BlockSums(1, model.dx, model.dy)
    drawn = 0
    for chunk in draw_chunks(model, own_bases(model), n_pairs, seed):
        progress("sample", share * SAMPLED * drawn / n_pairs)
        sums.add(np.zeros(len(chunk.x), dtype=np.int64), chunk.x / deviations[0], chunk.y / deviations[1])
        rows = slice(drawn, drawn + len(chunk.x))
        if kept is not None:
            kept.x[rows], kept.y[rows], kept.signal[rows] = chunk.x @ bases.x.T, chunk.y @ bases.y.T, chunk.signal
        drawn = rows.stop

    progress("solve", share * SAMPLED)
    objectives = _solve(sample_covariance(sums.finish()), *deviations, model.k)
    found = Separations(
        ca=_separation(objectives.ca, model.k),
        cp_x_to_y=_separation(objectives.cp_x_to_y, model.k),
        cp_y_to_x=_separation(objectives.cp_y_to_x, model.k),
    )
    answer = None
    if kept is not None and n_labeled is not None:
        answer = _ask(kept, n_labeled, seed, options or Options(), progress)
    progress("done", 1.0)
    return Simulation(
        n_pairs=n_pairs,
        seed=seed,
        truth=model_separation(model),
        objectives=objectives,
        separation=found,
        regimes=Regimes(x_to_y=regime_of(found.ca, found.cp_x_to_y), y_to_x=regime_of(found.ca, found.cp_y_to_x)),
        estimate=answer,
    )


def _solve(standard: JointCovariance, deviations_x: Array, deviations_y: Array, k: int) -> SampledObjectives:
    """Every objective, from covariances of the model's own coordinates divided by `deviations_x`, `deviations_y`."""
    y_in_units = JointCovariance(
        standard.x, deviations_y[:, None] * standard.y * deviations_y, standard.cross * deviations_y
    )
    x_in_units = JointCovariance(
        deviations_x[:, None] * standard.x * deviations_x, standard.y, deviations_x[:, None] * standard.cross
    )
    return SampledObjectives(
        ca=_sampled(alignment_triplets(standard), k),
        cp_x_to_y=_sampled(prediction_triplets(y_in_units, Direction.X_TO_Y), k),
        cp_y_to_x=_sampled(prediction_triplets(x_in_units, Direction.Y_TO_X), k),
    )


def _sampled(triplets: Triplets, k: int) -> SampledObjective:
    """One objective, whose singular vectors are held against the signal: the first k coordinates."""
    overlaps = [np.square(vectors[:k]).sum(axis=0) for vectors in (triplets.x, triplets.y)]
    distance = SubspaceDistance(
        *(subspace_distance(vectors[:, :k], np.eye(len(vectors), k)) for vectors in (triplets.x, triplets.y))
    )
    recovered = None
    if distance.x is not None and distance.y is not None:
        recovered = 1 - max(distance.x, distance.y) ** 2 > RECOVERED_SHARE
    return SampledObjective(
        singular_values=tuple(triplets.values.tolist()),
        signal_overlap=tuple(np.minimum(np.mean(overlaps, axis=0), 1.0).tolist()),
        distance=distance,
        recovered=recovered,
    )


def _separation(sampled: SampledObjective, k: int) -> Separation:
    """The separation when the k components that overlap most with the signal are signal, earlier ones on a tie."""
    nearest = np.argsort(-np.array(sampled.signal_overlap), kind="stable")[:k]
    signal = np.zeros(len(sampled.singular_values), dtype=np.bool_)
    signal[nearest] = True
    return separation(without_ties(np.array(sampled.singular_values), signal, SAMPLE_TIE), signal)


def _ask(pairs: Pairs, n_labeled: int, seed: int, options: Options, progress: Progress) -> SimulatedEstimate:
    """What the estimator says of pairs of which `n_labeled` carry labels."""
    rows, labels = draw_labels(pairs.signal, n_labeled, LABEL_NOISE, seed)
    report = estimate(
        pairs.x,
        pairs.y,
        label_columns(labels, LabelType.NUMERIC),
        rows,
        options,
        lambda stage, fraction: progress(f"estimate: {stage}", BEFORE_ESTIMATE + (1 - BEFORE_ESTIMATE) * fraction),
    )
    return SimulatedEstimate(
        n_labeled=n_labeled,
        options=options,
        regime=report.regime,
        regimes=report.regimes,
        conclusive=report.conclusive,
        regime_probabilities=report.regime_probabilities,
        recovery_probability=report.recovery_probability,
        separation=report.separation,
    )
