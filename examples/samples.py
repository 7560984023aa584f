"""Three pairs of modalities with known truth, drawn from the spiked model, for the recipes to ask about.

Planned is alignment throughout:

aligned   the shared signal stands far above the nuisance: a gate should let the run start
hidden    the nuisance of both modalities is stronger and correlated: a gate should stop it
open      both are about as strong, and the data are few: a gate should abstain
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.estimation.spiked_model import SpikedModel, spiked_model
from service.estimation.spiked_sample import draw, draw_labels, random_bases

DX, DY = 12, 16
LABEL_NOISE = 0.3


@dataclass(frozen=True)
class Sample:
    """A population, and how much of it is seen."""

    model: SpikedModel
    n_pairs: int
    n_labeled: int
    seed: int


SAMPLES: Mapping[str, Sample] = {
    "aligned": Sample(spiked_model([1.2, 1.0, 0.9], 0.3, 0.3, 1.0, 1.0, 0.2, DX, DY), 800, 240, seed=1),
    "hidden": Sample(spiked_model([0.5, 0.4, 0.4], 0.6, 0.6, 2.0, 2.0, 0.8, DX, DY), 800, 240, seed=1),
    "open": Sample(spiked_model([1.2, 1.0, 1.0], 0.6, 0.6, 1.0, 1.0, 0.5, DX, DY), 300, 150, seed=3),
}


def write_samples(folder: Path) -> None:
    """Write every sample as an upload: NAME/x.npy, y.npy, labels.npy, rows.npy."""
    for name, sample in SAMPLES.items():
        pairs = draw(sample.model, random_bases(sample.model, sample.seed), sample.n_pairs, sample.seed)
        rows, labels = draw_labels(pairs.signal, sample.n_labeled, LABEL_NOISE, sample.seed)
        (folder / name).mkdir(parents=True)
        for part, values in {"x": pairs.x, "y": pairs.y, "labels": labels, "rows": rows}.items():
            np.save(folder / name / f"{part}.npy", values)
