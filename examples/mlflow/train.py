"""A training script that asks before it trains, and logs the answer beside what it trains."""

from __future__ import annotations

from pathlib import Path

import mlflow
from phasegate_mlflow import log_triage

from phasegate import Phasegate


def train(features: Path, policy: str = "alignment") -> str:
    """One run; returns its id.  A run that may not start is there too, with the reason."""
    with mlflow.start_run(run_name=features.name) as run, Phasegate() as client:
        parts = (features / f"{part}.npy" for part in ("x", "y", "labels", "rows"))
        triage = client.triage(*parts, policy=policy, metadata={"mlflow_run": run.info.run_id})
        log_triage(client, triage)
        if triage.decision.decision == "pass":
            mlflow.log_metric("loss", fit())
    return run.info.run_id


def fit() -> float:
    """The run that is paid for."""
    return 0.5
