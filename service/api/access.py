"""How routes reach the services of their application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.wiring import Services


async def _services(request: Request) -> Services:  # not in a thread: they may all be busy
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
