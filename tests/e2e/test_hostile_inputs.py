"""Everything hostile that `make bench-hostile` measures, against the whole service."""

import json
import subprocess
import sys

import pytest

from benchmarks.hostile import api_process, measure
from benchmarks.hostile_inputs import SETTINGS, inputs
from tests.e2e.samples import Sample

WAIT = {"Prefer": "wait=30"}


@pytest.mark.timeout(300)  # sixty inputs, some of them large or slow
def test_hostile_input_is_refused_with_its_own_code_in_bounded_memory_and_leaves_nothing(own, tmp_path):
    running = own(**SETTINGS)
    api = api_process(tmp_path / "data.log")
    measured = [measure(hostile, running.address, api, running.data_dir) for hostile in inputs()]
    faulty = [found for found in measured if found.faults]
    assert faulty == []
    assert len({found.name for found in measured}) == len(measured) > 50


def test_names_like_formulas_paths_and_markup_are_only_text(http, running):
    names = ["=cmd|' /C calc'!A0", "../../etc/passwd", "<script>alert(1)</script>"]
    sample = Sample()
    lines = [",".join(f'"{name}"' for name in names)]
    lines += [f"{score},{kind},@{kind}" for score, kind in zip(sample.score, sample.kind, strict=True)]
    files = {part: (f"../../{part}\x1b.npy", file[1]) for part, file in sample.files().items()}
    files["labels"] = ("/etc/passwd", "\n".join(lines).encode())
    answer = http.post("/v1/analyses", files=files, data={"options": '{"method": "reference"}'}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()["label_types"]) == sorted(names)
    report = http.get(answer.json()["links"]["report"])
    assert report.headers["content-type"] == "application/json"
    assert all(name in json.dumps(report.json()) for name in names)
    drawn = subprocess.run(
        [sys.executable, "-m", "service.cli", "report", answer.json()["id"], "--url", running.address],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in drawn.stdout
    stored = {path.name for path in running.data_dir.rglob("*")}
    assert not any(part in name for name in stored for part in ("passwd", "cmd", "script", "\x1b"))
