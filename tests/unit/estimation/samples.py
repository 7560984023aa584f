"""Paired data for the tests: a shared signal of three dimensions, private noise, labels that depend on the signal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from service.estimation.labels import LabelColumn, Targets, label_columns
from service.estimation.options import Options
from service.estimation.reference import ReferenceEstimate, reference
from service.estimation.stages import Stages, silent
from service.estimation.terms import Method

PUBLISHED = Options(method=Method.REFERENCE)


class Sample(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray

    @property
    def columns(self) -> tuple[LabelColumn, ...]:
        return label_columns(self.labels)


def paired(seed: int = 0, n: int = 90, dx: int = 7, dy: int = 5, n_labels: int = 2, noise: float = 0.5) -> Sample:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n, 3))
    x = signal @ rng.standard_normal((3, dx)) + noise * rng.standard_normal((n, dx))
    y = signal @ rng.standard_normal((3, dy)) + noise * rng.standard_normal((n, dy))
    labels = signal @ rng.standard_normal((3, n_labels)) + 0.3 * rng.standard_normal((n, n_labels))
    return Sample(x, y, labels)


def procedure(x: np.ndarray, y: np.ndarray, labels: np.ndarray, **options: Any) -> ReferenceEstimate:
    targets = Targets(labels, tuple(f"label_{place}" for place in range(labels.shape[1])))
    sizes = {"n_components": 50, "pca_components": 100} | options
    return reference(x, y, targets, **sizes, stages=Stages(silent))
