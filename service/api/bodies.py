"""Request bodies: multipart forms, JSON, and query strings, read so that nothing sent is ignored in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from service.analyses.errors import InvalidRequest, StoreUnavailable
from service.estimation.errors import InvalidOption
from service.schemas.options import OPTIONS_BYTES
from service.schemas.uploads import parts_of, required_of
from service.schemas.wire import WireModel, first_error

MULTIPART = "multipart/form-data"
JSON = "application/json"
Model = TypeVar("Model")


@dataclass(frozen=True)
class Form:
    """A received form: its files, and its texts."""

    files: Mapping[str, BinaryIO]
    texts: Mapping[str, str]


def media_type(request: Request) -> str:
    """The media type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(accepted: str) -> HTTPException:
    """The refusal of a body of another kind."""
    return HTTPException(415, f"Send {accepted}, and say so in Content-Type.")


@asynccontextmanager
async def read_form(request: Request, form: type[WireModel]) -> AsyncIterator[Form]:
    """The parts of a multipart body, spooled to disk; gone when the context ends.

    Raises: InvalidRequest for a part that is unknown, missing, sent twice, or of the wrong kind; StoreUnavailable.
    """
    parts = parts_of(form)
    try:
        received = await request.form(max_files=2 * len(parts), max_fields=2 * len(parts), max_part_size=OPTIONS_BYTES)
    except OSError as error:
        raise StoreUnavailable("The upload could not be stored: the disk may be full. Try again later.") from error
    try:
        _check_names(received, list(parts))
        files: dict[str, BinaryIO] = {}
        texts: dict[str, str] = {}
        for name, value in received.multi_items():
            if parts[name]:
                if not isinstance(value, UploadFile):
                    raise InvalidRequest(f"Part {name!r} is text. Send it as a file.", part=name)
                files[name] = value.file
            else:
                texts[name] = await _text(name, value)
        for name in required_of(form):
            if name not in files:
                raise InvalidRequest(
                    f"The request has no part {name!r}. Send {', '.join(required_of(form))} as parts of {MULTIPART}.",
                    part=name,
                )
        yield Form(files, texts)
    finally:
        await received.close()


async def read_json(request: Request, adapter: TypeAdapter[Model]) -> Model:
    """The body as a JSON object of a known schema.  Raises InvalidOption for its options, InvalidRequest."""
    body = await request.body()  # BodyLimit bounds it
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        place, message = first_error(error)
        where = ".".join(place) or "The body"
        if place[:1] == ("options",):
            raise InvalidOption(
                f"{where}: {message}. The README and /docs list the options.", part="options"
            ) from error
        raise InvalidRequest(f"{where}: {message}. /docs shows what this call takes.", part=".".join(place)) from error


def check_query(request: Request, known: Collection[str], prefix: str | None = None) -> None:
    """Refuse query parameters that do not exist.  Raises InvalidRequest."""
    for name in request.query_params:
        if name not in known and not (prefix and name.startswith(prefix)):
            names = [*known, *([f"{prefix}<name>"] if prefix else [])]
            raise InvalidRequest(
                f"There is no query parameter {name[:40]!r}. This call takes {', '.join(names) or 'none'}."
            )


async def _text(name: str, value: UploadFile | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return (await value.read(OPTIONS_BYTES + 1)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"Part {name!r} is not UTF-8 text. Send JSON text.", part=name) from error


def _check_names(received: FormData, parts: list[str]) -> None:
    names = [name for name, _ in received.multi_items()]
    for name in names:
        if name not in parts:
            raise InvalidRequest(f"There is no part {name[:40]!r}. The parts are {', '.join(parts)}.")
        if names.count(name) > 1:
            raise InvalidRequest(f"Part {name!r} was sent {names.count(name)} times. Send it once.", part=name)
