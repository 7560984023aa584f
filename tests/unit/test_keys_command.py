"""`phasegate keys`: what is found wrong, what is printed, what is never printed again."""

import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.settings import Settings
from service.wiring import KeyFileRefused, open_ring

CREATE = ("keys", "create", "--name", "ci", "--scope", "read")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("service.logs.configure", lambda level: None)  # it would be for good
    return lambda *arguments: CliRunner().invoke(app, arguments, env={"PHASEGATE_DATA_DIR": str(tmp_path)})


def test_a_key_is_shown_once_and_listed_without_its_secret(run):
    made = run(*CREATE, "--scope", "submit", "--tenant", "vision", "--expires-in", "30")
    key = made.stdout.splitlines()[-1]
    assert re.fullmatch(r"pg_[0-9a-f]{12}_[0-9a-f]{64}", key)
    _, key_id, secret = key.split("_")
    for shown in (run("keys", "list"), run("keys", "list", "--json"), run("keys", "revoke", key_id)):
        assert shown.exit_code == 0
        assert key_id in shown.stdout
        assert secret not in shown.output
    assert "revoked" in run("keys", "list").stdout


def test_lists_are_for_people_and_for_programs(run):
    assert json.loads(run("keys", "list", "--json").stdout) == []
    assert "phasegate keys create" in run("keys", "list").stderr
    run(*CREATE, "--tenant", "vision")
    (line,) = run("keys", "list").stdout.splitlines()[1:]
    assert re.fullmatch(r"[0-9a-f]{12}  ci +vision +read +\d{4}-\d\d-\d\d +valid *", line)
    (found,) = json.loads(run("keys", "list", "--json").stdout)
    assert set(found) == {"id", "name", "tenant", "scopes", "created_at", "expires_at", "revoked_at"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("keys", "create", "--name", "a\nb", "--scope", "read"), "Give 1 to 64 letters"),
        ((*CREATE, "--tenant", "../x"), "Give 1 to 32 lower-case letters"),
        (("keys", "revoke", "0" * 12), "There is no such key here."),
        (("keys", "revoke", "../x"), "There is no such key here."),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, arguments, words):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("phasegate: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "create", "--name", "ci"),
        ("keys", "create", "--scope", "read"),
        ("keys", "create", "--name", "ci", "--scope", "root"),
        (*CREATE, "--expires-in", "0"),
        ("keys", "revoke"),
    ],
)
def test_a_command_that_cannot_be_read_ends_with_its_usage(run, arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("command", ["submit", "report", "list", "cancel"])
def test_a_key_is_never_an_argument_of_a_process(run, command):
    said = run(command, "--help").stdout
    assert "PHASEGATE_API_KEY" in said
    assert not re.search(r"--(api-)?key\b", said)


@pytest.mark.parametrize(
    ("content", "words"), [("changeme", "holds no key"), (b"\xff", "holds no key"), (None, "No such")]
)
def test_a_file_that_holds_no_key_for_the_metrics_is_refused_without_repeating_it(tmp_path, content, words):
    file = tmp_path / "metrics_key"
    if content:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(KeyFileRefused, match=words) as refused:
        open_ring(Settings(metrics_key_file=file))
    assert "changeme" not in str(refused.value)


def test_a_bucket_that_lets_us_not_in_says_why(bucket_server, tmp_path):
    wrong = {"AWS_SECRET_ACCESS_KEY": "the-wrong-secret-of-somebody"}
    environment = {**os.environ, **bucket_server.environment("keys"), **wrong}
    for arguments in (CREATE, ("keys", "list"), ("keys", "revoke", "0" * 12)):
        command = [sys.executable, "-m", "service.cli", *arguments, "--data-dir", str(tmp_path)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "SignatureDoesNotMatch" in ended.stderr
        assert wrong["AWS_SECRET_ACCESS_KEY"] not in ended.stderr


SURPRISED = """
from service.settings import Settings
from service.storage.bucket_stores import BucketStores
from service.wiring import StoreNotUsable, check_store

def admit(stores):
    raise ValueError("a-secret")

BucketStores.admit = admit
try:
    check_store(Settings(store_url="s3://data"))
except StoreNotUsable as error:
    print(error)
"""


def test_whatever_keeps_the_bucket_from_being_tried_is_no_bucket_that_lets_us_in():
    ended = subprocess.run([sys.executable, "-c", SURPRISED], capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be tried" in ended.stdout
    assert "a-secret" not in ended.stdout + ended.stderr
