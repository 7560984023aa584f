"""One attempt at a delivery: one POST to one address that was looked at before."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio.to_thread
import httpx2
import structlog
from anyio import CapacityLimiter

from service import __version__
from service.access.targets import Destination, Target, check_addresses, destination_of
from service.analyses.errors import TargetRefused, WebhooksOff
from service.analyses.webhook import Attempt, Delivery, Webhook
from service.notifications.payloads import body_of
from service.notifications.schedule import seconds_of
from service.notifications.signing import signed_headers

ATTEMPT_S = 15.0  # longest that an attempt takes, whatever the target does
REST_S = 2.0  # longest that is read on after the status, which is all that counts
MOST_READ_BYTES = 4096  # of an answer's body: nobody reads it, but a line that is read to its end is closed in order
MOST_ADDRESSES = 4  # of a name that are tried
MOST_LOOKUPS = 8  # of names at a time

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host's name.  Raises OSError for a name that has none."""


@dataclass(frozen=True)
class Answered:
    """How an attempt went, and for how long the target asks to be left alone."""

    attempt: Attempt
    retry_after_s: float | None = None


Hear = Callable[[Answered], None]
"""Told how an attempt went as soon as that is known."""

log = structlog.get_logger("phasegate.webhooks")


class Sender:
    """Sends deliveries to where the operator allows.

    A name is looked up once for each attempt.  All its addresses are checked, and the connection is made to one of
    them: no second lookup can lead elsewhere.  The certificate is checked against the name.  Redirects, cookies,
    proxies and what else the environment says are not followed.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        allow_http: bool,
        resolve: Resolve | None = None,
        trusted: ssl.SSLContext | None = None,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self._targets, self._allow_http, self._attempt_s = tuple(targets), allow_http, attempt_s
        self._resolve = resolve or resolver()
        self._trusted = trusted or ssl.create_default_context()

    async def send(self, webhook: Webhook, delivery: Delivery) -> Answered:
        """Try once.  What goes wrong is told in the attempt, and nothing is raised."""
        at = datetime.now(UTC)
        heard: list[Answered] = []
        try:
            async with asyncio.timeout(self._attempt_s):
                destination = destination_of(webhook.url, self._targets, allow_http=self._allow_http)
                addresses = await self._resolve(destination.host, destination.port)
                check_addresses(addresses, destination.targets)
                await self._post_to_any(webhook, delivery, destination, addresses, at, heard.append)
        except Exception as error:  # noqa: BLE001 - `_reason` logs what nobody has thought of
            # Once there is a status it decides, whatever becomes of the rest of the answer.
            return heard[0] if heard else Answered(Attempt(at, None, self._reason(error)))
        return heard[0]

    def _reason(self, error: Exception) -> str:
        """Why there was no answer, for who reads the attempt."""
        match error:
            case TargetRefused() | WebhooksOff():
                return error.message
            case TimeoutError():
                return f"The target has not answered within {self._attempt_s:g} s."
            case socket.gaierror():
                return "The host's name cannot be resolved."
            case ssl.SSLError():
                return "The target's certificate cannot be trusted, or it speaks no TLS."
            case httpx2.ConnectError():
                return _unconnected(error)
            case httpx2.HTTPError() | httpx2.InvalidURL() | OSError():
                return "The line was cut, or what came is no HTTP."
        # Its message may hold the address, which is between the webhook's owner and the target.
        log.error("attempt_broken", error=type(error).__name__)
        return "The attempt could not be made. Tell the operator, whose log says more."

    async def _post_to_any(
        self,
        webhook: Webhook,
        delivery: Delivery,
        destination: Destination,
        addresses: Sequence[str],
        at: datetime,
        hear: Hear,
    ) -> None:
        """Post to the first address at which somebody answers."""
        *others, last = addresses[:MOST_ADDRESSES]
        for address in others:
            with suppress(httpx2.ConnectError):
                await self._post(webhook, delivery, destination, address, at, hear)
                return
        await self._post(webhook, delivery, destination, last, at, hear)

    async def _post(
        self, webhook: Webhook, delivery: Delivery, destination: Destination, address: str, at: datetime, hear: Hear
    ) -> None:
        body = body_of(delivery.event)
        named = destination.host if ":" not in destination.host else f"[{destination.host}]"
        pinned = address if ":" not in address else f"[{address}]"
        is_usual = destination.port == {"https": 443, "http": 80}[destination.scheme]
        headers = {
            "Host": named if is_usual else f"{named}:{destination.port}",
            "Content-Type": "application/json",
            "User-Agent": f"phasegate/{__version__}",
            "Accept-Encoding": "identity",
            **signed_headers(delivery.id, body, webhook.secrets_at(at), int(at.timestamp())),
        }
        url = f"{destination.scheme}://{pinned}:{destination.port}{destination.path}"
        async with (
            httpx2.AsyncClient(
                verify=self._trusted, trust_env=False, follow_redirects=False, timeout=self._attempt_s, headers={}
            ) as client,
            client.stream(
                "POST", url, headers=headers, content=body, extensions={"sni_hostname": destination.host}
            ) as answer,
        ):
            error = None if answer.is_success else _refused(answer.status_code)
            retry_after_s = seconds_of(answer.headers.get("Retry-After"), datetime.now(UTC))
            hear(Answered(Attempt(at, answer.status_code, error), retry_after_s))
            read = 0
            async with asyncio.timeout(REST_S):
                async for piece in answer.aiter_raw():
                    read += len(piece)
                    if read > MOST_READ_BYTES:
                        break


def resolver() -> Resolve:
    """The system's own, in threads that nobody else waits for."""
    threads = CapacityLimiter(MOST_LOOKUPS)

    async def resolve(host: str, port: int) -> Sequence[str]:
        def look_up() -> Sequence[str]:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except UnicodeError as error:  # what it raises for a name that no query can hold
                raise socket.gaierror(socket.EAI_NONAME, "Name cannot be looked up") from error
            return [str(entry[4][0]) for entry in found]

        return await anyio.to_thread.run_sync(look_up, limiter=threads, abandon_on_cancel=True)

    return resolve


def _unconnected(error: httpx2.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "The target's certificate cannot be trusted, or it speaks no TLS."
        cause = cause.__cause__ or cause.__context__
    return "Nothing answers at the target's address."


def _refused(status: int) -> str:
    if 300 <= status < 400:
        return f"The target has answered {status}, and redirects are not followed. Give the webhook the right address."
    return f"The target has answered {status}."
