"""Holds the workflow against Argo's schema, and runs the step's script as Argo would, against the service.

No Kubernetes is needed, and none is tested.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from hera.workflows.models import Workflow

WORKFLOW = Path(__file__).parent / "workflow.yaml"
SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
EXPECTED = {"aligned": (0, "pass"), "hidden": (0, "fail"), "open": (0, "abstain"), "absent": (3, "")}


def main() -> None:
    written = yaml.safe_load(WORKFLOW.read_text())
    known = Workflow.model_validate(written).model_dump(mode="json", by_alias=True, exclude_none=True)
    unknown = sorted(left_out(written, known))
    assert not unknown, f"Argo knows no such fields: {unknown}"
    gate = next(template for template in written["spec"]["templates"] if template["name"] == "gate")
    for sample, (code, decision) in EXPECTED.items():
        file = Path.cwd() / f"{sample}.decision"
        said = {"FEATURES": str(SAMPLES / sample), "POLICY": "alignment", "DECISION_FILE": str(file)}
        ended = subprocess.run(
            ["sh", "-c", gate["script"]["source"]], env=os.environ | said, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, file.read_text().strip()) == (code, decision), ended
        print(f"{sample}: exit code {code}, parameter decision {decision!r}")


def left_out(written: Any, known: Any, at: str = "") -> list[str]:
    """Fields that are written and that the schema does not know."""
    if isinstance(written, dict):
        return [
            field
            for name, value in written.items()
            for field in (left_out(value, known[name], f"{at}.{name}") if name in known else [f"{at}.{name}"])
        ]
    if isinstance(written, list):
        pairs = enumerate(zip(written, known, strict=True))
        return [field for place, (one, other) in pairs for field in left_out(one, other, f"{at}[{place}]")]
    return []


if __name__ == "__main__":
    main()
