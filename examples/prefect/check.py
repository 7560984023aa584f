"""Runs the flow against a Prefect server of its own, and reads back which tasks ran and what the artifact says."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx2

SAMPLES = Path(os.environ["PHASEGATE_SAMPLES"])
PATIENCE_S = 60.0
EXPECTED = {
    "aligned": ("COMPLETED", "Completed", {"submit", "wait", "decide", "train"}),
    "hidden": ("COMPLETED", "Stopped", {"submit", "wait", "decide"}),
    "open": ("FAILED", "Failed", {"submit", "wait", "decide"}),
}


@contextmanager
def prefect_server() -> Iterator[None]:
    """A server with an empty database; this process is told of it, which it must be before it imports prefect."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    os.environ |= {
        "PREFECT_HOME": str(Path.cwd() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": api,
    }
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with Path("server.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_for_server(server, f"{api}/health")
            yield
        finally:
            server.terminate()
            server.wait(30)


def wait_for_server(server: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert server.poll() is None, Path("server.log").read_text()
        try:
            if httpx2.get(address, trust_env=False).is_success:
                return
        except httpx2.TransportError:
            pass  # not up yet
        time.sleep(0.2)
    raise TimeoutError(Path("server.log").read_text())


async def run_flows() -> None:
    from prefect.logging.handlers import APILogHandler
    from train_if_allowed import train_if_allowed

    for sample, (kind, name, tasks) in EXPECTED.items():
        state = await train_if_allowed(SAMPLES / sample, return_state=True)
        ran, artifacts = await read_back(state.state_details.flow_run_id, tasks)
        assert (state.type.value, state.name, ran) == (kind, name, tasks), (state, ran)
        assert artifacts == ["phasegate-verdict"], artifacts
        print(f"{sample}: {state.name}, tasks {sorted(ran)}; {state.message}")
    await APILogHandler.aflush()  # what is logged is sent a little later, and the server is about to stop


async def read_back(flow_run_id: UUID, awaited: set[str]) -> tuple[set[str], list[str]]:
    """Tasks and artifacts of a run; the server hears of tasks a little after they ran."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    deadline = time.monotonic() + PATIENCE_S
    ran: set[str] = set()
    async with get_client() as client:
        while not ran >= awaited and time.monotonic() < deadline:
            ran = {found.name.rpartition("-")[0] for found in await client.read_task_runs(flow_run_filter=run)}
            await asyncio.sleep(0.2)
        artifacts = await client.read_artifacts(flow_run_filter=run)
    return ran, [artifact.key for artifact in artifacts]


if __name__ == "__main__":
    with prefect_server():
        asyncio.run(run_flows())
