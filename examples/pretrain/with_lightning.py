"""A Lightning run behind the gate; `torchrun --nproc-per-node 2` runs it on two ranks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import lightning as L  # noqa: N812
import torch
from lightning_hook import PhasegateCallback
from phasegate_gate import Gate, RunStopped
from torch import Tensor
from torch.utils.data import DataLoader
from two_towers import Pairs, TwoTowers


class Aligning(L.LightningModule):
    def __init__(self, model: TwoTowers) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, Tensor], place: int) -> Tensor:
        return self.model(**batch)["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameter for parameter in self.parameters() if parameter.requires_grad)


def fit(model: TwoTowers, pairs: Pairs, ranks: int = 1, **gate: object) -> None:
    """Two steps, if the gate lets the run start.  Raises RunStopped."""
    callback = PhasegateCallback(Gate(lambda: model.features(pairs), **gate))
    trainer = L.Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        max_steps=2,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Aligning(model), DataLoader(pairs, batch_size=32))


def main(folder: Path, run: str) -> int:
    """Fit, and say how that ended on this rank."""
    pairs = Pairs(folder)
    model = TwoTowers(pairs.x.shape[1], pairs.y.shape[1])
    try:
        fit(model, pairs, int(os.environ["WORLD_SIZE"]), metadata={"run": run})
    except RunStopped as stopped:
        print(f"rank {os.environ['RANK']}: {model.steps} steps. {stopped}", flush=True)
        return 1
    print(f"rank {os.environ['RANK']}: {model.steps} steps.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
