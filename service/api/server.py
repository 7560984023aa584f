"""Serves the API with uvicorn, on its own address or on a socket that the process tree listens on."""

from __future__ import annotations

import os
import socket

import uvicorn

from service.api.app import create_app
from service.settings import Settings
from service.wiring import queue_url

LISTEN_FD = "PHASEGATE_LISTEN_FD"
SHUTDOWN_TIMEOUT_S = 5  # open requests get this long after SIGTERM


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.  Raises QueueNotConfigured."""
    queue_url(settings)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    inherited = os.environ.get(LISTEN_FD)
    sockets = [socket.socket(fileno=int(inherited))] if inherited else None
    uvicorn.Server(config).run(sockets)
