"""The API: create_app(settings)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

import structlog
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from service import __version__
from service.analyses.errors import QueueUnavailable
from service.analyses.lifecycle import reconcile_queue, reconcile_store
from service.api import analyses, health, metrics, problems
from service.api.analyses import PARTS
from service.api.body_limit import BodyLimit
from service.api.description import describe
from service.schemas.options import OPTIONS_BYTES
from service.settings import Settings
from service.wiring import Services, build

QUEUE_INTERVAL_S = 4.0  # how soon an analysis of a dead worker is put back
STORE_INTERVAL_S = 15.0  # how soon an analysis that the queue lost is queued again

log = structlog.get_logger()


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application.  It connects store and queue when it starts, not when it is made."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = build(settings)
        if settings.listen_fd is not None:
            # Under the process tree there is one API: what uploads a killed one has left belongs to nobody.
            await run_in_threadpool(services.store.sweep)
        app.state.services = services
        app.state.metrics = metrics.new_metrics(services.measure)
        tasks = [
            asyncio.create_task(_repeat(reconcile_queue, services, QUEUE_INTERVAL_S)),
            asyncio.create_task(_repeat(reconcile_store, services, STORE_INTERVAL_S)),
        ]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app = FastAPI(
        title="Phasegate",
        version=__version__,
        summary="Pre-training triage for multimodal data: align, predict, or neither?",
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        form_limits={"max_files": 2 * len(PARTS), "max_fields": len(PARTS), "max_part_size": OPTIONS_BYTES},
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    problems.install(app, settings.max_upload_bytes)
    app.include_router(analyses.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.openapi = cache(lambda: describe(app))  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


async def _repeat(step: Callable[..., None], services: Services, interval_s: float) -> None:
    """Run a reconciliation step again and again; what keeps it from working now is tried again later."""
    while True:
        try:
            await run_in_threadpool(step, services.store, services.queue)
        except QueueUnavailable:
            log.warning("queue_unavailable", step=step.__name__)
        except Exception:
            log.exception("reconciliation_failed", step=step.__name__)
        await asyncio.sleep(interval_s)
