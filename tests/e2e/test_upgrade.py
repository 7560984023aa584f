"""A release on the data directory of an earlier one: tests/records/data-v3 was left by a service that was killed."""

import json
import shutil
from pathlib import Path

import httpx2

from service.schemas.analyses import REPORT
from tests.e2e.test_analyses import finished

LEFT = Path(__file__).parents[1] / "records/data-v3"
CENTURY_S = 100 * 365 * 24 * 3600  # the sample was made to outlive the release that reads it


def test_what_an_earlier_release_left_is_served_and_finished(own, tmp_path):
    shutil.copytree(LEFT, tmp_path / "data", symlinks=True)
    (waiting,) = ("/v1/analyses/" + mark.name for mark in (LEFT / "unsettled").iterdir())
    (done,) = ("/v1/analyses/" + report.parent.name for report in (LEFT / "analyses").glob("*/report.json"))
    running = own("--workers", "1", PHASEGATE_RETENTION_S=str(CENTURY_S))
    with httpx2.Client(base_url=running.address, timeout=30) as http:
        old = http.get(done).json()
        assert (old["state"], old["metadata"]) == ("succeeded", {"team": "vision"})
        report = http.get(f"{done}/report").content
        assert report == (LEFT / done.removeprefix("/v1/") / "report.json").read_bytes()
        REPORT.validate_json(report)
        assert finished(http, waiting)["state"] == "succeeded"

        again = {"dataset_id": old["dataset_id"], "label_set_id": old["label_set_id"], "options": old["options"]}
        repeated = http.post("/v1/analyses", json=again, headers={"Prefer": "wait=30"}).json()
        assert repeated["state"] == "succeeded"
        new = http.get(f"{repeated['links']['report']}").json()
        assert new["separation"] == json.loads(report)["separation"]
