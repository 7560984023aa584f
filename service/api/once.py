"""`Idempotency-Key`: a POST that is repeated under its key is made once, and answered as it was the first time.

A route says with `begin` what was sent, and gets the stem of the ids that it may give.  Whatever it answers then is
kept here before it goes out, so that nobody has seen an answer that a repetition would not get.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from secrets import token_hex
from typing import Annotated, BinaryIO, cast

import structlog
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.analyses.claims import CALL_LEASE_S, Answer, Claims, KeyedCall
from service.analyses.errors import InvalidRequest, QueueUnavailable
from service.analyses.identity import Kind, is_id, new_stem, stem_of
from service.api.access import CallerDep
from service.api.bodies import Form
from service.api.describing import RETRY_AFTER, problem
from service.api.threads import run_in
from service.schemas.idempotency_key import IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED

REPLAYED = {IDEMPOTENT_REPLAYED: "true"}
KEY = re.compile(r"[!-~]{1,255}")
KEPT_HEADERS = ("content-type", "location", "retry-after")
SCOPE_KEY = "phasegate.once"
FORGOTTEN = range(400, 500)  # the caller sent what cannot be taken: nothing was made
TOO_MUCH = 429

log = structlog.get_logger()


class Replay(Exception):
    """The call was answered before."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Once:
    """One call that may have a key; without one nothing is kept."""

    def __init__(self, claims: Claims, request: Request, tenant: str, key: str | None) -> None:
        self._claims, self._request, self._tenant, self._key = claims, request, tenant, key
        self._call: KeyedCall | None = None
        self._repeatable: int | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.is_replay = False
        self.earlier_stem: str | None = None
        """That of an attempt before this one, which may have made something."""

    @property
    def scope(self) -> str:
        """Keys are the tenant's, one set of them for each kind of call."""
        return f"{self._tenant} {self._request.scope['route'].path}"

    async def is_known(self) -> bool:
        """Whether the call was begun before."""
        return self._key is not None and await run_in_threadpool(self._claims.is_known, self.scope, self._key)

    async def begin(self, content: Form | bytes, *, repeatable: int | None = None) -> str:
        """The stem of the ids that the call gives.  To be called when the body is here, before anything is made of it.

        Arguments: repeatable, the status of an answer that the call, made again under its stem, gets again: its body
        need not be kept.
        Raises: Replay, IdempotencyKeyReused, IdempotencyKeyInUse, QueueUnavailable.
        """
        if self._key is None:
            return new_stem()
        fingerprint = await run_in_threadpool(_fingerprint, self._request, content)
        call = KeyedCall(self.scope, self._key, fingerprint, token_hex(8), self._tenant)
        offered = self._stem_of_path() or new_stem()
        claim = await run_in_threadpool(self._claims.claim, call, offered)
        self.earlier_stem = claim.stem if claim.stem != offered else None
        if claim.answer is None:
            self._call, self._repeatable = call, repeatable
            self._renewal = asyncio.create_task(self._renew(call))
        elif claim.answer.body is None:
            self.is_replay = True
        else:
            kept = claim.answer
            raise Replay(Response(claim.answer.body, kept.status, {**kept.headers, **REPLAYED}))
        return claim.stem

    async def keep(self, status: int, headers: Headers, body: bytes) -> None:
        """Keep an answer, the first one of the call."""
        call = self._ended()
        if call is not None:
            needs_no_body = status == self._repeatable
            kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
            answer = Answer(status, kept, None if needs_no_body else body.decode())
            with _tolerated():
                await run_in_threadpool(self._claims.keep, call, answer)

    async def keep_response(self, response: Response) -> None:
        """`keep` before there is an answer, for a call that waits: the one that it would have had at once."""
        await self.keep(response.status_code, response.headers, bytes(response.body))

    async def let_go(self, *, forget: bool) -> None:
        """The call is over, and has no answer to keep."""
        call = self._ended()
        if call is not None:
            with _tolerated():
                await run_in_threadpool(self._claims.let_go, call, forget=forget)

    def abandon(self) -> None:
        """Nobody knows what has become of the call: its lease runs out by itself."""
        self._ended()

    def _ended(self) -> KeyedCall | None:
        if self._renewal is not None:
            self._renewal.cancel()
        call, self._call = self._call, None
        return call

    async def _renew(self, call: KeyedCall) -> None:
        while True:
            await asyncio.sleep(CALL_LEASE_S / 3)
            with _tolerated():
                await run_in(self._request.app.state.threads.renewals, self._claims.renew, call)

    def _stem_of_path(self) -> str | None:
        """Of what the call changes and makes anew: an answer that names it goes with it."""
        analysis_id = self._request.path_params.get("analysis_id", "")
        return stem_of(analysis_id) if is_id(analysis_id, Kind.ANALYSIS) else None


async def _once(
    request: Request,
    caller: CallerDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=IDEMPOTENCY_KEY,
            json_schema_extra={"pattern": f"^{KEY.pattern}$"},  # described alone: what is wrong with it is told below
            description="1 to 255 visible ASCII characters, chosen afresh for every call. A repetition under its key "
            "is answered as the call was, and makes nothing new.",
        ),
    ] = None,
) -> Once:
    sent = request.headers.getlist(IDEMPOTENCY_KEY)
    if len(sent) > 1 or (idempotency_key is not None and not KEY.fullmatch(idempotency_key)):
        raise InvalidRequest(
            f"{IDEMPOTENCY_KEY} is not one text of 1 to 255 visible ASCII characters. Send a fresh UUID with every "
            "call.",
            part=IDEMPOTENCY_KEY,
        )
    once = Once(request.app.state.services.claims, request, caller.tenant, idempotency_key)
    request.scope[SCOPE_KEY].append(once)
    return once


OnceDep = Annotated[Once, Depends(_once)]


async def begun(request: Request, once: OnceDep) -> str:
    """Dependency of routes whose body the framework reads, and whose answer of 200 is a function of it."""
    return await once.begin(await request.body(), repeatable=200)


StemDep = Annotated[str, Depends(begun)]
IN_USE = problem("The first call with this Idempotency-Key is still being answered.", RETRY_AFTER)


class AnswersKept:
    """ASGI middleware: keeps the answer of a call with a key before it is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; hold its answer back if it is one to keep."""
        calls: list[Once] = []
        scope[SCOPE_KEY] = calls
        if scope["type"] != "http" or scope["method"] != "POST" or IDEMPOTENCY_KEY not in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def holding(message: Message) -> None:
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await _end(calls, held)
                for one in held:
                    await send(one)

        try:
            await self._app(scope, receive, holding)
        except Exception:
            for once in calls:
                await once.let_go(forget=False)
            raise
        finally:
            for once in calls:
                once.abandon()


def install(app: FastAPI) -> None:
    """Keep answers of calls with keys, and give them again."""
    app.add_middleware(AnswersKept)

    @app.exception_handler(Replay)
    async def replay(request: Request, found: Replay) -> Response:
        return found.response


async def _end(calls: list[Once], held: list[Message]) -> None:
    status, headers = held[0]["status"], MutableHeaders(scope=held[0])
    for once in calls:
        if once.is_replay:
            headers.update(REPLAYED)
        if status < 400:
            await once.keep(status, headers, b"".join(part.get("body", b"") for part in held[1:]))
        else:
            await once.let_go(forget=status in FORGOTTEN and status != TOO_MUCH)


def _fingerprint(request: Request, content: Form | bytes) -> str:
    """Digest of what was sent, where to, and as what; of a form neither its boundary nor the names of its files."""
    digest = hashlib.sha256(request.url.path.encode())
    if isinstance(content, bytes):
        digest.update(b"\njson\n" + content)
        return digest.hexdigest()
    parts = {name: hashlib.sha256(text.encode()).digest() for name, text in content.texts.items()}
    parts |= {name: _digest_of(file) for name, file in content.files.items()}
    for name, part in sorted(parts.items()):
        digest.update(f"\n{name}\n".encode() + part)
    return digest.hexdigest()


def _digest_of(file: BinaryIO) -> bytes:
    digest = hashlib.file_digest(cast(BufferedIOBase, file), "sha256").digest()
    file.seek(0)
    return digest


@contextmanager
def _tolerated() -> Iterator[None]:
    """The call is answered all the same: a repetition finds what it made by its ids."""
    try:
        yield
    except QueueUnavailable:
        log.warning("queue_unavailable", step="idempotency")
