"""Who calls, and how routes reach what is his: the services of their application, the store of his tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.analyses.ports import Store
from service.analyses.tenancy import DEFAULT_TENANT
from service.wiring import Services


@dataclass(frozen=True)
class Caller:
    """Who calls: a tenant, by one of its keys; None where no key is asked for."""

    tenant: str
    key_id: str | None


# None of these runs in a thread: they may all be busy.


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


async def _caller() -> Caller:
    return Caller(DEFAULT_TENANT, None)


CallerDep = Annotated[Caller, Depends(_caller)]


async def _store(services: ServicesDep, caller: CallerDep) -> Store:
    return services.stores.of(caller.tenant)


StoreDep = Annotated[Store, Depends(_store)]
