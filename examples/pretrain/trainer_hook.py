"""Hugging Face Trainer: `Trainer(..., callbacks=[PhasegateCallback(gate)])`."""

from __future__ import annotations

from typing import Any

from phasegate_gate import Gate, Verdict, hold_until_answered
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class PhasegateCallback(TrainerCallback):
    """Holds `train` before its first step until the gate has answered; stops it by RunStopped.

    It raises rather than set `control.should_training_stop`, which Trainer reads after the first step.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.verdict: Verdict | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        self.verdict = hold_until_answered(self.gate)
