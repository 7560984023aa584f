"""The command line as a user has it: commands in a shell, their output, their exit codes."""

import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from service.client import Phasegate
from service.estimation.terms import Method
from service.schemas.options import SubmittedOptions
from service.serving.embedded_server import answers, prepare_server
from tests.e2e.samples import Sample
from tests.e2e.shell import Shell, command, refused

PUBLISHED = ("--options", '{"method": "reference"}')
UPLOAD = ("x.npy", "y.npy", "--labels", "labels.csv", "--rows", "rows.npy", *PUBLISHED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("upload")
    sample = Sample(seed=31)
    for name in ("x", "y", "rows"):
        np.save(folder / f"{name}.npy", getattr(sample, name))
    np.save(folder / "constant.npy", np.ones((120, 3)))
    np.save(folder / "groups.npy", np.arange(120) // 3)
    (folder / "labels.csv").write_bytes(sample.labels_csv())
    return folder


@pytest.fixture
def phasegate(running, folder) -> Shell:
    return Shell(folder, running.address)


@pytest.fixture
def waiting(folder, tmp_path) -> Iterator[Shell]:
    """The API without a worker: whatever is submitted stays queued."""
    server = prepare_server(tmp_path)
    process = subprocess.Popen(server.command)
    deadline = time.monotonic() + 10
    while not answers(server):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {
            "PHASEGATE_REDIS_URL": server.url,
            "PHASEGATE_DATA_DIR": str(tmp_path),
            "PHASEGATE_LISTEN_FD": str(listener.fileno()),
        }
        api = subprocess.Popen(command("api"), env=os.environ | settings, pass_fds=[listener.fileno()])
    assert httpx2.get(f"{address}/healthz", timeout=30).is_success
    yield Shell(folder, address)
    for child in (api, process):
        child.terminate()
        child.wait(15)


def test_the_id_alone_is_printed_and_leads_to_the_report(phasegate):
    submitted = phasegate("submit", *UPLOAD, "--groups", "groups.npy", "--metadata", "run=7", "--metadata", "note=a b")
    assert (submitted.returncode, submitted.stderr) == (0, "")
    (analysis_id,) = submitted.stdout.split()
    drawn = phasegate("report", analysis_id, "--wait")
    assert drawn.returncode == 0
    assert "Separation ratios" in drawn.stdout
    assert "120 pairs, 60 labeled" in drawn.stdout
    assert "\x1b" not in drawn.stdout + drawn.stderr
    as_json = phasegate("report", analysis_id, "--json")
    assert (as_json.returncode, as_json.stderr) == (0, "")
    with Phasegate(phasegate.address) as client:
        assert json.loads(as_json.stdout) == client.report_json(analysis_id)
        analysis = client.analysis(analysis_id)
        assert analysis.metadata == {"run": "7", "note": "a b"}
        assert analysis.inputs.groups is not None
    ended = phasegate("cancel", analysis_id)
    assert (ended.returncode, ended.stdout) == (
        0,
        f"Analysis {analysis_id} had succeeded before it could be cancelled.\n",
    )


def test_submit_and_wait_draws_the_report_with_the_files_names(phasegate):
    result = phasegate("submit", *UPLOAD, "--wait")
    assert result.returncode == 0
    assert "y.npy (8 features)" in result.stdout
    assert result.stderr.startswith("Analysis an-")
    assert result.stderr.splitlines()[-1] == "succeeded"


def test_submit_and_wait_prints_json_alone(phasegate):
    result = phasegate("submit", *UPLOAD, "--wait", "--json")
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert (report["method"], report["data"]["n_features_y"]) == ("reference", 8)
    analysis = json.loads(phasegate("submit", *UPLOAD, "--json").stdout)
    assert analysis["options"]["method"] == "reference"


def test_an_analysis_without_a_report_ends_with_1(phasegate):
    failing = ("constant.npy", *UPLOAD[1:])
    result = phasegate("submit", *failing, "--wait", "--json")
    assert (result.returncode, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("phasegate: Analysis an-")
    assert last.endswith("No column of x varies. Check that the right features were sent. [constant_modality]")
    assert "[constant_modality]" in refused(phasegate("report", last.split()[2]), 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", *UPLOAD[:4]), "[label_count_mismatch]"),
        (("submit", *UPLOAD, "--metadata", "a b=c"), "[invalid_metadata]"),
        (("report", "an-" + "0" * 32), "[analysis_not_found]"),
    ],
)
def test_what_is_refused_ends_with_2_and_says_what_to_do(phasegate, arguments, words):
    assert words in refused(phasegate(*arguments), 2)


def test_lists_are_filtered_newest_first_in_a_table_or_as_json(phasegate):
    with Phasegate(phasegate.address) as client:
        paths = [phasegate.folder / name for name in ("x.npy", "y.npy", "labels.csv", "rows.npy")]
        published = SubmittedOptions(method=Method.REFERENCE)
        runs = [{"series": "list", "run": str(run)} for run in range(3)]
        ids = [client.submit(*paths, published, 30, metadata=run).id for run in runs]
    of_series = ("list", "--metadata", "series=list")
    table = phasegate(*of_series)
    assert (table.returncode, table.stderr) == (0, "")
    heading, *lines = table.stdout.splitlines()
    assert heading.split() == ["id", "state", "progress", "submitted", "metadata"]
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert [line.split()[-2:] for line in lines] == [["series=list", f"run={run}"] for run in (2, 1, 0)]
    newest = phasegate(*of_series, "--limit", "2", "--json")
    assert [analysis["id"] for analysis in json.loads(newest.stdout)] == [ids[2], ids[1]]
    one = phasegate(*of_series, "--metadata", "run=1", "--state", "cancelled", "--state", "succeeded", "--json")
    assert [analysis["id"] for analysis in json.loads(one.stdout)] == [ids[1]]
    none = phasegate(*of_series, "--state", "failed")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "There are no such analyses.\n")


def test_a_queued_analysis_is_waited_for_interrupted_and_cancelled(waiting):
    process = subprocess.Popen(
        command("submit", *UPLOAD, "--wait", "--url", waiting.address),
        cwd=waiting.folder,
        env=waiting.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    analysis_id = process.stderr.readline().split()[1]
    assert process.stderr.readline() == "queued\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == (
        f"phasegate: Interrupted. Analysis {analysis_id} goes on: `phasegate report {analysis_id} --wait --url "
        f"{waiting.address}` waits for its report, `phasegate cancel {analysis_id} --url {waiting.address}` stops it.\n"
    )

    early = refused(waiting("report", analysis_id), 1)
    assert f"is queued, 0% done. `phasegate report {analysis_id} --wait` waits" in early
    late = waiting("report", analysis_id, "--wait", "--timeout", "0")
    assert (late.returncode, late.stdout) == (3, "")
    assert late.stderr.startswith("queued\nphasegate: ")
    assert "is still queued after 0 s" in late.stderr

    cancelled = waiting("cancel", analysis_id)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"Analysis {analysis_id} is cancelled.\n")
    assert "It was cancelled." in refused(waiting("report", analysis_id, "--wait"), 1)


def test_nobody_at_the_address_ends_with_3(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for arguments in (("submit", *UPLOAD), ("report", "an-1", "--wait")):
            said = refused(Shell(folder, address)(*arguments), 3)
            assert said == (
                f"phasegate: No service answers at {address} (connection refused). Start one with `phasegate serve`, "
                "or check the address. --url or PHASEGATE_URL names another.\n"
            )


def test_a_server_without_tls_ends_with_3(phasegate):
    address = phasegate.address.replace("http:", "https:")
    assert f"no secure connection to {address}" in refused(phasegate("list", "--url", address), 3)


def test_a_server_of_something_else_ends_with_3(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            said = refused(Shell(folder, f"http://127.0.0.1:{server.server_port}")("list"), 3)
        finally:
            server.shutdown()
            thread.join()
    assert "is not Phasegate, or not of this version: GET /v1/analyses is answered 501" in said


def test_proxies_of_the_environment_are_not_asked_for_this_machine(phasegate):
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    assert phasegate("list", "--limit", "1", no_proxy="", NO_PROXY="", **proxies).returncode == 0
