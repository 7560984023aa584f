"""The report of the calibrated estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from service.estimation import calibrated_components, inputs
from service.estimation.calibrated import CalibratedEstimate, estimate_posterior
from service.estimation.calibrated_recommendation import recommend_calibrated
from service.estimation.calibration import direction_probability
from service.estimation.data_records import DataSummary
from service.estimation.errors import NumericalFailure
from service.estimation.evidence import pairing_not_better_than_shuffled
from service.estimation.extrapolation import OBJECTIVES, what_would_settle
from service.estimation.labels import LabelColumn
from service.estimation.material import material_of
from service.estimation.moments import Indices, assign_blocks, block_moments, without
from service.estimation.options import Options
from service.estimation.phase_point import Classified, phase_point
from service.estimation.preflight import preflight
from service.estimation.preparation import Prepared, prepare
from service.estimation.provenance import provenance
from service.estimation.reference import SEEDS
from service.estimation.rehearsal import rehearse
from service.estimation.rehearsal_records import Rehearsal
from service.estimation.rehearsal_verdicts import contradictions
from service.estimation.report import SCHEMA_VERSION, Evidence, ModelFit, Report
from service.estimation.report_warning import ReportWarning
from service.estimation.separation_records import (
    FloorComponent,
    Interval,
    RecoveryProbability,
    Regimes,
    Separation,
    Separations,
    WouldSettle,
)
from service.estimation.spectrum_records import Component, PhasePoint, Spectra
from service.estimation.stages import Stages
from service.estimation.summaries import covariate_summaries, label_summaries
from service.estimation.terms import ComponentClass, Direction, PairModel, RatioStatus, Regime, Verdict
from service.estimation.verdicts import (
    SURE,
    most_probable,
    probability_of,
    recovery_probability,
    regime_probabilities,
    verdict,
)

FOLDS = 5  # of the rehearsal
FRACTIONS = {"survey": 0.02, "reduce": 0.1}  # of the work done before each pass
HARDLY_SHARED = 0.2  # canonical correlation of a signal component below which it is hardly shared
SAMPLING = (0.25, 0.6)  # the same before and after the draws


def calibrated_report(
    x: NDArray[Any],
    y: NDArray[Any],
    labels: Sequence[LabelColumn],
    rows: NDArray[Any] | None,
    options: Options,
    stages: Stages,
    *,
    groups: NDArray[Any] | None = None,
    covariates: Sequence[LabelColumn] = (),
) -> Report:
    """Run the calibrated estimate and say what it found; arguments as `estimate` takes them.

    It computes with one BLAS thread: draws hang on every digit, and must not hang on the number of threads.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        try:
            return _report(x, y, labels, rows, options, stages, groups, covariates)
        except np.linalg.LinAlgError as error:
            raise NumericalFailure(
                "A factorisation of the features did not converge. Look for columns of very different scale, "
                "standardize them, and try again."
            ) from error


def _report(
    x: NDArray[Any],
    y: NDArray[Any],
    labels: Sequence[LabelColumn],
    rows: NDArray[Any] | None,
    options: Options,
    stages: Stages,
    groups: NDArray[Any] | None,
    covariates: Sequence[LabelColumn],
) -> Report:
    stages.begin("check", 0.0)
    prepared = prepare(
        x,
        y,
        labels,
        rows,
        options,
        groups=groups,
        covariates=covariates,
        stage=lambda name: stages.begin(name, FRACTIONS[name]),
    )
    material = material_of(prepared)
    begun, ended = SAMPLING
    stages.begin("estimate", begun)
    found = estimate_posterior(
        material,
        alpha=options.alpha,
        level=options.interval_level,
        n_components=options.n_components,
        seed=options.seed,
        tell=lambda fraction: stages.advance(begun + (ended - begun) * fraction),
    )
    stages.begin("extrapolate", ended)
    settle = what_would_settle(
        material,
        found,
        n_pairs=prepared.survey.n_pairs,
        n_labeled=len(prepared.labeled),
        seed=options.seed,
    )
    stages.begin("classify", 0.8)
    spectra = calibrated_components.spectra(prepared, material, found, options.seed)
    recovery = recovery_probability(found.probabilities)
    separations = _separations(found, spectra, recovery, settle, options.interval_level)
    stages.begin("rehearse", 0.85)
    rehearsal = _rehearsal(prepared, options, separations.ca.signal_count)

    stages.begin("report", 0.97)
    probabilities = regime_probabilities(found.probabilities)
    regimes = Regimes(x_to_y=most_probable(probabilities.x_to_y), y_to_x=most_probable(probabilities.y_to_x))
    direction, sure_of_direction = _direction(found, recovery)
    evidence = _evidence(found)
    warnings = preflight(prepared, beside=tuple(_warnings(found, evidence, separations, rehearsal, options.alpha)))
    return Report(
        schema_version=SCHEMA_VERSION,
        method=options.method,
        regime=regimes.x_to_y,
        regimes=regimes,
        conclusive=max(probability_of(probabilities.x_to_y, regime) for regime in Regime) >= SURE,
        regime_probabilities=probabilities,
        recovery_probability=recovery,
        direction=direction,
        direction_probability=sure_of_direction,
        recommendation=recommend_calibrated(
            separations,
            recovery,
            float(found.probabilities[0, 0, 0]),
            direction,
            sure_of_direction,
            evidence,
            rehearsal,
        ),
        separation=separations,
        evidence=evidence,
        model=ModelFit(
            kind=PairModel.SPIKED if found.posterior.spiked else PairModel.GENERAL,
            misfit=found.posterior.misfit,
            effective_pairs=found.worth.n_pairs,
            effective_labels=found.worth.n_labeled,
            crowding=found.posterior.crowding,
            acceptance=found.posterior.acceptance,
        ),
        rehearsal=rehearsal,
        phase_point=_phase_point(spectra),
        rules=None,
        spectra=spectra,
        data=DataSummary(
            n_pairs=len(x),
            n_labeled=len(prepared.labeled),
            n_pairs_used=prepared.survey.n_pairs,
            n_missing_x=int(prepared.survey.x.n_missing.sum()),
            n_missing_y=int(prepared.survey.y.n_missing.sum()),
            n_features_x=x.shape[1],
            n_features_y=y.shape[1],
            n_reduced_x=prepared.basis_x.n_components,
            n_reduced_y=prepared.basis_y.n_components,
            labels=label_summaries(prepared.columns),
            n_groups=None if groups is None else len(np.unique(groups)),
            covariates=covariate_summaries(covariates),
        ),
        warnings=warnings,
        provenance=provenance(
            x,
            y,
            labels,
            inputs.check_form(x, y, inputs.label_count(labels), rows),
            options,
            SEEDS,
            groups=groups,
            covariates=covariates,
        ),
        timings=stages.finish(),
    )


def _separations(
    found: CalibratedEstimate,
    spectra: Spectra,
    recovery: RecoveryProbability,
    settle: dict[str, WouldSettle | None],
    level: float,
) -> Separations:
    return Separations(
        **{
            name: _separation(found, place, name, getattr(spectra, name), getattr(recovery, name), settle[name], level)
            for place, name in enumerate(OBJECTIVES)
        }
    )


def _separation(
    found: CalibratedEstimate,
    place: int,
    name: str,
    components: Sequence[Component],
    recovery: float,
    settle: WouldSettle | None,
    level: float,
) -> Separation:
    draws = found.posterior.draws
    unit = calibrated_components.value_units(name, found.units)
    low, median, high = found.log_intervals[place]
    some = draws.signal_count > 0
    nuisance = draws.nuisance_floor[:, place]
    if not found.claimed:
        status = RatioStatus.NO_SIGNAL
    elif np.isfinite(draws.log_ratios[:, place][some]).mean() >= 0.5:
        status = RatioStatus.OK
    else:
        status = RatioStatus.NO_NUISANCE
    interval = None
    if status is not RatioStatus.NO_NUISANCE:
        interval = Interval(
            low=float(np.exp(low)) if found.claimed else 0.0,
            high=float(np.exp(high)) if np.isfinite(high) else None,
            level=level,
        )
    return Separation(
        ratio=float(np.exp(median)) if status is RatioStatus.OK else None,
        status=status,
        interval=interval,
        verdict=verdict(recovery),
        would_settle=settle,
        signal_floor=float(np.median(draws.signal_floor[some, place])) * unit if found.claimed else None,
        nuisance_floor=float(np.median(nuisance)) * unit if status is not RatioStatus.NO_NUISANCE else None,
        floor_component=_floor_component(components),
        signal_count=int(np.bincount(draws.signal_count[some].astype(int)).argmax()) if found.claimed else 0,
        recovered_count=round(float(np.median(draws.recovered[some, place]))) if found.claimed else 0,
    )


def _floor_component(components: Sequence[Component]) -> FloorComponent | None:
    floor = next((component for component in components if component.class_ is ComponentClass.NUISANCE), None)
    if floor is None:
        return None
    covariate = max(floor.covariates, key=lambda name: floor.covariates[name], default=None)
    return FloorComponent(floor.index, covariate, None if covariate is None else floor.covariates[covariate])


def _direction(found: CalibratedEstimate, recovery: RecoveryProbability) -> tuple[Direction | None, float | None]:
    """The better way to predict, where any way probably recovers the signal."""
    if max(recovery.cp_x_to_y, recovery.cp_y_to_x) < 0.5 or not found.claimed:
        return None, None
    log_ratios = found.posterior.draws.log_ratios
    forward = direction_probability(log_ratios[:, 1], log_ratios[:, 2], found.circumstances)
    if forward >= 0.5:
        return Direction.X_TO_Y, forward
    return Direction.Y_TO_X, 1 - forward


def _evidence(found: CalibratedEstimate) -> Evidence:
    return Evidence(
        signal_claimed=found.claimed,
        coupling_p_value=found.coupling.p_value,
        held_out_correlation=found.coupling.held_out_correlation,
        labels_p_value=found.labels.p_value,
        labels_p_value_x=found.labels.p_x,
        labels_p_value_y=found.labels.p_y,
    )


def _rehearsal(prepared: Prepared, options: Options, signal_count: int) -> Rehearsal:
    """Rehearse at the planned dimension of the embedding and at the signal count."""
    reduction, blocks = prepared.reduction, prepared.blocks
    n_blocks = len(reduction.moments.counts)
    labeled_blocks = blocks[prepared.labeled]
    unlabeled = without(
        reduction.moments, block_moments(reduction.labeled_x, reduction.labeled_y, labeled_blocks, n_blocks)
    )
    folds, unlabeled_folds = _rehearsal_folds(prepared, labeled_blocks, n_blocks, options.seed)
    dims = {max(1, signal_count)} | ({options.embedding_dim} if options.embedding_dim is not None else set())
    return rehearse(
        unlabeled,
        unlabeled_folds,
        reduction.labeled_x,
        reduction.labeled_y,
        folds,
        prepared.columns,
        sorted(dims),
        prepared.labeled_groups,
    )


def _rehearsal_folds(prepared: Prepared, labeled_blocks: Indices, n_blocks: int, seed: int) -> tuple[Indices, Indices]:
    """Folds (m,) of the labeled rows, and (B,) of the blocks whose groups they share; -1 for none."""
    if prepared.groups is None:
        return assign_blocks(len(labeled_blocks), None, FOLDS, seed), np.full(n_blocks, -1)
    used, folds = np.unique(labeled_blocks % FOLDS, return_inverse=True)
    of_blocks = np.arange(n_blocks) % FOLDS
    places = np.minimum(np.searchsorted(used, of_blocks), len(used) - 1)
    return folds, np.where(used[places] == of_blocks, places, -1)


def _warnings(
    found: CalibratedEstimate,
    evidence: Evidence,
    separations: Separations,
    rehearsal: Rehearsal,
    alpha: float,
) -> Iterator[ReportWarning]:
    yield from pairing_not_better_than_shuffled(found.coupling)
    if evidence.labels_p_value > alpha >= evidence.coupling_p_value:
        yield ReportWarning(
            "labels_not_associated",
            f"The labels do not go with anything that x and y share (p = {evidence.labels_p_value_x:.2g} in x, "
            f"{evidence.labels_p_value_y:.2g} in y; both must be at most {alpha:g}): no signal is claimed. Check that "
            "labels and rows belong together; if they do, label more rows, or choose labels of what both modalities "
            "see.",
        )
    yield from _hardly_shared(separations.ca)
    if found.circumstances.one_target and found.claimed:
        yield ReportWarning(
            "one_label_target",
            "A single numeric or two-class label shows one direction of the signal and no more: further signal "
            "components are told from nuisance by their strength alone. Send one label column for every factor that "
            "must survive.",
        )
    said = {Verdict.RECOVERS: True, Verdict.DOES_NOT_RECOVER: False, Verdict.UNDETERMINED: None}
    claims = [said[getattr(separations, name).verdict] for name in OBJECTIVES]
    for sentence in contradictions(rehearsal, max(1, separations.ca.signal_count), *claims):
        yield ReportWarning("rehearsal_contradicts", sentence)


def _hardly_shared(ca: Separation) -> Iterator[ReportWarning]:
    if ca.signal_floor is not None and ca.signal_floor < HARDLY_SHARED:
        yield ReportWarning(
            "signal_hardly_shared",
            f"The weakest of {ca.signal_count} signal components is coupled at only {ca.signal_floor:.2g}: the labels "
            "depend on something that one modality hardly sees, which no cross-modal objective can recover. Alignment "
            f"recovers {ca.recovered_count} of them; if these are enough for you, choose labels that depend on them "
            "alone.",
        )


def _phase_point(spectra: Spectra) -> PhasePoint:
    """Model coordinates from corrected values; those of a modality's own components need no correction."""
    return phase_point(*(_classified(getattr(spectra, name)) for name in ("ca", "pls", "pca_x", "pca_y")))


def _classified(components: Sequence[Component]) -> Classified:
    values = [c.singular_value if c.corrected_value is None else c.corrected_value for c in components]
    return Classified(
        np.array(values), np.array([component.class_ is ComponentClass.SIGNAL for component in components])
    )
