"""PyTorch Lightning: `Trainer(callbacks=[PhasegateCallback(gate)])`."""

from __future__ import annotations

import lightning as L  # noqa: N812 - as its documentation has it
from phasegate_gate import Gate, Verdict, hold_until_answered


class PhasegateCallback(L.Callback):
    """Holds `fit` before its first step, sanity check included, until the gate has answered; stops it by RunStopped."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.verdict: Verdict | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.verdict = hold_until_answered(self.gate)
