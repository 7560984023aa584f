"""How routes reach the services of their application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.wiring import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
