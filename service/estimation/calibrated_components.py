"""Components of every spectrum with their evidence: corrected values, R^2, posterior shares, p-values, covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.association import cross_validated_r2, fold_scores
from service.estimation.calibrated import CalibratedEstimate
from service.estimation.evidence import component_p_values
from service.estimation.labels import ColumnTargets
from service.estimation.material import Material
from service.estimation.moments import Array, Blocks, Indices, assign_blocks
from service.estimation.posterior.draws import SampleComponents
from service.estimation.preparation import Prepared
from service.estimation.spectra import NAMES
from service.estimation.spectrum_records import Component, Spectra
from service.estimation.terms import ComponentClass

FOLDS = 5
RIDGE = 1.0  # penalty on the slopes of scores of unit variance: as good as none
LEAST_SHARE = 0.5  # posterior share from which a component of a claimed signal is signal


def spectra(prepared: Prepared, material: Material, found: CalibratedEstimate, seed: int) -> Spectra:
    """All components; `material` in the units it came in."""
    return Spectra(
        **{name: _components(prepared, material, found, place, name, seed) for place, name in enumerate(NAMES)}
    )


def value_units(name: str, units: tuple[float, float]) -> float:
    """What a singular value of the spectrum `name` is worth in the features' own units."""
    of_x, of_y = units
    return {"cp_x_to_y": of_y, "cp_y_to_x": of_x, "pls": of_x * of_y, "pca_x": of_x, "pca_y": of_y}.get(name, 1.0)


def _components(
    prepared: Prepared, material: Material, found: CalibratedEstimate, place: int, name: str, seed: int
) -> tuple[Component, ...]:
    sample = found.spectra.components[name]
    unit = value_units(name, found.units)
    corrected = _corrected(name, found.posterior.corrected[place]) if not name.startswith("pca") else None
    shares = np.clip(found.posterior.shares[place], 0.0, 1.0)
    scores = _scores(material, found, name)
    r2 = component_r2(scores, material.columns, material.labeled_groups, seed)
    p_values = component_p_values(scores.sum(axis=0), material.targets, material.labeled_groups, seed=seed)
    explained = _explained(prepared, found, sample)
    signal = shares >= LEAST_SHARE if found.claimed else np.zeros(len(shares), dtype=bool)
    names = prepared.targets.names
    return tuple(
        Component(
            index=index,
            singular_value=float(sample.values[index] * unit),
            corrected_value=None if corrected is None else float(corrected[index] * unit),
            r2=float(r2[index].sum()),
            r2_by_label=dict(zip(names, r2[index].tolist(), strict=True)),
            signal_share=float(shares[index]),
            p_value=float(p_values[index]),
            covariates={covariate: float(values[index]) for covariate, values in explained.items()},
            class_=ComponentClass.SIGNAL if signal[index] else ComponentClass.NUISANCE,
        )
        for index in range(len(sample.values))
    )


def component_r2(scores: Array, columns: Sequence[ColumnTargets], groups: NDArray[Any] | None, seed: int) -> Array:
    """Cross-validated R^2 (c, L) of every target on every component's scores (p, m, c), groups never split.

    Each label column uses the rows that have it; R^2 is 0 where these are all in one fold.
    """
    parts = []
    for column in columns:
        rows = column.positions
        folds = _folds(len(rows), None if groups is None else groups[rows], seed)
        if len(folds.bounds) <= 2:
            parts.append(np.zeros((scores.shape[2], column.matrix.shape[1])))
            continue
        parts.append(cross_validated_r2(fold_scores(scores[:, rows], folds), column.matrix, RIDGE))
    return np.hstack(parts)


def _folds(n: int, groups: NDArray[Any] | None, seed: int) -> Blocks:
    fold = assign_blocks(n, groups, min(FOLDS, n), seed)
    order: Indices = np.argsort(fold, kind="stable")
    return Blocks(order, (0, *np.cumsum(np.bincount(fold)).tolist()))


def _scores(material: Material, found: CalibratedEstimate, name: str) -> Array:
    """Scores (p, m, c) of the labeled rows, of unit variance: one predictor a component, or x's and y's."""
    of_x, of_y = found.units
    scores = found.spectra.scores(name, material.labeled_x / of_x, material.labeled_y / of_y)
    scores -= scores.mean(axis=1, keepdims=True)
    deviations = scores.std(axis=1, keepdims=True)
    return np.asarray(scores / np.where(deviations > 0, deviations, 1.0))


def _corrected(name: str, values: Array) -> Array:
    """Population values lie between 0 and, for correlations, 1."""
    return np.clip(values, 0.0, 1.0 if name == "ca" else None)


def _explained(prepared: Prepared, found: CalibratedEstimate, sample: SampleComponents) -> dict[str, Array]:
    """Share of each component's variance that every covariate explains, the mean of x's and y's where both count."""
    moments = prepared.reduction.covariates
    if moments is None:
        return {}
    rx, ry = len(sample.x), len(sample.y)
    sides = []
    if sample.by != "y":
        sides.append(moments.explained(np.vstack([sample.x, np.zeros((ry, sample.x.shape[1]))])))
    if sample.by != "x":
        sides.append(moments.explained(np.vstack([np.zeros((rx, sample.y.shape[1])), sample.y])))
    return {name: np.mean([side[name] for side in sides], axis=0) for name in sides[0]}
