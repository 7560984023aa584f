"""`phasegate submit`, `report`, `list`, `cancel`: what is found wrong before a service is asked, and the help texts."""

import pytest
from typer.testing import CliRunner

from service.cli import app

UPLOAD = ("x.npy", "y.npy", "--labels", "labels.csv")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command beside the files of an upload; nobody is asked for the address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PHASEGATE_URL", raising=False)
    for name in ("x.npy", "y.npy", "labels.csv"):
        (tmp_path / name).write_bytes(b"")
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", *UPLOAD, "--options", '{"colour": 1}'), "options.colour: "),
        (("submit", *UPLOAD, "--options", "{"), "[invalid_option]"),
        (("submit", *UPLOAD, "--metadata", "team"), "KEY=VALUE"),
        (("list", "--metadata", "=x"), "KEY=VALUE"),
        (("list", "--metadata", "a=1", "--metadata", "a=2"), "Give it once."),
        (("list", "--url", "127.0.0.1:8000"), "Give one such as http://127.0.0.1:8000."),
        (("cancel", "an-1", "--url", "ftp://host\x1b[2J\nx"), "is no address of a server"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, arguments, words):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("phasegate: ")
    assert (result.stderr.count("\n"), result.stderr.count("\x1b")) == (1, 0)
    assert words in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "no.npy", *UPLOAD[1:]),
        ("submit", *UPLOAD[:2]),
        ("submit", *UPLOAD, "--timeout", "-1"),
        ("report", ""),
        ("list", "--state", "lost"),
        ("list", "--limit", "0"),
    ],
)
def test_a_command_that_cannot_be_read_ends_with_its_usage(run, arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_the_address_may_come_from_the_environment(run, monkeypatch):
    monkeypatch.setenv("PHASEGATE_URL", "elsewhere")
    assert "'elsewhere' is no address" in run("list").stderr
    assert "'here' is no address" in run("list", "--url", "here").stderr


@pytest.mark.parametrize("name", ["submit", "report", "list", "cancel"])
def test_help_says_what_exit_codes_mean(run, name):
    said = " ".join(run(name, "--help").stdout.split())
    assert "Exit code 0: fine; 1: " in said
    assert "PHASEGATE_URL" in said
