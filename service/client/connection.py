"""HTTP with one service: requests go out, models or the client's errors come back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import httpx2
from pydantic import TypeAdapter, ValidationError

from service.access.hosts import is_loopback
from service.access.keys import id_in
from service.client.addresses import parse_address, sentence, shown
from service.client.errors import ClientError, InvalidAddress, KeyWithheld
from service.client.refusals import PROXIES, refusal, unanswered, unexpected
from service.client.repeating import is_without_keys, pause_s
from service.client.uploads import OnProgress, opened
from service.schemas.idempotency_key import IDEMPOTENCY_KEY

Query = Mapping[str, str | int | Sequence[str] | None]
Answer = TypeVar("Answer")


class Page(Protocol):
    """A page of a list: it says where the next one begins."""

    @property
    def next_cursor(self) -> str | None:
        """What to send for the page after it; None at the end."""


SomePage = TypeVar("SomePage", bound=Page)


class Connection:
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
        self._address = shown(address)
        self._timeout_s = timeout_s
        try:
            self._http = httpx2.Client(
                base_url=address,
                auth=None if api_key is None else _bearer(api_key),
                verify=httpx2.create_ssl_context(),
                follow_redirects=False,  # the key is for the service that was named, whatever it answers
                trust_env=use_proxies and not is_loopback(address.host),
            )
        except (ValueError, ImportError) as error:
            raise InvalidAddress(
                f"The proxy that the environment names cannot be used: {sentence(error)} Mend {PROXIES}, or put "
                f"{address.host} into NO_PROXY."
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, method: str, path: str, timeout_s: float | None = None, **sent: Any) -> httpx2.Response:
        """Send a request; the answer, when it is a success.

        A POST has a key of its own, under which it is sent again when its answer is lost or the service cannot take it
        for a moment.  Keys need the service's queue: while that is away, and no attempt can have been taken, the last
        one is made without.
        Arguments: timeout_s, longest silence of the service where it is not the usual one; sent, as httpx2 takes it.
        """
        timeout = self._timeout_s if timeout_s is None else timeout_s
        if method == "POST":
            sent["headers"] = {IDEMPOTENCY_KEY: uuid4().hex, **sent.get("headers", {})}
        attempt, none_taken = 0, True
        while True:
            attempt += 1
            found = self._send(method, path, timeout, sent)
            if isinstance(found, httpx2.Response) and found.is_success:
                return found
            has_key = IDEMPOTENCY_KEY in sent.get("headers", {})
            none_taken = none_taken and is_without_keys(found)
            wait_s = pause_s(attempt, found) if has_key else None
            if wait_s is not None:
                time.sleep(wait_s)
            elif has_key and none_taken:
                del sent["headers"][IDEMPOTENCY_KEY]
            else:
                raise self._refused(found, timeout) from (found if isinstance(found, Exception) else None)

    def _send(
        self, method: str, path: str, timeout_s: float, sent: Mapping[str, Any]
    ) -> httpx2.Response | httpx2.TransportError:
        try:
            return self._http.request(method, path, timeout=timeout_s, **sent)
        except httpx2.TransportError as error:
            return error
        except httpx2.DecodingError as error:
            raise unexpected(self._address, str(error)) from error

    def _refused(self, found: httpx2.Response | httpx2.TransportError, timeout_s: float) -> ClientError:
        if isinstance(found, httpx2.Response):
            return refusal(self._address, found)
        return unanswered(self._address, found, timeout_s)

    def read(self, kind: type[Answer], method: str, path: str, timeout_s: float | None = None, **sent: Any) -> Answer:
        """Send a request; the answer as a model or a record of the core.  What a newer service adds is left out."""
        return self.parse(kind, self.ask(method, path, timeout_s, **sent))

    def parse(self, kind: type[Answer], answer: httpx2.Response) -> Answer:
        """An answer as what it must be.  Raises UnexpectedAnswer."""
        try:
            return TypeAdapter(kind).validate_json(answer.content, extra="ignore")
        except ValidationError as error:
            asked = f"{answer.request.method} {answer.request.url.path}"
            raise unexpected(self._address, f"{asked} is not answered with {kind.__name__}") from error

    def read_json(self, path: str) -> Any:
        """What is at an address, as JSON types."""
        answer = self.ask("GET", path)
        try:
            return answer.json()
        except ValueError as error:
            raise unexpected(self._address, f"GET {path} is not answered with JSON") from error

    def pages(self, kind: type[SomePage], path: str, query: Query) -> Iterator[SomePage]:
        """All pages of a list, each fetched when it is asked for."""
        cursor: str | None = None
        while True:
            asked = {name: value for name, value in {**query, "cursor": cursor}.items() if value is not None}
            page = self.read(kind, "GET", path, params=asked)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def send_form(
        self,
        kind: type[Answer],
        path: str,
        files: Mapping[str, Path | None],
        texts: Mapping[str, Any],
        on_progress: OnProgress | None,
        **sent: Any,
    ) -> Answer:
        """Send a form of files, streamed, and of texts, as JSON; what is None is left out.  Raises OSError."""
        data = {part: json.dumps(value) for part, value in texts.items() if value is not None}
        with opened(files, on_progress) as parts:
            return self.read(
                kind, "POST", path, files={part: (part, file) for part, file in parts.items()}, data=data, **sent
            )

    def delete(self, path: str) -> None:
        """Remove what is at an address."""
        answer = self.ask("DELETE", path)
        if answer.status_code != httpx2.codes.NO_CONTENT:
            raise unexpected(self._address, f"DELETE {path} is answered {answer.status_code}")


def check_key(api_key: str, address: httpx2.URL, key_over_http: bool) -> None:
    """Raises KeyWithheld for what is no key, and for a key that would cross a network unencrypted; never repeats it."""
    if id_in(api_key) is None:
        raise KeyWithheld(
            "The API key is not one of Phasegate: pg_, 12 hexadecimal digits, _, 64 hexadecimal digits. Give the whole "
            "key, as `phasegate keys create` printed it."
        )
    if address.userinfo:
        raise KeyWithheld("The address has a name and a password in it, and there is an API key too. Give one of them.")
    if address.scheme != "https" and not is_loopback(address.host) and not key_over_http:
        raise KeyWithheld(
            f"The API key is not sent to {shown(address)}: without TLS everybody on the way could read it. Use an "
            "https:// address or, if you trust the network, PHASEGATE_API_KEY_OVER_HTTP=true (key_over_http=True)."
        )


def _bearer(api_key: str) -> Callable[[httpx2.Request], httpx2.Request]:
    def present(request: httpx2.Request) -> httpx2.Request:
        request.headers["Authorization"] = f"Bearer {api_key}"
        return request

    return present
