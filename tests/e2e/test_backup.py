"""What docs/operating.md says of backups: made while the service runs, restored elsewhere, nothing lacking."""

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx2

from tests.e2e.conftest import start, stop
from tests.e2e.processes import processes_of
from tests.e2e.samples import Sample
from tests.e2e.test_analyses import PUBLISHED, finished

PAGE = (Path(__file__).parents[2] / "docs/operating.md").read_text(encoding="utf-8")


def block(mark: str) -> list[str]:
    """The commands of the page under a mark."""
    return re.search(rf"<!-- {mark} -->\n```bash\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()


def freeze_workers(root: int) -> None:
    """What is submitted from here on stays without an outcome."""
    for pid, line in processes_of(root).items():
        if line.strip().endswith("worker"):
            os.kill(pid, signal.SIGSTOP)


def test_a_backup_of_a_running_service_is_restored_whole(own, tmp_path):
    running = own("--workers", "1")
    with httpx2.Client(base_url=running.address, timeout=30) as http:
        asked = {"url": "https://localhost:9/", "events": ["analysis.succeeded"]}
        webhook = f"/v1/webhooks/{http.post('/v1/webhooks', json=asked).json()['id']}"
        first = http.post("/v1/analyses", files=Sample(1).files(), data={"options": PUBLISHED}).headers["location"]
        assert finished(http, first)["state"] == "succeeded"
        report = http.get(f"{first}/report").content
        decision = http.post(f"{first}/gate", json={"policy": "alignment"}).json()
        stored = http.post("/v1/policies", json={"name": "mine", "policy": decision["policy"]}).json()
        told = http.get(f"{webhook}/deliveries").json()["items"]
        assert [one["subject_id"] for one in told] == [decision["analysis_id"]]
        freeze_workers(running.process.pid)
        waiting = http.post("/v1/analyses", files=Sample(2).files(), data={"options": PUBLISHED}).headers["location"]
        opened = http.post("/v1/datasets", json={}).json()

        (tmp_path / "phasegate-data").symlink_to(running.data_dir)
        (backup,) = block("backup")
        assert subprocess.run(["bash", "-c", backup], cwd=tmp_path).returncode in (0, 1)
    running.process.kill()
    running.process.wait()

    *unpack, serve = block("restore")
    assert serve == "phasegate serve --data-dir restored"
    subprocess.run(["bash", "-ec", "\n".join(unpack)], cwd=tmp_path, check=True)
    restored = start(tmp_path / "restored")
    try:
        with httpx2.Client(base_url=restored.address, timeout=30) as http:
            assert http.get(f"{first}/report").content == report
            assert http.get(f"/v1/decisions/{decision['id']}").json() == decision
            assert http.get("/v1/policies/mine").json() == stored
            assert finished(http, waiting)["state"] == "succeeded"
            assert http.get(webhook).json()["events"] == asked["events"]
            later = http.get(f"{webhook}/deliveries").json()["items"]
            assert [one["id"] for one in later][1:] == [one["id"] for one in told], "and what has ended since"
            assert http.get(f"/v1/datasets/{opened['id']}").json() == opened
    finally:
        assert stop(restored) == 0
