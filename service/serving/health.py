"""Is the process of this container well?  Asked from outside of it, by what restarts or replaces containers."""

from __future__ import annotations

import http.client
import socket

from service.analyses.errors import QueueUnavailable
from service.serving.listening import reached_at
from service.settings import Settings
from service.storage.redis_queue import RedisQueue, open_connection
from service.wiring import queue_url

ANSWER_TIMEOUT_S = 3.0


def api_illness(settings: Settings) -> str | None:
    """What is wrong with the API on this host's port, or None: GET /healthz answers 200 within ANSWER_TIMEOUT_S."""
    host = reached_at(settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The API does not answer on {host}, port {settings.port}: {error}. Look into its log."
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"The API answers {status} to GET /healthz. Look into its log."


def worker_illness(settings: Settings) -> str | None:
    """What is wrong with the workers of this host, or None: one of them has sent a heartbeat lately.

    Raises QueueNotConfigured.
    """
    connection = open_connection(queue_url(settings), timeout_s=ANSWER_TIMEOUT_S, retries=0)
    try:
        hosts = RedisQueue(connection, time_limit_s=settings.analysis_time_limit_s).worker_hosts()
    except QueueUnavailable as error:
        return error.message
    finally:
        connection.close()
    if socket.gethostname() in hosts:
        return None
    return f"No worker of this host ({socket.gethostname()}) has sent a heartbeat lately. Look into its log."
