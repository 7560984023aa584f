"""Materializes the assets for a pass, a fail and an abstention; reads back the check and what was made."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from training_assets import defs

SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
EXPECTED = {"aligned": "pass", "hidden": "fail", "open": "abstain"}


def main() -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    for sample, decision in EXPECTED.items():
        config = {"ops": {"features": {"config": {"folder": str(SAMPLES / sample)}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            ran = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
            is_trained = instance.get_latest_materialization_event(dg.AssetKey("model")) is not None
        (check,) = ran.get_asset_check_evaluations()
        assert check.metadata["decision"].text == decision, check
        assert check.passed == is_trained == ran.success == (decision == "pass"), (check.passed, is_trained)
        print(f"{sample}: check passed {check.passed}, model made {is_trained}; {check.description}")


if __name__ == "__main__":
    main()
