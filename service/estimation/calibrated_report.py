"""The report of the calibrated estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from service.estimation import calibrated_components, inputs
from service.estimation.calibrated import CalibratedEstimate, estimate_posterior
from service.estimation.calibrated_recommendation import recommend_calibrated
from service.estimation.calibrated_rehearsal import calibrated_rehearsal
from service.estimation.calibrated_separations import calibrated_separations
from service.estimation.calibrated_warnings import calibrated_warnings
from service.estimation.calibration import direction_probability
from service.estimation.data_records import DataSummary
from service.estimation.errors import NumericalFailure
from service.estimation.extrapolation import what_would_settle
from service.estimation.labels import LabelColumn
from service.estimation.material import material_of
from service.estimation.options import Options
from service.estimation.phase_point import Classified, phase_point
from service.estimation.preflight import preflight
from service.estimation.preparation import prepare
from service.estimation.provenance import provenance
from service.estimation.report import SCHEMA_VERSION, Evidence, ModelFit, Report
from service.estimation.separation_records import (
    RecoveryProbability,
    Regimes,
)
from service.estimation.spectrum_records import Component, PhasePoint, Spectra
from service.estimation.stages import Stages
from service.estimation.summaries import covariate_summaries, label_summaries
from service.estimation.terms import ComponentClass, Direction, PairModel, Regime
from service.estimation.verdicts import (
    SURE,
    better_direction,
    most_probable,
    probability_of,
    recovery_probability,
    regime_probabilities,
)

FRACTIONS = {"survey": 0.02, "reduce": 0.1}  # of the work done before each pass
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
    separations = calibrated_separations(found, spectra, recovery, settle, options.interval_level)
    stages.begin("rehearse", 0.85)
    rehearsal = calibrated_rehearsal(prepared, options, separations.ca.signal_count)

    stages.begin("report", 0.97)
    probabilities = regime_probabilities(found.probabilities)
    regimes = Regimes(x_to_y=most_probable(probabilities.x_to_y), y_to_x=most_probable(probabilities.y_to_x))
    direction, sure_of_direction = _direction(found, recovery)
    evidence = _evidence(found)
    beside = tuple(calibrated_warnings(found, evidence, separations, rehearsal, options.alpha))
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
            options.alpha,
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
        phase_point=_phase_point(spectra, found.units),
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
        warnings=preflight(prepared, beside),
        provenance=provenance(
            x,
            y,
            labels,
            inputs.check_form(x, y, inputs.label_count(labels), rows),
            options,
            None,
            groups=groups,
            covariates=covariates,
        ),
        timings=stages.finish(),
    )


def _direction(found: CalibratedEstimate, recovery: RecoveryProbability) -> tuple[Direction | None, float | None]:
    """The better way to predict, where any way probably recovers the signal."""
    log_ratios = found.posterior.draws.log_ratios
    forward = direction_probability(log_ratios[:, 1], log_ratios[:, 2], found.circumstances)
    return (better_direction(recovery, forward) if found.claimed else None) or (None, None)


def _evidence(found: CalibratedEstimate) -> Evidence:
    return Evidence(
        signal_claimed=found.claimed,
        coupling_p_value=found.coupling.p_value,
        held_out_correlation=found.coupling.held_out_correlation,
        labels_p_value=found.labels.p_value,
        labels_p_value_x=found.labels.p_x,
        labels_p_value_y=found.labels.p_y,
    )


def _phase_point(spectra: Spectra, units: tuple[float, float]) -> PhasePoint:
    """Model coordinates from corrected values, found where both modalities have a mean variance of 1.

    Signal strength adds to the variances of x and of y alike, so that the two need a common unit.
    """
    found = phase_point(*(_classified(name, getattr(spectra, name), units) for name in ("ca", "pls", "pca_x", "pca_y")))
    of_x, of_y = units
    return replace(
        found,
        kappa=found.kappa * (of_x * of_y) ** 0.5,
        gamma_x=found.gamma_x * of_x**2,
        gamma_y=found.gamma_y * of_y**2,
        gamma_tilde_x=found.gamma_tilde_x * of_x**2,
        gamma_tilde_y=found.gamma_tilde_y * of_y**2,
    )


def _classified(name: str, components: Sequence[Component], units: tuple[float, float]) -> Classified:
    values = [c.singular_value if c.corrected_value is None else c.corrected_value for c in components]
    return Classified(
        np.array(values) / calibrated_components.value_units(name, units),
        np.array([component.class_ is ComponentClass.SIGNAL for component in components]),
    )
