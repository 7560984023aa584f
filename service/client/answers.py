"""Answers of the service as models."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar, cast

import httpx2
from pydantic import TypeAdapter, ValidationError

from service.client.refusals import unexpected

Answer = TypeVar("Answer")
Item = TypeVar("Item", covariant=True)


class Page(Protocol[Item]):
    """A page of a list: it says where the next one begins."""

    @property
    def items(self) -> Sequence[Item]:
        """What is on it."""

    @property
    def next_cursor(self) -> str | None:
        """What to send for the page after it; None at the end."""


def parsed(kind: type[Answer], answer: httpx2.Response, address: str) -> Answer:
    """An answer as what it must be; what a newer service adds is left out.  Raises UnexpectedAnswer."""
    adapter: TypeAdapter[Answer] = _adapter(cast(Hashable, kind))
    try:
        return adapter.validate_json(answer.content, extra="ignore")
    except ValidationError as error:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise unexpected(address, f"{asked} is not answered with {kind.__name__}") from error


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))  # made once: that of a report takes a while
