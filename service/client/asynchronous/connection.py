"""HTTP with one service: requests go out, models or the client's errors come back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import httpx2

from service.access.hosts import is_loopback
from service.client.addresses import parse_address, sentence, shown
from service.client.answers import Item, Page, parsed
from service.client.asynchronous.runtime import SentBody, in_thread, pause
from service.client.errors import ClientError, InvalidAddress
from service.client.presenting import bearer, check_key
from service.client.refusals import PROXIES, refusal, unanswered, unexpected
from service.client.repeating import is_without_keys, jittered, pause_s
from service.client.uploads import Upload
from service.schemas.content_digest import CONTENT_DIGEST, content_digest
from service.schemas.idempotency_key import IDEMPOTENCY_KEY

Query = Mapping[str, str | int | Sequence[str] | None]
Answer = TypeVar("Answer")


class AsyncConnection:
    """Connections to one service.  Close it at the end.

    Requests raise ClientError: NotReachable, UnexpectedAnswer, ProblemReceived.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float,
        use_proxies: bool,
        api_key: str | None = None,
        key_over_http: bool = False,
    ) -> None:
        """Raises InvalidAddress, KeyWithheld.  Proxies of the environment are never asked for a loopback address."""
        address = parse_address(base_url)
        if api_key is not None:
            check_key(api_key, address, key_over_http)
        self.address = shown(address)
        self.timeout_s = timeout_s
        self._has_answered = False
        try:
            self._http = httpx2.AsyncClient(
                base_url=address,
                auth=None if api_key is None else bearer(api_key),
                verify=httpx2.create_ssl_context(),
                follow_redirects=False,  # the key is for the service that was named, whatever it answers
                trust_env=use_proxies and not is_loopback(address.host),
            )
        except (ValueError, ImportError) as error:
            raise InvalidAddress(
                f"The proxy that the environment names cannot be used: {sentence(error)} Mend {PROXIES}, or put "
                f"{address.host} into NO_PROXY."
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float | None = None,
        upload: Upload | None = None,
        repeated: bool = True,
        **sent: Any,
    ) -> httpx2.Response:
        """Send a request; the answer, when it is a success.

        What can be made twice is sent again when its answer is lost or the service cannot take it for a moment: all
        but DELETE, a POST under a key of its own.  Keys need the service's queue: while that is away, and no attempt
        can have been taken, the last one is made without.
        Arguments: timeout_s, longest silence of the service where it is not the usual one; upload, whose parts are
        sent; repeated, whether a call that is lost is made again; sent, as httpx2 takes it.
        """
        timeout = self.timeout_s if timeout_s is None else timeout_s
        if method == "POST":
            sent["headers"] = {IDEMPOTENCY_KEY: uuid4().hex, **sent.get("headers", {})}
        attempt, none_taken = 0, True
        while True:
            attempt += 1
            found = await self._send(method, path, timeout, upload, sent)
            if isinstance(found, httpx2.Response) and found.is_success:
                return found
            has_key = IDEMPOTENCY_KEY in sent.get("headers", {})
            none_taken = none_taken and is_without_keys(found)
            is_harmless = method in ("GET", "PUT") and not self._is_perhaps_nobodys(found)
            wait_s = pause_s(attempt, found) if repeated and (has_key or is_harmless) else None
            if wait_s is not None:
                await pause(jittered(wait_s))
            elif has_key and none_taken:
                del sent["headers"][IDEMPOTENCY_KEY]
            else:
                raise self._refused(found, timeout) from (found if isinstance(found, Exception) else None)

    async def _send(
        self, method: str, path: str, timeout_s: float, upload: Upload | None, sent: Mapping[str, Any]
    ) -> httpx2.Response | httpx2.TransportError:
        if upload is not None:
            upload.rewind()
        request = self._http.build_request(method, path, timeout=timeout_s, **sent)
        if upload is not None:
            request.stream = SentBody(request.stream, upload.tell)
        try:
            answer = await self._http.send(request)
        except httpx2.TransportError as error:
            return error
        except httpx2.DecodingError as error:
            raise unexpected(self.address, str(error)) from error
        self._has_answered = True
        return answer

    def _is_perhaps_nobodys(self, found: httpx2.Response | httpx2.TransportError) -> bool:
        """Whether nobody listens at an address that has never answered: whoever mistypes one is told at once."""
        return isinstance(found, httpx2.ConnectError) and not self._has_answered

    def _refused(self, found: httpx2.Response | httpx2.TransportError, timeout_s: float) -> ClientError:
        if isinstance(found, httpx2.Response):
            return refusal(self.address, found)
        return unanswered(self.address, found, timeout_s)

    async def read(self, kind: type[Answer], method: str, path: str, **sent: Any) -> Answer:
        """Send a request; the answer as a model or a record of the core.  What a newer service adds is left out."""
        return self.parse(kind, await self.ask(method, path, **sent))

    def parse(self, kind: type[Answer], answer: httpx2.Response) -> Answer:
        """An answer as what it must be.  Raises UnexpectedAnswer."""
        return parsed(kind, answer, self.address)

    async def read_json(self, path: str) -> Any:
        """What is at an address, as JSON types."""
        answer = await self.ask("GET", path)
        try:
            return answer.json()
        except ValueError as error:
            raise unexpected(self.address, f"GET {path} is not answered with JSON") from error

    async def items(self, kind: type[Page[Item]], path: str, query: Query) -> AsyncIterator[Item]:
        """All items of a list, fetched a page at a time, as they are asked for."""
        cursor: str | None = None
        while True:
            asked = {name: value for name, value in {**query, "cursor": cursor}.items() if value is not None}
            page = await self.read(kind, "GET", path, params=asked)
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def send_form(
        self, kind: type[Answer], path: str, upload: Upload, texts: Mapping[str, Any], **sent: Any
    ) -> Answer:
        """Send a form of parts, streamed, and of texts, words or JSON; what is None is left out.  Raises OSError."""
        said = {part: value for part, value in texts.items() if value is not None}
        data = {part: value if isinstance(value, str) else json.dumps(value) for part, value in said.items()}
        files = {part: (part, stream) for part, stream in upload.streams.items()}
        return await self.read(kind, "POST", path, upload=upload, files=files, data=data, **sent)

    async def send_part(self, kind: type[Answer], path: str, upload: Upload, part: str) -> Answer:
        """Send one part, streamed, with its digest, for which it is read once before.  Raises OSError."""
        headers = {CONTENT_DIGEST: content_digest(await in_thread(upload.sha256, part))}
        return await self.read(kind, "PUT", path, upload=upload, content=upload.streams[part], headers=headers)

    async def delete(self, path: str) -> None:
        """Remove what is at an address."""
        answer = await self.ask("DELETE", path)
        if answer.status_code != httpx2.codes.NO_CONTENT:
            raise unexpected(self.address, f"DELETE {path} is answered {answer.status_code}")

    @asynccontextmanager
    async def streamed(self, path: str, headers: Mapping[str, str], timeout_s: float) -> AsyncIterator[httpx2.Response]:
        """The answer to a GET while it arrives."""
        request = self._http.build_request("GET", path, headers=headers, timeout=timeout_s)
        try:
            answer = await self._http.send(request, stream=True)
        except httpx2.TransportError as error:
            raise unanswered(self.address, error, timeout_s) from error
        try:
            if not answer.is_success:
                await answer.aread()
                raise refusal(self.address, answer)
            yield answer
        except httpx2.TransportError as error:
            raise unanswered(self.address, error, timeout_s) from error
        finally:
            await answer.aclose()
