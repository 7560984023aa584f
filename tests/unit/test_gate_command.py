"""`phasegate gate` without a service: what it prints, and that 0, 1 and 2 are said of a decision alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli import app
from service.schemas.policies import DECISION, DecisionView
from tests.e2e.samples import Sample

PUBLISHED = '{"method": "reference"}'
FILES = ("x.npy", "y.npy", "--labels", "labels.csv", "--rows", "rows.npy")
EVERY_REGIME = ("both", "ca_only", "cp_only", "neither")


def policy(regimes=EVERY_REGIME[:3], **more):
    """A policy on the regime, which the published procedure knows; null leaves it to the preset's rule."""
    require = {"regimes": {"any_of": list(regimes)}} if regimes else {"recovery_probability": {"min": 0.8}}
    return json.dumps({"schema_version": "1.0", "planned": {"objective": "any"}, "require": require} | more)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    sample = Sample(seed=31)
    for name in ("x", "y", "rows"):
        np.save(folder / f"{name}.npy", getattr(sample, name))
    (folder / "labels.csv").write_bytes(sample.labels_csv())
    scored = {"rehearsed_score": {"min": 0.5, "label": "colour"}}
    (folder / "colour.json").write_text(policy(require=scored, on_undetermined="pass"))
    np.save(folder / "constant.npy", np.ones((120, 3)))
    return folder


@pytest.fixture
def folder(files, monkeypatch):
    monkeypatch.chdir(files)
    for name in list(os.environ):
        if name.startswith("PHASEGATE_"):
            monkeypatch.delenv(name)
    return files


def gate(*arguments, options=PUBLISHED):
    given = () if "--analysis" in arguments else ("--options", options)
    return CliRunner().invoke(app, ["gate", *arguments, *given])


def found_regime(folder):
    (folder / "any.json").write_text(policy())
    return json.loads(gate(*FILES, "--policy", "any.json", "--output", "json").stdout)["figures"]["regimes"]["x_to_y"]


@pytest.fixture
def policies(folder):
    """Files of policies, of which it is known how this sample comes out."""
    found = found_regime(folder)
    others = [regime for regime in EVERY_REGIME if regime != found]
    planned = {"objective": "alignment"}
    (folder / "passes.json").write_text(policy([found], planned=planned))
    (folder / "fails.json").write_text(policy(others, planned=planned))
    (folder / "abstains.json").write_text(policy(None))
    return folder


@pytest.mark.parametrize(
    ("name", "decision", "exit_code"), [("passes", "pass", 0), ("fails", "fail", 1), ("abstains", "abstain", 2)]
)
def test_every_form_says_the_decision_and_so_does_the_exit_code(policies, name, decision, exit_code):
    said = {
        output: gate(*FILES, "--policy", f"{name}.json", "--output", output)
        for output in ("text", "json", "junit", "markdown")
    }
    assert {result.exit_code for result in said.values()} == {exit_code}
    assert said["text"].stdout.startswith(f"{decision}: the ")
    assert json.loads(said["json"].stdout)["decision"] == decision
    suite = ElementTree.fromstring(said["junit"].stdout_bytes).find("testsuite")
    assert (int(suite.get("failures")), int(suite.get("errors"))) == (int(exit_code == 1), int(exit_code == 2))
    assert f"Phasegate: {decision}" in said["markdown"].stdout.splitlines()[0]
    for result in said.values():
        assert result.stderr.startswith("Estimating in this process")
        assert "done\n" in result.stderr


def test_json_is_the_services_document_with_null_for_what_only_a_service_knows(policies):
    result = gate(*FILES, "--policy", "passes.json", "--output", "json", "--metadata", "run=7")
    document = json.loads(result.stdout)
    assert list(document) == list(DecisionView.model_fields)
    unknown = {name for name, value in document.items() if value is None}
    assert unknown == {
        "id", "analysis_id", "decided_at", "expires_at", "policy_name", "policy_version", "report_sha256",
    }  # fmt: skip
    assert document["metadata"] == {"run": "7"}
    assert document["figures"]["data"]["n_features_y"] == 8
    assert document["figures"]["provenance"]["threads"] == 1
    decision = DECISION.validate_json(result.stdout, extra="ignore")
    assert decision.policy.description == ""


def test_a_preset_needs_no_file(folder):
    result = gate(*FILES, "--policy", "alignment", "--output", "json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["decision"]) == (2, "abstain")
    assert (document["policy_name"], document["policy_version"]) == ("alignment", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*FILES,), "--policy"),
        ((*FILES, "--policy", "ours"), "There is no preset 'ours'"),
        ((*FILES, "--policy", "No"), "names no policy"),
        ((*FILES, "--policy", "none.json"), "none.json cannot be read"),
        ((*FILES, "--policy", "./labels.csv"), "[invalid_policy]"),
        ((*FILES, "--policy", "colour.json"), "('kind', 'score'), or leave it out for all of them. [policy_not_app"),
        (("--policy", "alignment"), "Give X, Y and --labels"),
        (("x.npy", "y.npy", "--policy", "alignment"), "Give X, Y and --labels"),
        (("x.npy", "none.npy", "--labels", "labels.csv", "--policy", "alignment"), "none.npy"),
        ((*FILES, "--policy", "alignment", "--colour", "red"), "--colour"),
        ((*FILES, "--policy", "alignment", "--output", "xml"), "xml"),
        ((*FILES, "--policy", "alignment", "--timeout", "-1"), "--timeout"),
        ((*FILES, "--policy", "alignment", "--timeout", "soon"), "--timeout"),
        ((*FILES, "--policy", "alignment", "--timeout", "nan"), "nan is no time to wait."),
        ((*FILES, "--policy", "alignment", "--timeout", "inf"), "inf is no time to wait."),
        ((*FILES, "more.npy", "--policy", "alignment"), "more.npy"),
        ((*FILES, "--policy", "alignment", "--metadata", "run"), "KEY=VALUE"),
        ((*FILES, "--policy", "alignment", "--metadata", "a b=1"), "[invalid_metadata]"),
        ((*FILES, "--policy", "alignment", "--url", ""), "--url is empty"),
        ((*FILES, "--policy", "alignment", "--url", "ftp://host"), "is no address of a server"),
        ((*FILES, "--policy", "alignment", "--analysis", "an-1"), "Leave out the files"),
        (("--policy", "alignment", "--analysis", "an-1", "--no-reuse"), "Leave out the files"),
        (("--policy", "alignment", "--analysis", "an-1", "--metadata", "a=b"), "Leave out the files"),
        (("--policy", "alignment", "--analysis", "an-1"), "names an analysis of a service"),
        (("--policy", "alignment", "--analysis", " "), "The id is empty"),
        (("constant.npy", *FILES[1:], "--policy", "alignment"), "[constant_modality]"),
        ((*FILES[:4], "--policy", "alignment"), "[label_count_mismatch]"),
        ((*FILES, "--policy", "alignment", "--groups", "x.npy"), "groups has shape (120, 6)"),
        ((*FILES, "--policy", "alignment", "--id-column", "sample"), "sample"),
        ((*FILES, "--policy", "alignment", "--id-column", ""), "id_column is no name of a column"),
        ((*FILES, "--policy", "alignment", "--timeout", "0"), "longer than 0 s"),
    ],
)
def test_without_a_decision_the_exit_code_is_3_and_nothing_is_printed(folder, arguments, words):
    result = gate(*arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("options", ["{", '{"seed": -1}', '{"colour": 1}'])
def test_wrong_options_are_no_decision(folder, options):
    result = gate(*FILES, "--policy", "alignment", options=options)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines()[-1].startswith("phasegate: ")


@pytest.mark.parametrize("arguments", [("gaet", "x.npy"), ("--wrong", "gate")])
def test_what_reaches_no_command_is_no_decision_either(arguments):
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (3, "")


def test_help_is_no_error_and_lists_presets_and_exit_codes():
    result = CliRunner().invoke(app, ["gate", "--help"], env={"COLUMNS": "200"})
    said = " ".join(result.stdout.replace("│", " ").split())
    assert result.exit_code == 0
    for words in (
        "any-crossmodal",
        "name@version",
        "0: pass; 1: fail; 2: abstain; 3: there is no decision",
        "PHASEGATE_URL",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (ZeroDivisionError("\x1b[2Jdivision\nby zero"), 3, "ZeroDivisionError: [2Jdivision by zero. This is a defect"),
        (MemoryError(), 3, "not enough memory"),
        (OSError(28, "No space left on device"), 3, "No space left on device"),
        (BrokenPipeError(32, "Broken pipe"), 3, "Broken pipe"),
        (SystemExit(0), 3, "before it had an answer"),
        (SystemExit(1), 3, "before it had an answer"),
        (ModuleNotFoundError("No module", name="joblib"), 3, "pip install 'phasegate[server]'"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (EOFError(), 3, "EOFError"),
        (RecursionError("deep"), 3, "RecursionError"),
    ],
)
def test_whatever_is_raised_is_no_decision(folder, monkeypatch, error, exit_code, words):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("service.in_process.decide", fail)
    result = gate(*FILES, "--policy", "alignment")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("phasegate: ")
    assert words in last
    assert "Traceback" not in result.stderr


def started(folder, *arguments, before="", asked=(*FILES, "--options", PUBLISHED), **popen):
    """The command in a process of its own, after some lines of Python."""
    program = f"import sys\n{before}\nsys.argv[0] = 'phasegate'\nfrom service.cli import main\nmain()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHASEGATE_")}
    return subprocess.Popen(
        [sys.executable, "-c", program, "gate", *asked, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
        **{"stderr": subprocess.PIPE, **popen},
    )


def test_an_output_that_nobody_reads_is_no_decision(policies):
    reading, writing = os.pipe()
    os.close(reading)
    process = started(policies, "--policy", "passes.json", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.splitlines()[-1] == "phasegate: Broken pipe. There is no answer."


def test_an_output_that_cannot_be_written_is_no_decision(policies):
    with Path("/dev/full").open("w") as full:
        process = started(policies, "--policy", "passes.json", "--output", "json", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.splitlines()[-1] == "phasegate: No space left on device. There is no answer."


def test_an_output_that_is_closed_is_no_decision(policies):
    process = started(policies, "--policy", "passes.json", preexec_fn=lambda: os.close(1))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Standard output is closed" in err


@pytest.mark.parametrize("kind", ["full", "unread", "closed"])
def test_progress_that_cannot_be_shown_costs_no_decision(policies, kind):
    reading, unread = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("w") as full:
        how = {
            "full": {"stderr": full},
            "unread": {"stderr": unread},
            "closed": {"stderr": None, "preexec_fn": lambda: os.close(2)},
        }
        process = started(policies, "--policy", "fails.json", "--output", "json", stdout=subprocess.PIPE, **how[kind])
        os.close(unread)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["decision"]) == (1, "fail")


def test_ctrl_c_while_modules_are_loaded_ends_with_130():
    program = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from service.__main__ import main
main()
"""
    root = str(Path(__file__).parents[2])
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "phasegate: Interrupted.\n")


@pytest.mark.parametrize(("arguments", "unread"), [(("--help",), "stdout"), (("--wrong",), "stderr")])
def test_help_and_usage_that_nobody_reads_are_no_decision(folder, arguments, unread):
    reading, writing = os.pipe()
    os.close(reading)
    process = started(folder, *arguments, asked=(), **{"stdout": subprocess.PIPE, unread: writing})
    os.close(writing)
    process.communicate(timeout=60)
    assert process.returncode == 3


def test_without_what_estimates_it_is_said_what_to_install(folder):
    absent = "sys.modules.update(dict.fromkeys(('scipy', 'sklearn', 'structlog', 'redis', 'fastapi')))"
    process = started(folder, "--policy", "alignment", before=absent, stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert err.count("\n") == 1
    assert "`pip install 'phasegate[server]'` installs it; --url or PHASEGATE_URL names a service." in err


def test_ctrl_c_in_the_middle_of_an_estimation_ends_with_130(folder):
    default = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    process = started(folder, "--policy", "alignment", "--options", "{}", before=default, stdout=subprocess.PIPE)
    while not process.stderr.readline().startswith("survey"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "phasegate: Interrupted."
