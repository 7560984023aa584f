"""What the calibrated estimate is made from: block moments of all pairs, scores and targets of the labeled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.errors import ConstantLabels
from service.estimation.labels import ColumnTargets, encode_column
from service.estimation.moments import Array, BlockMoments, Indices
from service.estimation.posterior.moments import LabelMoments
from service.estimation.posterior.worth import label_design_effect
from service.estimation.preparation import Prepared

MOST_TARGETS = 64  # uncorrelated label targets of one set of rows; leading principal ones where there are more
TARGET_TOLERANCE = 1e-6  # of the largest singular value of the targets: below it they repeat each other


@dataclass(frozen=True)
class Material:
    """What the estimate is made from: moments of all pairs and scores of the labeled ones, in principal coordinates."""

    moments: BlockMoments
    labeled_x: Array  # (m, rx)
    labeled_y: Array  # (m, ry)
    columns: Sequence[ColumnTargets]  # targets of every label column, for the rows that have it
    targets: Array  # (m, L), the same side by side, NaN where a row lacks a label
    labeled_blocks: Indices  # (m,), the block of each labeled row
    labeled_groups: NDArray[Any] | None  # (m,)

    @property
    def grouped(self) -> bool:
        """Whether rows belong together in groups."""
        return self.labeled_groups is not None


def material_of(prepared: Prepared) -> Material:
    """The material of a prepared input."""
    return Material(
        prepared.reduction.moments,
        prepared.reduction.labeled_x,
        prepared.reduction.labeled_y,
        [encode_column(column) for column in prepared.used],
        prepared.targets.matrix,
        prepared.blocks[prepared.labeled],
        prepared.labeled_groups,
    )


def in_units(material: Material) -> tuple[Material, tuple[float, float]]:
    """Both modalities scaled to a mean variance of 1, and what x and y were divided by.

    No number of the estimate may depend on a modality's unit.
    """
    moments = material.moments
    variances = moments.pooled(np.ones(len(moments.counts))).covariance.diagonal()
    sx, sy = moments.sides
    units = (float(np.sqrt(variances[sx].mean())), float(np.sqrt(variances[sy].mean())))
    scale = np.repeat(1 / np.array(units), [moments.n_x, len(variances) - moments.n_x])
    scaled = BlockMoments(moments.counts, moments.first * scale, moments.second * np.outer(scale, scale), moments.n_x)
    return Material(
        scaled,
        material.labeled_x / units[0],
        material.labeled_y / units[1],
        material.columns,
        material.targets,
        material.labeled_blocks,
        material.labeled_groups,
    ), units


def label_moments(material: Material, more_labels: float = 1.0) -> list[LabelMoments]:
    """Moments of every set of rows that share the same label columns, worth what its design effect leaves.

    Raises: ConstantLabels when no target varies in double precision.
    """
    sets: dict[bytes, list[ColumnTargets]] = {}
    for column in material.columns:
        sets.setdefault(column.positions.tobytes(), []).append(column)
    found = []
    for together in sets.values():
        rows = together[0].positions
        scores = np.hstack([material.labeled_x[rows], material.labeled_y[rows]])
        scores = scores - scores.mean(axis=0)
        targets = uncorrelated(np.hstack([column.matrix for column in together]))
        if not targets.shape[1]:
            continue
        weight = more_labels / label_design_effect(scores, targets, material.labeled_blocks[rows])
        found.append(
            LabelMoments(
                m=weight * len(rows),
                products=weight * (scores.T @ scores),
                cross=weight * (scores.T @ targets),
                tt=weight * (targets**2).sum(axis=0),
            )
        )
    if not found:
        raise ConstantLabels(
            "No label column varies in double precision. Subtract a constant from large whole numbers, or send them "
            "as categorical.",
            part="labels",
        )
    return found


def uncorrelated(targets: Array) -> Array:
    """Uncorrelated targets (m, k) of unit variance that span those given (m, L), standardised first."""
    centred = targets - targets.mean(axis=0)
    largest = np.abs(centred).max(axis=0)
    centred = centred[:, largest > 0] / largest[largest > 0]
    centred /= centred.std(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(MOST_TARGETS, int((values > TARGET_TOLERANCE * values.max(initial=0.0)).sum()))
    return np.asarray(left[:, :kept] * np.sqrt(len(targets)))
