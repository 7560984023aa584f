"""Routes whose JSON the framework reads: it is checked first, as that of all other routes is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.schemas.strict_json import check_json


class CheckedJson(APIRoute):
    """A route that refuses a body which `check_json` refuses; what goes wrong as it comes is told in its own words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, after the check."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            check_json(await request.body())  # BodyLimit bounds it, and the request keeps it
            return await handle(request)

        return checked
