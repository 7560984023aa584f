"""Who calls, and how routes reach what is his: the services of their application, the store of his tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.access.callers import Caller
from service.analyses.ports import Store
from service.api.admission import CALLER
from service.wiring import Services

# None of these runs in a thread: they may all be busy.


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


async def _caller(request: Request) -> Caller:
    caller: Caller = getattr(request.state, CALLER)  # of nobody whom Admission has not let in
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]


async def _store(services: ServicesDep, caller: CallerDep) -> Store:
    return services.stores.of(caller.tenant)


StoreDep = Annotated[Store, Depends(_store)]
