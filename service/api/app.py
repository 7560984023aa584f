"""The API: create_app(settings)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

import structlog
from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_offline import FastAPIOffline

from service import __version__
from service.access.targets import read_targets
from service.analyses.errors import QueueUnavailable, StoreUnavailable
from service.analyses.expiry import Expiry
from service.analyses.ports import Queue, Stores
from service.analyses.reconciliation import EndedAttempts, reconcile_queue, reconcile_store
from service.api import (
    analyses,
    datasets,
    decisions,
    events,
    health,
    limits,
    metrics,
    model,
    once,
    policies,
    problems,
    webhooks,
)
from service.api.admission import Admission
from service.api.body_limit import BodyLimit
from service.api.body_pace import BodyPace
from service.api.capacity import Taken, check_rate
from service.api.content_digest import BodyDigest, check_empty_body
from service.api.description import describe
from service.api.queries import check_query
from service.api.threads import kept_threads
from service.api.waiting import Watches
from service.notifications.delivering import Deliverer
from service.notifications.sending import Sender
from service.settings import Settings
from service.wiring import Services, build_api, open_ring

QUEUE_INTERVAL_S = 4.0  # how soon an analysis of a dead worker is put back
STORE_INTERVAL_S = 15.0  # how soon an analysis that the queue lost is queued again
SWEEP_INTERVAL_S = 300.0  # how soon that is removed whose time is over

NO_KEYS = (
    "Keys are required and there are none: every call is refused. Make one where the store is: "
    "`phasegate keys create --name NAME --scope submit --scope read`."
)

log = structlog.get_logger()


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application.  It connects store and queue when it starts, not when it is made."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = build_api(settings)
        with suppress(StoreUnavailable):  # then /readyz says so until it is there
            await run_in_threadpool(services.stores.mend)
            await run_in_threadpool(services.stores.sweep)
        app.state.services = services
        app.state.taken = Taken()
        app.state.threads = threads = kept_threads()
        app.state.watches = watches = Watches(services.queue, services.redis_url, threads.looks, app.state.draining)
        app.state.ring = ring = open_ring(settings)
        if settings.require_keys:
            with suppress(StoreUnavailable):  # which calls say, and /readyz
                if not await run_in_threadpool(ring.has_keys):
                    log.warning("no_keys", advice=NO_KEYS)
        app.openapi()  # takes a moment, which no request should wait for
        app.state.metrics = metrics.new_metrics(services.measure)
        expiry = Expiry(settings.retention, settings.decision_retention)
        tasks = [
            asyncio.create_task(_repeat(reconcile_queue, services, QUEUE_INTERVAL_S)),
            asyncio.create_task(_repeat(EndedAttempts().stop, services, QUEUE_INTERVAL_S)),
            asyncio.create_task(_repeat(reconcile_store, services, STORE_INTERVAL_S)),
            asyncio.create_task(_repeat(expiry.sweep, services, SWEEP_INTERVAL_S)),
            asyncio.create_task(watches.run()),
        ]
        if settings.webhook_hosts:
            tasks.append(asyncio.create_task(_deliverer(services, app.state.metrics).run()))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # FastAPI's own /docs loads its scripts from elsewhere, which clusters seldom can.
    app = FastAPIOffline(
        title="Phasegate",
        version=__version__,
        summary="Pre-training triage for multimodal data: align, predict, or neither?",
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        redoc_url=None,
        static_url="/docs/files",
        redirect_slashes=False,  # a redirect would lead to whatever host the request names
    )
    app.state.draining = threading.Event()
    app.add_middleware(BodyDigest)
    app.add_middleware(BodyLimit, max_upload_bytes=settings.max_upload_bytes)
    app.add_middleware(BodyPace, silence_s=settings.body_silence_s)
    once.install(app)
    app.add_middleware(Admission, settings=settings)  # what is added last is asked first
    problems.install(app)
    of_calls = (
        datasets.router,
        analyses.router,
        events.router,
        policies.router,
        decisions.router,
        model.router,
        limits.router,
        webhooks.router,
    )
    for router in of_calls:
        app.include_router(router, dependencies=[Depends(check_query), Depends(check_empty_body), Depends(check_rate)])
    for router in (health.router, metrics.router):
        app.include_router(router)
    app.openapi = cache(lambda: describe(app, settings))  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


def _deliverer(services: Services, counted: metrics.RequestMetrics) -> Deliverer:
    settings = services.settings
    sender = Sender(read_targets(settings.webhook_hosts), allow_http=settings.webhook_allow_http)
    return Deliverer(services.stores, services.leases, sender, lambda outcome: counted.deliveries.labels(outcome).inc())


async def _repeat(step: Callable[[Stores, Queue], None], services: Services, interval_s: float) -> None:
    """Run a reconciliation step again and again; what keeps it from working now is tried again later."""
    while True:
        try:
            await run_in_threadpool(step, services.stores, services.queue)
        except QueueUnavailable:
            log.warning("queue_unavailable", step=step.__name__)
        except StoreUnavailable:
            log.warning("store_unavailable", step=step.__name__)
        except Exception:
            log.exception("reconciliation_failed", step=step.__name__)
        await asyncio.sleep(interval_s)
