"""Logs a run that may start and two that may not, and reads everything back from the tracking store."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from train import train

from phasegate import Phasegate

SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
EXPECTED = {"aligned": "pass", "hidden": "fail", "open": "abstain"}
PNG = b"\x89PNG\r\n\x1a\n"


def main() -> None:
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    mlflow.create_experiment("recipe", artifact_location=(Path.cwd() / "artifacts").as_uri())
    mlflow.set_experiment("recipe")
    with Phasegate() as client:
        for sample, decision in EXPECTED.items():
            read_back(train(SAMPLES / sample), decision, client)
    passed = mlflow.search_runs(filter_string="tags.`phasegate.decision` = 'pass'", output_format="list")
    assert [run.info.run_name for run in passed] == ["aligned"], passed


def read_back(run_id: str, decision: str, client: Phasegate) -> None:
    """What MLflow has of the run is what the service says."""
    run = MlflowClient().get_run(run_id)
    tags, metrics = run.data.tags, run.data.metrics
    assert tags["phasegate.decision"] == decision, tags
    assert ("loss" in metrics) == (decision == "pass"), metrics

    folder = Path(download_artifacts(run_id=run_id, artifact_path="phasegate"))
    report = json.loads((folder / "report.json").read_text())
    assert report == client.report_json(tags["phasegate.analysis_id"])
    kept = json.loads((folder / "decision.json").read_text())
    assert kept == client.decision(tags["phasegate.decision_id"]).model_dump(mode="json")
    assert (folder / "ratios.png").read_bytes().startswith(PNG)

    probability = metrics["phasegate.recovery_probability.ca"]
    assert math.isclose(probability, report["recovery_probability"]["ca"], rel_tol=1e-12)
    assert math.isclose(metrics["phasegate.ratio.ca"], report["separation"]["ca"]["ratio"], rel_tol=1e-12)
    assert tags["phasegate.regime.x_to_y"] == report["regime"]
    assert run.data.params["phasegate.policy"] == "alignment"
    print(
        f"{run.info.run_name}: {decision}, alignment recovers with probability {probability:.3f}; "
        f"{len(metrics)} metrics, {sorted(path.name for path in folder.iterdir())}"
    )


if __name__ == "__main__":
    main()
