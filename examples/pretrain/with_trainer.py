"""A Hugging Face Trainer run behind the gate."""

from __future__ import annotations

from phasegate_gate import Gate
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
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=0,
    )
    callback = PhasegateCallback(Gate(lambda: model.features(pairs), **gate))
    Trainer(model=model, args=arguments, train_dataset=pairs, callbacks=[callback]).train()
