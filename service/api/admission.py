"""Who comes in: ASGI middleware before everything that reads a request, and after which nobody need ask again."""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.audit import audit_call
from service.access.callers import ANYONE, READING, Caller, check_scopes, demanded
from service.access.errors import AccessRefused, Unauthenticated
from service.access.hosts import check_host, host_rule, read_names
from service.access.keys import id_in
from service.access.origins import check_origin
from service.access.ring import NO_KEY, KeyRing
from service.analyses.errors import StoreUnavailable
from service.api import problems
from service.api.observation import UNANSWERED, named_in, route_template
from service.api.threads import run_in
from service.settings import Settings

CHALLENGE = {"WWW-Authenticate": "Bearer"}
ID_CHARACTERS = 64  # of what a caller says is an id
CALLER = "caller"
"""Name in the state of a request."""


class Admission:
    """Checks host, origin and key of every request; answers those that may not come in; writes the audit log.

    The body of a request that is turned away is never read.  The caller is left in the state of the request.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._require_keys = settings.require_keys
        names = read_names(settings.allowed_hosts)
        self._hosts = host_rule(settings.host, names, require_keys=settings.require_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] != "http":  # the start and the end of the application: it has no other calls
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        status, location = UNANSWERED, None
        caller: Caller | None = None
        is_refused = False

        async def sending(message: Message) -> None:
            nonlocal status, location
            if message["type"] == "http.response.start":
                status, location = message["status"], Headers(raw=message["headers"]).get("location")
            await send(message)

        try:
            try:
                caller = await self._admit(scope, headers)
            except (AccessRefused, StoreUnavailable) as error:
                is_refused = isinstance(error, AccessRefused)
                challenge = CHALLENGE if isinstance(error, Unauthenticated) else None
                answer = problems.respond(problems.problem_of(error), challenge)
                await answer(scope, receive, sending)
            else:
                scope.setdefault("state", {})[CALLER] = caller
                await self._app(scope, receive, sending)
        except Exception:
            status = 500  # answered further out
            raise
        finally:
            if is_refused or scope["method"] not in READING:
                claimed = id_in(bearer(headers) or "") if self._require_keys else None
                client = scope["client"][0] if scope.get("client") else None
                route = route_template(scope["app"], scope)
                resource = resource_of(route, scope["path"], location)
                audit_call(caller, claimed, client, f"{quote(scope['method'][:16])} {route}", resource, status)

    async def _admit(self, scope: Scope, headers: Headers) -> Caller:
        """Who calls.  Raises AccessRefused, StoreUnavailable."""
        check_host(headers.getlist("host"), self._hosts)
        check_origin(scope["method"], headers["host"], headers.get("sec-fetch-site"), headers.get("origin"))
        scopes = demanded(scope["method"], scope["path"])
        if not self._require_keys or not scopes:
            return ANYONE
        presented = bearer(headers)
        if presented is None:
            raise Unauthenticated(NO_KEY)
        ring: KeyRing = scope["app"].state.ring
        caller = ring.recognize(presented)
        if caller is None:
            caller = await run_in(scope["app"].state.threads.lookups, ring.authenticate, presented)
        check_scopes(caller, scopes)
        return caller


def bearer(headers: Headers) -> str | None:
    """What the one `Authorization` header presents as a bearer; None for another scheme, for none, and for several."""
    given = headers.getlist("authorization")
    scheme, _, presented = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return presented.strip() if scheme.lower() == "bearer" else None


def resource_of(route: str, path: str, location: str | None) -> str | None:
    """The id of what a call is about: of what has come of it, or else the last one in its address, percent-encoded.

    Of what has come of it that is all below the collection that it is in, such as /v1/policies.
    """
    if location:
        return "/".join(location.split("/")[3:])
    names = {name: value for name, value in named_in(route, path).items() if name.endswith("_id")}
    return quote(list(names.values())[-1], safe="")[:ID_CHARACTERS] if names else None
