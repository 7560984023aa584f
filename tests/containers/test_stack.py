"""The stack: what is shut stays shut, and no accepted analysis is lost, whatever is killed."""

import json
import subprocess

import numpy as np
import pytest

from tests.e2e.samples import Sample, npy

from .conftest import WORKERS
from .stack import docker, inspect, is_healthy, wait_until

ANALYSES = 30
pytestmark = pytest.mark.timeout(900)


def submit(http, seed):
    answer = http.post("/v1/analyses", files=Sample(seed, n=900, m=240).files())
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def states(http, ids):
    return [http.get(f"/v1/analyses/{analysis_id}").json()["state"] for analysis_id in ids]


def busy_worker(stack):
    """A container of a worker that is running an analysis."""
    for container in stack.containers("worker"):
        events = [json.loads(line) for line in docker_log(container) if line.startswith("{")]
        attempts = [event["event"] for event in events if event["event"] in ("attempt_started", "attempt_ended")]
        if attempts and attempts[-1] == "attempt_started":
            return container
    return None


def docker_log(container):
    found = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return (found.stdout + found.stderr).splitlines()


@pytest.mark.parametrize("profiles", [[], ["--profile", "monitoring"]])
def test_the_compose_file_is_valid(stack, profiles):
    stack.compose(*profiles, "config", "--quiet")


def test_containers_have_no_rights_that_they_do_not_need(stack):
    for service in ("api", "worker", "redis"):
        for container in stack.containers(service):
            found = inspect(container)
            assert found["Config"]["User"].split(":")[0] not in ("", "0", "root")
            assert found["HostConfig"]["ReadonlyRootfs"]
            assert found["HostConfig"]["CapDrop"] == ["ALL"]
            assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges=true"]
            assert found["HostConfig"]["Memory"] > 0
            assert found["HostConfig"]["PidsLimit"] > 0
            published = [address for port in found["NetworkSettings"]["Ports"].values() for address in port or []]
            assert [address["HostIp"] for address in published] == (["127.0.0.1"] if service == "api" else [])


def test_redis_and_the_workers_have_no_way_out(stack):
    for service in ("redis", "worker"):
        (name,) = inspect(stack.containers(service)[0])["NetworkSettings"]["Networks"]
        assert docker("network", "inspect", "--format", "{{.Internal}}", name).strip() == "true"


def test_redis_lets_nobody_in_without_the_password_and_nobody_administer(stack, password):
    (redis,) = stack.containers("redis")
    assert "NOAUTH" in docker("exec", redis, "redis-cli", "ping")
    wrong = docker("exec", "--env", "REDISCLI_AUTH=wrong", redis, "redis-cli", "--user", "phasegate", "ping")
    assert "PONG" not in wrong
    for refused in (["config", "get", "*"], ["flushall"], ["acl", "list"], ["shutdown"], ["set", "elsewhere", "1"]):
        answer = docker(
            "exec", "--env", f"REDISCLI_AUTH={password}", redis, "redis-cli", "--user", "phasegate", *refused
        )
        assert "NOPERM" in answer, refused


def test_the_password_is_in_no_environment_argument_or_log(stack, password):
    for service in ("api", "worker", "redis"):
        container = stack.containers(service)[0]
        assert password not in json.dumps(inspect(container))
        assert password not in docker("top", container, "-eo", "pid,args")
        assert password not in "\n".join(docker_log(container))


def test_nobody_gets_in_without_a_key(stack):
    with stack.http() as http:
        assert http.get("/v1/limits").status_code == 200
        assert http.get("/v1/limits", headers={"Authorization": ""}).status_code == 401
        assert http.get("/metrics").status_code == 403
        assert http.get("/readyz", headers={"Authorization": ""}).json() == {"ready": True, "workers": WORKERS}
    for service in ("api", "worker", "redis"):
        assert stack.api_key not in "\n".join(docker_log(stack.containers(service)[0]))


def test_an_upload_is_larger_than_what_fits_into_tmp(stack):
    sample = Sample()
    wide = np.zeros((sample.n, 150_000), np.float32)  # 72 MB; /tmp has 64
    with stack.http() as http:
        answer = http.post("/v1/datasets", files={"x": ("x", npy(wide)), "y": ("y", npy(sample.y))})
        assert answer.status_code == 201, answer.text
        assert http.delete(f"/v1/datasets/{answer.json()['id']}").status_code == 204


def test_no_analysis_is_lost_when_a_worker_and_then_redis_are_killed(stack):
    with stack.http() as http:
        ids = [submit(http, seed) for seed in range(ANALYSES)]
        victim = wait_until(lambda: busy_worker(stack), 60)
        docker("kill", victim)
        wait_until(lambda: states(http, ids).count("succeeded") >= ANALYSES // 4, 300)
        docker("kill", stack.containers("redis")[0])
        assert http.get("/healthz").status_code == 200
        away = http.get("/readyz")
        assert (away.status_code, away.json()["code"]) == (503, "queue_unavailable")

        # what an operator does, whatever has happened
        stack.up(WORKERS)
        wait_until(lambda: set(states(http, ids)) == {"succeeded"}, 600)
        reports = [http.get(f"/v1/analyses/{analysis_id}/report") for analysis_id in ids]
        assert [report.status_code for report in reports] == [200] * ANALYSES
        digests = {report.json()["provenance"]["digests"]["x"] for report in reports}
        assert len(digests) == ANALYSES
        assert http.get("/readyz").json() == {"ready": True, "workers": WORKERS}
    for service in ("api", "worker", "redis"):
        assert all(is_healthy(container) for container in stack.containers(service))
    assert [line for line in docker_log(stack.containers("redis")[0]) if "CRITICAL" in line] == []


def test_what_crashes_comes_back_by_itself(stack):
    redis, worker = stack.containers("redis")[0], stack.containers("worker")[0]
    before = {container: inspect(container)["RestartCount"] for container in (redis, worker)}
    docker("exec", redis, "sh", "-c", "kill -9 $(pidof redis-server)")
    first_child = "import os, pathlib; os.kill(int(pathlib.Path('/proc/1/task/1/children').read_text().split()[0]), 9)"
    docker("exec", worker, "python", "-c", first_child)
    for container, count in before.items():
        wait_until(lambda c=container, n=count: inspect(c)["RestartCount"] > n and is_healthy(c), 120)
    with stack.http() as http:
        analysis_id = submit(http, ANALYSES)
        wait_until(lambda: states(http, [analysis_id]) == ["succeeded"], 120)


def test_a_stopped_worker_hands_its_analysis_back(stack):
    with stack.http() as http:
        ids = [submit(http, 100 + seed) for seed in range(6)]
        victim = wait_until(lambda: busy_worker(stack), 60)
        docker("stop", victim)
        assert inspect(victim)["State"]["ExitCode"] == 0
        wait_until(lambda: set(states(http, ids)) == {"succeeded"}, 300)
        stack.up(WORKERS)
