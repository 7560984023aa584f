"""`phasegate diff` of files: forms, and exit codes that are answers."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.estimation.record import as_dict, to_json
from service.gating.comparison import compare
from tests.unit.gating.compared import published, report

OTHER = {"ratio": 4.0, "low": 3.0, "high": 5.0}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PHASEGATE_URL", "PHASEGATE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, made in (("a", report()), ("b", report(**OTHER)), ("p", published(0)), ("q", published(1))):
        (tmp_path / f"{name}.json").write_text(to_json(made))
    return tmp_path


def diff(*arguments):
    return CliRunner().invoke(app, ["diff", *arguments])


@pytest.mark.parametrize(
    ("names", "exit_code", "first"),
    [
        (("a.json", "a.json"), 0, "Nothing differs beyond the intervals."),
        (("a.json", "b.json"), 1, "More than the intervals allow: "),
        (("p.json", "q.json"), 2, "Nothing is known to differ"),
    ],
)
def test_the_exit_code_is_the_answer(names, exit_code, first):
    result = diff(*names)
    assert (result.exit_code, result.stderr) == (exit_code, "")
    assert result.stdout.startswith(first)
    markdown = diff(*names, "--output", "markdown")
    assert (markdown.exit_code, markdown.stdout.splitlines()[2].startswith(f"**{first.rstrip()}")) == (exit_code, True)


def test_json_is_the_comparison():
    result = diff("a.json", "b.json", "--output", "json")
    assert json.loads(result.stdout) == json.loads(json.dumps(as_dict(compare(report(), report(**OTHER)))))


def test_fields_that_a_newer_service_adds_are_no_hindrance(folder):
    newer = json.loads((folder / "a.json").read_text()) | {"schema_version": "2.7", "more": 1}
    newer["separation"]["ca"]["more"] = 1
    (folder / "newer.json").write_text(json.dumps(newer))
    assert diff("a.json", "newer.json").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.json",), "Missing argument"),
        (("a.json", "none.json"), "none.json cannot be read: No such file or directory."),
        (("a.json", "."), "Is a directory"),
        (("a.json", "empty.json"), "empty.json is no report of Phasegate: Invalid JSON"),
        (("a.json", "other.json"), "other.json is no report of Phasegate: Field required (at schema_version)"),
        (("a.json", "old.json"), "old.json is a report of schema 1.0"),
        (("a.json", "b.json", "--output", "junit"), "junit"),
        (("a.json", "b.json", "--url", ""), "--url is empty"),
        (("a.json", "an-" + "0" * 32, "--url", "http://127.0.0.1:9"), "No service answers"),
    ],
)
def test_without_a_comparison_the_exit_code_is_3(folder, arguments, words):
    (folder / "empty.json").write_text("")
    (folder / "other.json").write_text('{"id": "an-1"}')
    (folder / "old.json").write_text(to_json(replace(report(), schema_version="1.0")))
    result = diff(*arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert words in " ".join(result.stderr.replace("│", " ").split())


def test_help_says_what_exit_codes_mean():
    result = CliRunner().invoke(app, ["diff", "--help"], env={"COLUMNS": "200"})
    said = " ".join(result.stdout.replace("│", " ").split())
    assert "Exit code 0: nothing differs beyond the intervals; 1: something does; 2: it cannot be said" in said
