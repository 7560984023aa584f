"""Prometheus over the running stack: it finds the API, and understands every alert and every panel."""

import json
import subprocess
from pathlib import Path

import pytest

from .stack import ROOT, docker, wait_until

PANELS = json.loads((ROOT / "docker/monitoring/grafana/dashboards/phasegate.json").read_text(encoding="utf-8"))[
    "panels"
]
IMAGE = "prom/prometheus:v3.5.0"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def prometheus(stack):
    """The container of Prometheus; skips where its image can neither be found nor fetched."""
    here = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0
    if not here and subprocess.run(["docker", "pull", "--quiet", IMAGE], capture_output=True, check=False).returncode:
        pytest.skip(f"{IMAGE} cannot be fetched here")
    stack.compose("--profile", "monitoring", "up", "--detach", "--no-recreate", "--wait", "prometheus")
    (container,) = stack.compose("--profile", "monitoring", "ps", "--quiet", "prometheus").split()
    return container


def ask(container, expression):
    answer = docker(
        "exec", container, "promtool", "query", "instant", "-o", "json", "http://localhost:9090", expression
    )
    return json.loads(answer)


def test_configuration_and_alerts_are_valid(prometheus):
    assert "6 rules found" in docker(
        "exec", prometheus, "promtool", "check", "config", "/etc/prometheus/prometheus.yml"
    )


def test_every_alert_fires_when_it_should_and_only_then(prometheus):
    mounts = [
        f"--volume={ROOT / source}:/rules/{Path(source).name}:ro"
        for source in ("docker/monitoring/alerts.yml", "tests/containers/alerts_test.yml")
    ]
    docker("run", "--rm", "--entrypoint", "promtool", *mounts, IMAGE, "test", "rules", "/rules/alerts_test.yml")


def test_the_api_is_found_and_speaks_for_the_workers(prometheus):
    wait_until(lambda: [found["value"][1] for found in ask(prometheus, 'up{job="phasegate"}')] == ["1"], 60)
    assert ask(prometheus, "phasegate_workers_alive")[0]["value"][1] == "3"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_can_be_drawn(prometheus, panel):
    for target in panel["targets"]:
        ask(prometheus, target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h"))
