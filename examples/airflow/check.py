"""Runs the DAG in a real Airflow: a run that may start, one that is stopped, one that is left open, one that is broken.

The first run is deferred while the service is busy; the triggerer that carries it is killed and another takes over.
"""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from airflow_cluster import Airflow, running_airflow

from phasegate import Phasegate

DAG = "pretrain_gate"
SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
LONG = {  # minutes of work, to keep the service's only worker busy
    "kappa": [0.5] * 50,
    "gamma_x": 1.0,
    "gamma_y": 1.0,
    "gamma_tilde_x": 1.0,
    "gamma_tilde_y": 1.0,
    "nu": 0.5,
    "dx": 400,
    "dy": 400,
    "n_pairs": 20_000,
    "n_labeled": 5_000,
}

IMPATIENT = """
from airflow.sdk import Param, dag
from phasegate_airflow import PhasegateSensor


@dag(schedule=None, params={"analysis_id": Param(type="string")})
def impatient():
    PhasegateSensor(task_id="wait", analysis_id="{{ params.analysis_id }}", timeout=2, retries=2)


impatient()
"""


def main() -> None:
    url = os.environ["PHASEGATE_URL"]
    dags = Path.cwd() / "dags"
    shutil.copytree(Path(__file__).parent / "dags", dags)
    (dags / "impatient.py").write_text(IMPATIENT)
    with Phasegate(url) as client, running_airflow(Path.cwd() / "airflow", dags, url) as airflow:
        for dag in (DAG, "impatient"):
            airflow.until("The DAG", lambda dag=dag: airflow.get(f"/dags/{dag}"))
            airflow.http.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}).raise_for_status()
        started = deferred_over_a_lost_triggerer(airflow, client, url)
        expect(airflow, started, "success", submit="success", wait="success", gate="success", train="success")
        decision = decision_of(airflow, client, started)
        assert decision.decision == "pass", decision

        stopped = begin(airflow, SAMPLES / "hidden")
        expect(airflow, stopped, "success", submit="success", wait="success", gate="success", train="skipped")
        decision = decision_of(airflow, client, stopped)
        assert decision.decision == "fail", decision

        left_open = begin(airflow, SAMPLES / "open")
        expect(airflow, left_open, "failed", submit="success", wait="success", gate="failed", train="upstream_failed")
        decision = decision_of(airflow, client, left_open)
        assert decision.decision == "abstain", decision

        broken = begin(airflow, spoiled())
        states = {"wait": "failed", "gate": "upstream_failed", "train": "upstream_failed"}
        expect(airflow, broken, "failed", submit="success", **states)


def spoiled() -> Path:
    """Features that cannot be analysed: one of them is no number."""
    folder = Path.cwd() / "spoiled"
    shutil.copytree(SAMPLES / "aligned", folder)
    x = np.load(folder / "x.npy")
    x[3, 5] = np.nan
    np.save(folder / "x.npy", x)
    return folder


def begin(airflow: Airflow, features: Path) -> str:
    """Trigger the DAG on a folder of features; returns the run's id."""
    run = f"{features.name}-{uuid.uuid4().hex[:8]}"
    conf = {"features": str(features), "policy": "alignment"}
    airflow.post(f"/dags/{DAG}/dagRuns", dag_run_id=run, logical_date=None, conf=conf)
    return run


def deferred_over_a_lost_triggerer(airflow: Airflow, client: Phasegate, url: str) -> str:
    """A run whose sensor was deferred, lost its triggerer, and went on with another; returns its id."""
    long = httpx2.post(f"{url}/v1/model/simulation", json=LONG, trust_env=False).raise_for_status().json()["id"]
    run = begin(airflow, SAMPLES / "aligned")
    waiting = airflow.until("A triggerer with the sensor", lambda: carried(airflow, run))
    print(f"Deferred: trigger {waiting['trigger']['id']}, carried by triggerer {waiting['triggerer_job']['id']}.")
    airflow.end(signal.SIGKILL, "triggerer")
    airflow.start("triggerer")
    lost = waiting["triggerer_job"]["id"]
    again = airflow.until("Another triggerer with the sensor", lambda: carried(airflow, run, other_than=lost))
    print(f"Triggerer {lost} was killed; triggerer {again['triggerer_job']['id']} took over.")
    airflow.post("/dags/impatient/dagRuns", dag_run_id="late", logical_date=None, conf={"analysis_id": long})
    expect(airflow, "late", "failed", dag="impatient", wait="failed")
    (log,) = airflow.home.glob("logs/**/run_id=late/task_id=wait/*=1.log")  # the first attempt is the only one
    assert "AirflowSensorTimeout" in log.read_text(), log.read_text()
    client.cancel(long)
    return run


def carried(airflow: Airflow, run: str, other_than: int | None = None) -> dict[str, Any] | None:
    """The sensor's task instance, once it is deferred and a triggerer has asked the service about its analysis."""
    task = airflow.get(f"/dags/{DAG}/dagRuns/{run}/taskInstances/wait")
    if task["state"] != "deferred" or not task["triggerer_job"] or task["triggerer_job"]["id"] == other_than:
        return None
    logs = airflow.home.glob(f"logs/**/run_id={run}/task_id=wait/*.trigger.{task['triggerer_job']['id']}.log")
    return task if any("/v1/analyses/" in log.read_text() for log in logs) else None


def expect(airflow: Airflow, run: str, outcome: str, dag: str = DAG, **states: str) -> None:
    """Wait for the run's end and compare it with what it must be, task by task."""
    ended = airflow.until(
        f"Run {run}'s end",
        lambda: (found := airflow.get(f"/dags/{dag}/dagRuns/{run}"))["state"] in ("success", "failed") and found,
    )
    tasks = airflow.get(f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
    found = {task["task_id"]: task["state"] for task in tasks}
    print(f"{run}: {ended['state']}, {found}")
    if (ended["state"], found) != (outcome, states):
        logs = sorted(airflow.home.glob(f"logs/**/run_id={run}/**/*.log*"))
        raise AssertionError("\n".join(f"{log}\n{log.read_text()}" for log in logs))


def decision_of(airflow: Airflow, client: Phasegate, run: str) -> Any:
    """The decision that the gate left, by its id; and that XCom holds ids and nothing larger."""
    tasks = f"/dags/{DAG}/dagRuns/{run}/taskInstances"
    kept: dict[tuple[str, str], Any] = {}
    for task in ("submit", "wait", "gate"):
        for entry in airflow.get(f"{tasks}/{task}/xcomEntries")["xcom_entries"]:
            key = entry["key"]
            kept[task, key] = airflow.get(f"{tasks}/{task}/xcomEntries/{key}")["value"]
    assert kept["submit", "return_value"] == kept["wait", "return_value"], kept
    assert all(len(str(value)) < 80 for value in kept.values()), kept
    return client.decision(kept["gate", "decision_id"])


if __name__ == "__main__":
    main()
