"""Dagster: a blocking asset check between the features and the model that is trained on them."""

from pathlib import Path

import dagster as dg

from phasegate import Phasegate


class Features(dg.Config):
    """Where the features are, and what must hold of them."""

    folder: str
    policy: str = "alignment"


@dg.asset
def features(config: Features) -> dg.MaterializeResult:
    """Features of both modalities, labels for some rows."""
    return dg.MaterializeResult(metadata={"folder": dg.MetadataValue.path(config.folder), "policy": config.policy})


@dg.asset_check(asset=features, blocking=True)
def may_train(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """May a run on these features start?  Anything but a pass keeps `model` from being materialized.

    An abstention is an error too: a check of severity WARN blocks nothing.
    """
    made = context.instance.get_latest_materialization_event(dg.AssetKey("features")).asset_materialization.metadata
    folder, policy = Path(made["folder"].path), made["policy"].text
    parts = (folder / f"{part}.npy" for part in ("x", "y", "labels", "rows"))
    with Phasegate() as client:
        decided = client.triage(*parts, policy=policy, metadata={"dagster_run": context.run.run_id}).decision
    return dg.AssetCheckResult(
        passed=decided.decision == "pass",
        severity=dg.AssetCheckSeverity.ERROR,
        description=decided.summary,
        metadata={
            "decision": str(decided.decision),
            "decision_id": decided.id,
            "analysis_id": decided.analysis_id,
            "rules": dg.MetadataValue.md("\n".join(f"- {rule.rule}: {rule.outcome}" for rule in decided.rules)),
        },
    )


@dg.asset(deps=[features])
def model() -> None:
    """The run that is paid for."""


defs = dg.Definitions(assets=[features, model], asset_checks=[may_train])
