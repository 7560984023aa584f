"""A Prefect flow that asks before it trains; the verdict is an artifact of the run."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed, State

from phasegate import AnalysisFailed, AsyncPhasegate, ClientError, Phasegate


def is_worth_a_retry(task: object, run: object, state: State) -> bool:
    """A service that is away may come back; what it refuses it would refuse again."""
    found = state.result(raise_on_failure=False)
    return isinstance(found, ClientError) and found.passes


@task(retries=3, retry_delay_seconds=10, retry_condition_fn=is_worth_a_retry)
def submit(features: Path) -> str:
    """Upload; the id of the analysis is all that goes on."""
    parts = (features / f"{part}.npy" for part in ("x", "y", "labels", "rows"))
    with Phasegate() as client:
        return client.submit(*parts, metadata={"flow": "train_if_allowed"}).id


@task(retries=3, retry_delay_seconds=10, retry_condition_fn=is_worth_a_retry)
async def wait(analysis_id: str, timeout_s: float) -> None:
    """Wait for the report, without blocking the other tasks of the flow."""
    async with AsyncPhasegate() as client:
        await client.wait(analysis_id, timeout_s)


@task
def decide(analysis_id: str, policy: str) -> dict[str, str]:
    """Hold the report against the policy."""
    with Phasegate() as client:
        decided = client.gate(analysis_id, policy)
    create_table_artifact(
        key="phasegate-verdict",
        table=[{"rule": rule.rule, "outcome": str(rule.outcome), "message": rule.message} for rule in decided.rules],
        description=f"{decided.summary} Decision {decided.id}.",
    )
    return {"decision": str(decided.decision), "summary": decided.summary, "id": decided.id}


@task
def train(features: Path) -> None:
    """The run that is paid for."""


@flow
async def train_if_allowed(features: Path, policy: str = "alignment", timeout_s: float = 1800) -> State:
    """Completed: trained.  Stopped, which is completed: the gate says fail.  Failed: it abstains, or has no answer."""
    analysis_id = submit(features)
    try:
        await wait(analysis_id, timeout_s)
    except (AnalysisFailed, TimeoutError) as error:
        return Failed(message=str(error))
    decided = decide(analysis_id, policy)
    if decided["decision"] == "abstain":
        return Failed(message=f"The data do not decide. {decided['summary']}")
    if decided["decision"] == "fail":
        return Completed(name="Stopped", message=decided["summary"])
    train(features)
    return Completed(message=decided["summary"])
