"""Submit features, wait without a slot, train only if the gate lets the run start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import BaseHook, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException
from phasegate_airflow import PhasegateSensor, service_of

from phasegate import Phasegate


def may_start(analysis_id: str, policy: str, ti=None) -> bool:
    """True lets the run start, False skips it; an abstention fails the task, for a person to look at."""
    with Phasegate(**service_of(BaseHook.get_connection("phasegate_default"))) as client:
        decided = client.gate(analysis_id, policy)
    ti.xcom_push(key="decision_id", value=decided.id)
    print(f"{decided.decision}: {decided.summary}")
    if decided.decision == "abstain":
        raise AirflowFailException(f"The data do not decide. {decided.summary}")
    return decided.decision == "pass"


@dag(
    schedule=None,
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},  # for a service that is away
    params={
        "features": Param(type="string", description="Folder with x.npy, y.npy, labels.npy and rows.npy."),
        "policy": Param("alignment", type="string", description="Name of a policy of the service."),
    },
)
def pretrain_gate():
    @task
    def submit(params: dict[str, str]) -> str:
        """Upload; the id of the analysis is all that goes on."""
        features = Path(params["features"])
        parts = (features / f"{part}.npy" for part in ("x", "y", "labels", "rows"))
        with Phasegate(**service_of(BaseHook.get_connection("phasegate_default"))) as client:
            return client.submit(*parts, metadata={"dag": "pretrain_gate"}).id

    wait = PhasegateSensor(task_id="wait", analysis_id=submit(), timeout=1800)

    gate = ShortCircuitOperator(task_id="gate", python_callable=may_start, op_args=[wait.output, "{{ params.policy }}"])

    @task
    def train() -> None:
        """The run that is paid for."""
        print("Training.")

    gate >> train()


pretrain_gate()
