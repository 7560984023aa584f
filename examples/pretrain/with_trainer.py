"""A Hugging Face Trainer run behind the gate; `torchrun --nproc-per-node 2` runs it on two ranks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from phasegate_gate import Gate, RunStopped
from trainer_hook import PhasegateCallback
from transformers import Trainer, TrainingArguments
from two_towers import Pairs, TwoTowers


def fit(model: TwoTowers, pairs: Pairs, **gate: object) -> None:
    """Two steps, if the gate lets the run start.  Raises RunStopped."""
    arguments = TrainingArguments(
        output_dir="out",
        max_steps=2,
        per_device_train_batch_size=32,
        use_cpu=True,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=0,
    )
    callback = PhasegateCallback(Gate(lambda: model.features(pairs), **gate))
    Trainer(model=model, args=arguments, train_dataset=pairs, callbacks=[callback]).train()


def main(folder: Path, run: str) -> int:
    """Fit, and say how that ended on this rank."""
    pairs = Pairs(folder)
    model = TwoTowers(pairs.x.shape[1], pairs.y.shape[1])
    try:
        fit(model, pairs, metadata={"run": run})
    except RunStopped as stopped:
        print(f"rank {os.environ['RANK']}: {model.steps} steps. {stopped}", flush=True)
        return 1
    print(f"rank {os.environ['RANK']}: {model.steps} steps.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
