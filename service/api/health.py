"""Is the process alive, can the service take and run analyses?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from service import __version__
from service.api import problems
from service.api.access import ServicesDep
from service.api.describing import RETRY_AFTER, problem
from service.api.threads import run_in
from service.schemas.health import Health, Readiness
from service.wiring import Services

router = APIRouter(tags=["health"])

NOT_READY: dict[int | str, dict[str, Any]] = {503: problem("Not ready; `detail` says why.", RETRY_AFTER)}


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:  # not in a thread: they may all be busy
    """Answers as long as the process does; looks at nothing else."""
    return Health(status="ok", version=__version__)


@router.head("/readyz", include_in_schema=False, response_model=None)
@router.get("/readyz", summary="Can the service take and run analyses?", responses=NOT_READY, response_model=Readiness)
async def readyz(services: ServicesDep, request: Request) -> Readiness | JSONResponse:
    """Ready when queue and store can be reached and at least one worker is alive, until the process is told to stop."""
    if request.app.state.draining.is_set():
        return problems.respond(problems.draining())
    workers = await run_in(request.app.state.threads.probes, _workers, services)
    if workers == 0:
        return problems.respond(problems.no_worker())
    return Readiness(ready=True, workers=workers)


def _workers(services: Services) -> int:
    services.stores.check()
    return services.queue.workers_alive()
