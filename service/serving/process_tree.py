"""The tree of `phasegate serve`: embedded server, API and workers, kept alive and stopped together.

The root computes nothing and serves nothing.  It waits for signals; SIGCHLD is one of them.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

from service.access.hosts import addresses_of, check_binding
from service.serving.child import Child, ChildSpec
from service.serving.child_environment import api_environment, base_environment, worker_environment
from service.serving.data_lock import DataDirectoryInUse, hold_data_dir
from service.serving.embedded_server import (
    EmbeddedServer,
    UnsafeSocketDirectory,
    answers,
    prepare_server,
    remove_socket,
)
from service.serving.listening import Address, AddressUnavailable, address_of, is_ready, listen, published
from service.serving.machine_memory import memory_per_analysis
from service.settings import Settings
from service.wiring import check_store, open_ring, queue_url
from service.worker.parent_death import parent_death_guard

log = structlog.get_logger("phasegate.serve")

STOP_MARGIN_S = 3.0
"""API and workers get this long after SIGTERM, beyond the time that they may go on for."""

SERVER_STOP_GRACE_S = 2.0
"""The embedded server gets this long after them; with STOP_MARGIN_S and PHASEGATE_DRAIN_S the most that a stop takes,
9 s unless that is set."""

MAX_SERVER_START_DEATHS = 3
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_SIGNALS = _STOP_SIGNALS | {signal.SIGCHLD}


@dataclass(frozen=True)
class Commands:
    """What the children execute."""

    api: Sequence[str] = (sys.executable, "-m", "service.cli", "api")
    worker: Sequence[str] = (sys.executable, "-m", "service.cli", "worker")


class StopRequested(Exception):
    """SIGTERM or SIGINT has come."""


class ServerFailed(Exception):
    """The embedded server does not start; the message says where its log is."""


def serve(
    settings: Settings,
    *,
    commands: Commands | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> int:
    """Run the tree until SIGTERM or SIGINT; returns the exit code: 0 after a stop that was asked for.

    A dead child is started again at once, or after at most 5 s if it keeps dying.  The stop takes less than 6 s more
    than `settings.drain_s`, and a second signal makes it immediate.  When this process is killed, the kernel kills
    every child.  `on_ready` is called once, with the base URL, when GET /readyz has answered 200.  Must run in the main
    thread.

    Raises QueueNotConfigured when a server is named and its password cannot be used, StoreNotUsable for a bucket that
    lets us not in, KeyFileRefused, OpenToTheNetwork.
    """
    check_binding(
        addresses_of(settings.host),
        require_keys=settings.require_keys,
        let_anyone=settings.let_anyone_on_the_network_use_this_service,
    )
    open_ring(settings)
    check_store(settings)  # said here, once, and not by children that die of it
    if settings.redis_url is not None:
        queue_url(settings)  # a password that is missing is said here, once, and not by children that die of it
    if settings.analysis_memory_limit_bytes is None:
        limit_bytes = memory_per_analysis(settings.workers)
        settings = settings.model_copy(update={"analysis_memory_limit_bytes": limit_bytes})
    with _blocked_signals(), ExitStack() as resources:
        try:
            data_dir = settings.data_dir.resolve()
            lock = resources.enter_context(hold_data_dir(data_dir))
            listener = resources.enter_context(listen(settings.host, settings.port))
            address = address_of(listener)
            resources.enter_context(published(address, data_dir))
            server = prepare_server(data_dir) if settings.redis_url is None else None
        except (DataDirectoryInUse, AddressUnavailable, UnsafeSocketDirectory) as error:
            return _refuse(str(error))
        except OSError as error:
            reason = f"The data directory {settings.data_dir} cannot be used: {error.strerror or error}."
            return _refuse(f"{reason} Choose one that you can write to, with --data-dir or PHASEGATE_DATA_DIR.")
        if server:
            resources.callback(remove_socket, server)
        redis_url = server.url if server else settings.redis_url or ""

        chosen = commands or Commands()
        in_child = _child_preparation()
        api_variables = api_environment(settings, redis_url, listener.fileno())
        servers: list[Child] = []
        if server:
            spec = ChildSpec("server", server.command, base_environment(), (lock,))
            # Each time: without its folder and its configuration it would not start again.
            servers.append(Child(spec, in_child, lambda: prepare_server(data_dir)))
        others = [Child(ChildSpec("api", chosen.api, api_variables, (listener.fileno(),)), in_child)]
        worker_variables = worker_environment(settings, redis_url)
        others += [
            Child(ChildSpec(f"worker-{number}", chosen.worker, worker_variables), in_child)
            for number in range(settings.workers)
        ]
        try:
            if server:
                _start_server(servers[0], server)
            for child in others:
                child.start()
            _keep_alive([*servers, *others], address, on_ready)
        except StopRequested:
            log.info("stopping")
            return 0
        except ServerFailed as error:
            return _refuse(str(error))
        finally:
            _stop(others, settings.drain_s + STOP_MARGIN_S)
            _stop(servers, SERVER_STOP_GRACE_S)


def _refuse(reason: str) -> int:
    """Say why there is no tree, to the person who started it and not to the log; the exit code."""
    print(f"phasegate: {reason}", file=sys.stderr)  # noqa: T201
    return 1


def _keep_alive(children: Sequence[Child], address: Address, on_ready: Callable[[str], object] | None) -> NoReturn:
    """Start dead children again, for ever.  Raises StopRequested."""
    announced = False
    while True:
        for child in children:
            child.reap()
        for child in children:
            if child.restart_at is not None and child.restart_at <= time.monotonic():
                child.start()
        if not announced and is_ready(address):
            announced = True
            log.info("ready", address=address.base_url)
            if on_ready:
                on_ready(address.base_url)
        restarts = [child.restart_at for child in children if child.restart_at is not None]
        waits_s = [max(0.0, moment - time.monotonic()) for moment in restarts]
        _wait_for_signal(min([*waits_s, 3600.0 if announced else 0.1]))


def _start_server(child: Child, server: EmbeddedServer) -> None:
    """Start the embedded server and wait until it answers, however long it loads.  Raises ServerFailed."""
    child.start()
    while not answers(server):
        child.reap()
        if child.deaths_in_a_row >= MAX_SERVER_START_DEATHS:
            raise ServerFailed(f"The embedded server does not start. Its log is {server.log_path}.")
        if child.restart_at is not None and child.restart_at <= time.monotonic():
            child.start()
        _wait_for_signal(0.02)


def _stop(children: Iterable[Child], grace_s: float) -> None:
    """SIGTERM, then SIGKILL to whoever is left after the grace, or at the next stop signal."""
    running = [child for child in children if not child.has_exited()]
    deadline = time.monotonic() + grace_s
    for child in running:
        child.send(signal.SIGTERM)
    while running:
        running = [child for child in running if not child.has_exited()]
        remaining_s = deadline - time.monotonic()
        if not running:
            return
        if remaining_s <= 0:
            break
        try:
            _wait_for_signal(remaining_s)
        except StopRequested:
            break
    for child in running:
        log.warning("child_killed", child=child.spec.name)
        child.kill()
    while running:
        running = [child for child in running if not child.has_exited()]
        if running:
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)


def _wait_for_signal(timeout_s: float) -> None:
    """Wait for a child's death or the timeout.  Raises StopRequested for SIGTERM and SIGINT."""
    received = signal.sigtimedwait(_SIGNALS, timeout_s)
    if received is not None and received.si_signo in _STOP_SIGNALS:
        raise StopRequested


@contextmanager
def _blocked_signals() -> Iterator[None]:
    # Blocked signals wait for sigtimedwait: none is lost between a look at the children and the next wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        while signal.sigtimedwait(_SIGNALS, 0) is not None:
            pass  # an impatient third Ctrl-C must not turn a clean stop into a traceback
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child_preparation() -> Callable[[], None]:
    die_with_parent = parent_death_guard()

    def prepare() -> None:
        die_with_parent()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return prepare
