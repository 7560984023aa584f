"""What is trained here: a projection of each modality, aligned by InfoNCE, over encoders that stay frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from phasegate_gate import Features
from torch import Tensor, nn
from torch.utils.data import Dataset

EMBEDDING_DIM = 4
TEMPERATURE = 0.1


class Pairs(Dataset):
    """The pairs of a folder."""

    def __init__(self, folder: Path) -> None:
        self.x, self.y = (torch.from_numpy(np.load(folder / f"{part}.npy")).float() for part in ("x", "y"))
        self.labels, self.rows = (torch.from_numpy(np.load(folder / f"{part}.npy")) for part in ("labels", "rows"))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"x": self.x[row], "y": self.y[row]}


class TwoTowers(nn.Module):
    """Frozen encoders, projections that learn; `forward` returns the loss, as Hugging Face Trainer wants it."""

    def __init__(self, dx: int, dy: int) -> None:
        super().__init__()
        self.encode_x, self.encode_y = frozen_encoder(dx), frozen_encoder(dy)
        self.project_x, self.project_y = nn.Linear(dx, EMBEDDING_DIM), nn.Linear(dy, EMBEDDING_DIM)
        self.steps = 0

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        self.steps += 1
        of_x = nn.functional.normalize(self.project_x(self.encode_x(x)), dim=1)
        of_y = nn.functional.normalize(self.project_y(self.encode_y(y)), dim=1)
        near = of_x @ of_y.T / TEMPERATURE
        right = torch.arange(len(x), device=x.device)
        return {"loss": (nn.functional.cross_entropy(near, right) + nn.functional.cross_entropy(near.T, right)) / 2}

    def features(self, pairs: Pairs) -> Features:
        """What the frozen encoders make of all pairs."""
        return Features(self.encode_x(pairs.x), self.encode_y(pairs.y), pairs.labels, pairs.rows)


def frozen_encoder(n_features: int) -> nn.Module:
    """Stands for a pretrained one: a rotation, which loses nothing."""
    encoder = nn.Linear(n_features, n_features, bias=False)
    nn.init.orthogonal_(encoder.weight, generator=torch.Generator().manual_seed(n_features))
    return encoder.requires_grad_(False)
