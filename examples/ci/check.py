"""Runs the CI job's script, with the service and without, and reads what it leaves; lints both pipelines."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from junitparser import Error, Failure, JUnitXml

HERE = Path(__file__).parent
SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
EXPECTED = {"aligned": (0, "pass"), "hidden": (1, "fail"), "open": (2, "abstain")}


def main() -> None:
    lint_pipelines()
    in_process = {name: value for name, value in os.environ.items() if name != "PHASEGATE_URL"}
    for sample, (code, decision) in EXPECTED.items():
        seen = {
            place: run_gate(SAMPLES / sample, environment, code, decision)
            for place, environment in (("service", dict(os.environ)), ("process", in_process))
        }
        assert seen["service"] == seen["process"], seen
        print(f"{sample}: {decision}, with the service and in process, {len(seen['process'])} rules alike to the word")
    run_gate(SAMPLES / "absent", in_process, 3, "none")
    run_gate(SAMPLES / "aligned", in_process | {"PHASEGATE_URL": "http://127.0.0.1:9"}, 3, "none")
    print("Missing files, and a service that is not there: exit code 3, no decision.")


def run_gate(features: Path, environment: dict[str, str], code: int, decision: str) -> dict[str, str]:
    """Run the script as a step of a CI job; returns how each rule came out in the JUnit file."""
    with tempfile.TemporaryDirectory() as folder:
        summary, output = Path(folder) / "summary.md", Path(folder) / "output"
        github = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
        ended = subprocess.run(
            [HERE / "gate.sh", features, "alignment"],
            cwd=folder,
            env=environment | github,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert ended.returncode == code, (ended.returncode, code, ended.stderr)
        assert output.read_text() == f"decision={decision}\n"
        assert (Path(folder) / "phasegate.env").read_text() == f"PHASEGATE_DECISION={decision}\n"
        results = Path(folder) / "phasegate.xml"
        if decision == "none":
            assert not results.exists()
            assert not summary.exists()
            return {}
        assert decision in summary.read_text().splitlines()[0].lower(), summary.read_text()
        return read_junit(results, decision)


def read_junit(results: Path, decision: str) -> dict[str, str]:
    """How each rule came out, in full; a decision that holds up the run is red, for a rule that says why."""
    parsed = JUnitXml.fromfile(str(results))
    cases = [case for suite in parsed for case in suite]
    red = [case.name for case in cases if any(isinstance(one, Failure | Error) for one in case.result)]
    assert (decision == "pass") == (not red), (decision, red)
    assert parsed.tests == len(cases) > 0
    return {
        case.name: " ".join([*(f"{type(one).__name__}: {one.text}" for one in case.result), case.system_out or ""])
        for case in cases
    }


def lint_pipelines() -> None:
    for schema, file in (("github-workflows", "github-workflow.yml"), ("gitlab-ci", "gitlab-ci.yml")):
        subprocess.run(["check-jsonschema", "--builtin-schema", f"vendor.{schema}", HERE / file], check=True)
    with tempfile.TemporaryDirectory() as folder:  # zizmor knows a workflow by where it lies
        workflow = Path(folder) / ".github" / "workflows" / "train.yml"
        workflow.parent.mkdir(parents=True)
        workflow.write_text((HERE / "github-workflow.yml").read_text())
        subprocess.run(["zizmor", "--offline", "--no-progress", folder], check=True)


if __name__ == "__main__":
    main()
