"""Serves the API with uvicorn, on its own address or on a socket that the process tree listens on."""

from __future__ import annotations

import signal
import socket
import tempfile
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn

from service.access.hosts import addresses_of, check_binding
from service.api.app import create_app
from service.api.draining import LINGER_S, DrainingServer
from service.api.http_protocol import bounded_protocol
from service.api.observation import observed
from service.settings import Settings
from service.wiring import check_store, open_ring, open_stores, queue_url

log = structlog.get_logger("phasegate.api")


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises QueueNotConfigured, StoreNotUsable, KeyFileRefused, OpenToTheNetwork.
    """
    check_store(settings)
    sockets = None if settings.listen_fd is None else [socket.socket(fileno=settings.listen_fd)]
    check_binding(
        addresses_of(settings.host) if sockets is None else [sockets[0].getsockname()[0]],
        require_keys=settings.require_keys,
        let_anyone=settings.let_anyone_on_the_network_use_this_service,
    )
    # The server gives a signal that has ended it to whoever had it before, when it has ended.
    signal.signal(signal.SIGTERM, _exit)
    if settings.let_anyone_on_the_network_use_this_service and not settings.require_keys:
        log.warning("open_to_the_network", advice="Whoever reaches this service may use it: no key is asked for.")
    new_server(settings).run(sockets)


def _exit(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def new_server(settings: Settings) -> uvicorn.Server:
    """The server, not running yet.  Raises QueueNotConfigured, StoreNotUsable, KeyFileRefused."""
    queue_url(settings)
    open_ring(settings)
    # Uploads are spooled to the disk on which they end up: /tmp may be memory, or too small.
    tempfile.tempdir = str(open_stores(settings).tmp)
    app = create_app(settings)
    linger_s = LINGER_S if settings.listen_fd is None else 0.0
    config = uvicorn.Config(
        observed(app),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who calls is who has connected, whatever X-Forwarded-For claims
        http=bounded_protocol(settings.body_silence_s, settings.max_connections),
        ws="none",
        timeout_graceful_shutdown=max(1, settings.drain_s - int(linger_s)),
    )
    return DrainingServer(config, app.state.draining, linger_s)
