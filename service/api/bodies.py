"""Request bodies: multipart forms and JSON, read so that nothing sent is ignored in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from service.analyses.errors import InvalidRequest, StoreUnavailable, UnreadableBody
from service.api.body_limit import FORM, media_type
from service.api.content_digest import check_file
from service.api.form_end import whole_form
from service.api.invalid_requests import invalid_json
from service.schemas.content_digest import CONTENT_DIGEST
from service.schemas.options import OPTIONS_BYTES
from service.schemas.strict_json import check_json
from service.schemas.uploads import parts_of, required_of
from service.schemas.wire import WireModel

JSON = "application/json"
QUICK_BYTES = 16 * 1024  # of JSON that is read sooner than a thread would be found
Model = TypeVar("Model")
SomeModel = TypeVar("SomeModel", bound=WireModel)


@dataclass(frozen=True)
class Form:
    """A received form: its files, and its texts."""

    files: Mapping[str, BinaryIO]
    texts: Mapping[str, str]
    media_types: Mapping[str, str]
    """What the files are said to be, of those that say something."""


def unsupported(accepted: str) -> HTTPException:
    """The refusal of a body of another kind."""
    return HTTPException(415, f"Send {accepted}, and say so in Content-Type.")


@asynccontextmanager
async def read_form(request: Request, form: type[WireModel]) -> AsyncIterator[Form]:
    """The parts of a multipart body, spooled to disk; gone when the context ends.

    Raises: UnreadableBody for what is no complete form; InvalidRequest for a part that is unknown, missing, sent twice,
    or of the wrong kind; InvalidDigest, DigestMismatch for a part with a digest of its own; StoreUnavailable.
    """
    parts = parts_of(form)
    try:
        received = await Request(request.scope, whole_form(request)).form(
            max_files=2 * len(parts), max_fields=2 * len(parts), max_part_size=OPTIONS_BYTES
        )
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise
        raise UnreadableBody(
            f"The form cannot be read: {error.detail.rstrip('.')}. Its parts are {', '.join(parts)}, each sent once; "
            f"those that are text may hold {OPTIONS_BYTES} bytes."
        ) from error
    except OSError as error:
        raise StoreUnavailable("The upload could not be stored: the disk may be full. Try again later.") from error
    try:
        _check_names(received, list(parts))
        files: dict[str, BinaryIO] = {}
        texts: dict[str, str] = {}
        media_types: dict[str, str] = {}
        for name, value in received.multi_items():
            if parts[name]:
                if not isinstance(value, UploadFile):
                    raise InvalidRequest(f"Part {name!r} is text. Send it as a file.", part=name)
                await run_in_threadpool(check_file, value.headers.getlist(CONTENT_DIGEST), value.file, name)
                files[name] = value.file
                if value.content_type:
                    media_types[name] = value.content_type
            else:
                texts[name] = await _text(name, value)
        for name in required_of(form):
            if name not in files:
                raise InvalidRequest(
                    f"The request has no part {name!r}. Send {', '.join(required_of(form))} as parts of {FORM}.",
                    part=name,
                )
        yield Form(files, texts, media_types)
    finally:
        await received.close()


async def read_json(request: Request, adapter: TypeAdapter[Model]) -> Model:
    """The body as a JSON object of a known schema.  Raises InvalidOption, InvalidMetadata, InvalidRequest."""
    body = await request.body()  # BodyLimit bounds it
    if len(body) <= QUICK_BYTES:
        return _read(body, adapter)
    return await run_in_threadpool(_read, body, adapter)  # other requests go on meanwhile


def _read(body: bytes, adapter: TypeAdapter[Model]) -> Model:
    check_json(body)
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        raise invalid_json(error) from error


def json_body(model: type[SomeModel]) -> Callable[[Request], Awaitable[SomeModel]]:
    """A dependency that reads the body as JSON, as `read_json` does.  Raises HTTPException(415) for another kind."""
    adapter = TypeAdapter(model)

    async def read(request: Request) -> SomeModel:
        if media_type(request.headers) != JSON:
            raise unsupported(JSON)
        return await read_json(request, adapter)

    return read


async def _text(name: str, value: UploadFile | str) -> str:
    if isinstance(value, str):
        return value
    content = await value.read(OPTIONS_BYTES + 1)
    if len(content) > OPTIONS_BYTES:
        raise UnreadableBody(f"Part {name!r} exceeds {OPTIONS_BYTES} bytes. Send less.", part=name)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"Part {name!r} is not UTF-8 text. Send JSON text.", part=name) from error


def _check_names(received: FormData, parts: list[str]) -> None:
    names = [name for name, _ in received.multi_items()]
    for name in names:
        if name not in parts:
            raise InvalidRequest(f"There is no part {name[:40]!r}. The parts are {', '.join(parts)}.")
        if names.count(name) > 1:
            raise InvalidRequest(f"Part {name!r} was sent {names.count(name)} times. Send it once.", part=name)
