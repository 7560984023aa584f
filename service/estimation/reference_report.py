"""The report of the published procedure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation import inputs
from service.estimation.covariates import check_covariates
from service.estimation.data_records import DataSummary
from service.estimation.groups import check_groups
from service.estimation.labels import (
    LabelColumn,
    Targets,
    encode,
    has_label,
)
from service.estimation.moments import Array
from service.estimation.options import Options
from service.estimation.provenance import provenance
from service.estimation.recommendation import recommend
from service.estimation.reference import PCA_COMPONENTS, SEEDS, ReferenceEstimate, SpectrumEstimate, reference
from service.estimation.report import SCHEMA_VERSION, Report
from service.estimation.separation import direction_of, regime_of
from service.estimation.separation_records import Regimes
from service.estimation.spectrum_records import Component, Spectra
from service.estimation.stages import Stages
from service.estimation.summaries import covariate_summaries, label_summaries
from service.estimation.terms import ComponentClass, Modality, Rule
from service.estimation.warnings import (
    constant_columns,
    constant_labels,
    covariates_unused,
    duplicate_rows,
    few_pairs,
    groups_unused,
    near_boundary,
    rare_classes,
    rules_disagree,
    saturated_correlations,
    small_scale,
    sparse_labels,
    unlabeled_pairs_unused,
)


def reference_report(
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
    """Run the published procedure and say what it found; arguments as `estimate` takes them."""
    stages.begin("check", 0.0)
    label_rows = inputs.check_form(x, y, inputs.label_count(labels), rows)
    used = inputs.check_labels(labels)
    inputs.check_complete(labels, options.method)
    labeled = has_label(labels)
    if groups is not None:
        groups = check_groups(groups, len(x), label_rows[labeled])
    check_covariates(covariates, len(x))
    summary_x = inputs.check_values("x", x)
    summary_y = inputs.check_values("y", y)
    labeled_x, labeled_y = _labeled("x", x, label_rows), _labeled("y", y, label_rows)
    targets = encode(used)

    pca_components = PCA_COMPONENTS if options.pca_components is None else options.pca_components
    found = reference(labeled_x, labeled_y, targets, options.n_components, pca_components, stages)

    stages.begin("report", 0.95)
    rule = options.rule
    separations = found.separations(rule)
    rules = found.rules()
    n_features = (x.shape[1], y.shape[1])
    warnings = [
        *rules_disagree(rules, rule),
        *near_boundary(separations),
        *saturated_correlations(len(label_rows), found.ranks, n_features, pca_components),
        *few_pairs(len(label_rows), n_features),
        *small_scale("x", labeled_x),
        *small_scale("y", labeled_y),
        *rare_classes(used),
        *duplicate_rows(summary_x, summary_y),
        *unlabeled_pairs_unused(len(label_rows), len(x)),
        *groups_unused(groups),
        *covariates_unused(covariates),
        *constant_columns("x", summary_x, n_features[0]),
        *constant_columns("y", summary_y, n_features[1]),
        *constant_labels(labels),
        *sparse_labels(labels),
    ]
    regimes = Regimes(
        x_to_y=regime_of(separations.ca, separations.cp_x_to_y),
        y_to_x=regime_of(separations.ca, separations.cp_y_to_x),
    )
    return Report(
        schema_version=SCHEMA_VERSION,
        method=options.method,
        regime=regimes.x_to_y,
        regimes=regimes,
        conclusive=None,
        regime_probabilities=None,
        recovery_probability=None,
        direction_probability=None,
        evidence=None,
        model=None,
        rehearsal=None,
        direction=direction_of(separations.cp_x_to_y, separations.cp_y_to_x),
        recommendation=recommend(separations, _unimodal_r2(found, rule)),
        separation=separations,
        phase_point=found.phase_point(rule),
        rules=rules,
        spectra=_spectra(found, targets, rule),
        data=DataSummary(
            n_pairs=len(x),
            n_labeled=int(labeled.sum()),
            n_pairs_used=len(label_rows),
            n_missing_x=0,
            n_missing_y=0,
            n_features_x=n_features[0],
            n_features_y=n_features[1],
            n_reduced_x=found.n_reduced[0],
            n_reduced_y=found.n_reduced[1],
            labels=label_summaries(labels),
            n_groups=None if groups is None else len(np.unique(groups)),
            covariates=covariate_summaries(covariates),
        ),
        warnings=tuple(warnings),
        provenance=provenance(x, y, labels, label_rows, options, SEEDS, groups=groups, covariates=covariates),
        timings=stages.finish(),
    )


def _labeled(part: str, values: NDArray[Any], rows: NDArray[np.int64]) -> Array:
    labeled: Array = np.asarray(values[rows], dtype=np.float64)
    inputs.check_labeled_features(part, labeled)
    return labeled


def _unimodal_r2(found: ReferenceEstimate, rule: Rule) -> dict[Modality, float]:
    return {
        modality: float(spectrum.r2[spectrum.classes[rule]].sum())
        for modality, spectrum in ((Modality.X, found.pca_x), (Modality.Y, found.pca_y))
    }


def _spectra(found: ReferenceEstimate, targets: Targets, rule: Rule) -> Spectra:
    def components(spectrum: SpectrumEstimate) -> tuple[Component, ...]:
        return tuple(
            Component(
                index=index,
                singular_value=float(value),
                corrected_value=None,
                r2=float(r2.sum()),
                r2_by_label=dict(zip(targets.names, r2.tolist(), strict=True)),
                signal_share=None,
                p_value=None,
                covariates={},
                class_=ComponentClass.SIGNAL if signal else ComponentClass.NUISANCE,
            )
            for index, (value, r2, signal) in enumerate(
                zip(spectrum.singular_values, spectrum.r2, spectrum.classes[rule], strict=True)
            )
        )

    return Spectra(
        ca=components(found.ca),
        cp_x_to_y=components(found.cp_x_to_y),
        cp_y_to_x=components(found.cp_y_to_x),
        pls=components(found.pls),
        pca_x=components(found.pca_x),
        pca_y=components(found.pca_y),
    )
