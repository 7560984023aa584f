"""A whole Airflow on this machine: API server, scheduler, DAG processor, triggerer, each a process, over SQLite."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

COMPONENTS = ("api-server", "dag-processor", "scheduler", "triggerer")
PATIENCE_S = 180.0


class Airflow:
    """Its processes, and what its API says."""

    def __init__(self, home: Path, dags: Path, phasegate_url: str) -> None:
        self.home = home
        self.port = free_port()
        self.environment = environment(home, dags, self.port, phasegate_url)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def start(self, component: str) -> None:
        with (self.home / f"{component}.log").open("ab") as log:
            self.processes[component] = subprocess.Popen(
                ["airflow", component], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, how: signal.Signals, *components: str) -> None:
        """A signal to the components and all that they have started: each has a session of its own."""
        ended = [self.processes.pop(component) for component in components]
        for process in ended:
            if process.poll() is None:
                os.killpg(process.pid, how)
        for process in ended:
            process.wait(60)

    def get(self, path: str) -> Any:
        return self.http.get(f"/api/v2{path}").raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return self.http.post(f"/api/v2{path}", json=body).raise_for_status().json()

    def sign_in(self) -> None:
        token = self.http.get("/auth/token").raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """What `found` returns as soon as it is true.  Raises TimeoutError, with the components' last words."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if answer := found():
                    return answer
            except (httpx2.TransportError, httpx2.HTTPStatusError):
                pass  # not up yet
            time.sleep(0.5)
        logs = "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in self.home.glob("*.log"))
        raise TimeoutError(f"{what}: not after {PATIENCE_S:g} s.\n{logs}")


@contextmanager
def running_airflow(home: Path, dags: Path, phasegate_url: str) -> Iterator[Airflow]:
    """Airflow in an empty home, ready for the DAGs of a folder."""
    home.mkdir()
    airflow = Airflow(home, dags, phasegate_url)
    with (home / "migrate.log").open("wb") as log:
        subprocess.run(["airflow", "db", "migrate"], env=airflow.environment, check=True, stdout=log, stderr=log)
    try:
        for component in COMPONENTS:
            airflow.start(component)
        airflow.until("Airflow's API", lambda: airflow.http.get("/api/v2/monitor/health").is_success)
        airflow.sign_in()
        yield airflow
    finally:
        airflow.end(signal.SIGTERM, *airflow.processes)
        airflow.http.close()


def environment(home: Path, dags: Path, port: int, phasegate_url: str) -> dict[str, str]:
    """Settings that all components share."""
    service = urlsplit(phasegate_url)
    ours = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_PHASEGATE_DEFAULT": f"http://{service.hostname}:{service.port}",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(__file__).parent / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
        # A triggerer that was killed is missed after so many seconds; what it carried goes to another one then.
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
    }
    return os.environ | ours


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
