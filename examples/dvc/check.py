"""Reproduces the pipeline for a pass, again without a change, for a fail and for an abstention."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from phasegate import Phasegate

HERE = Path(__file__).parent
SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])


def main() -> None:
    project = Path.cwd() / "project"
    project.mkdir()
    for name in ("dvc.yaml", "policy.yaml", "train.py"):
        shutil.copy(HERE / name, project)
    dvc(project, "init", "--no-scm", "--quiet")
    with Phasegate() as client:
        reproduced(project, "aligned", "pass")
        asked = len(list(client.analyses()))
        assert "didn't change, skipping" in dvc(project, "repro").stdout
        assert len(list(client.analyses())) == asked
        print("aligned again: nothing has changed, nothing was asked")
        reproduced(project, "hidden", "fail")
        reproduced(project, "open", "abstain")


def reproduced(project: Path, sample: str, decision: str) -> None:
    """Put the sample in place and reproduce: trained is what passes, and nothing else."""
    shutil.rmtree(project / "features", ignore_errors=True)
    shutil.copytree(SAMPLES / sample, project / "features")
    (project / "model.txt").unlink(missing_ok=True)
    ended = dvc(project, "repro", check=False)
    found = json.loads((project / "decision.json").read_text())["decision"]
    trained = (project / "model.txt").exists()
    assert (found, ended.returncode == 0, trained) == (decision, decision == "pass", decision == "pass"), ended
    print(f"{sample}: {found}, dvc repro ended with {ended.returncode}, trained {trained}")


def dvc(project: Path, *said: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    quiet = os.environ | {"DVC_NO_ANALYTICS": "1"}
    return subprocess.run(["dvc", *said], cwd=project, env=quiet, check=check, capture_output=True, text=True)


if __name__ == "__main__":
    main()
