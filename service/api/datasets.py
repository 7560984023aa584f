"""Datasets and label sets over HTTP."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic import TypeAdapter

from service.analyses import intake
from service.analyses.dataset import ID_COLUMN, LabelSet
from service.analyses.expiry import erase
from service.analyses.identity import Kind
from service.analyses.pages import Page, page_of
from service.analyses.ports import Receiver
from service.api.access import CallerDep, ServicesDep, StoreDep
from service.api.bodies import JSON, read_form, read_json, unsupported
from service.api.body_limit import FORM, media_type
from service.api.capacity import Capacity, CapacityDep
from service.api.describing import (
    ID_EXAMPLES,
    LOCATION,
    RETRY_AFTER,
    form_content,
    json_content,
    problem,
    request_body,
)
from service.api.once import Once, OnceDep
from service.api.reading import reading
from service.api.views import dataset_address, label_set_address, view_dataset, view_label_set
from service.schemas.datasets import DatasetPage, DatasetView, LabelSetPage, LabelSetView, OpenDataset
from service.schemas.limits import DEFAULT_PAGE, LARGEST_PAGE
from service.schemas.uploads import DatasetForm, LabelSetForm, read_types

router = APIRouter(prefix="/v1")

OPEN_DATASET = TypeAdapter(OpenDataset)
CHUNK_BYTES = 1024 * 1024  # gathered before a thread writes them
DatasetId = Annotated[str, Path(description="Id of the dataset.", examples=[ID_EXAMPLES["dataset_id"]])]
LabelSetId = Annotated[str, Path(description="Id of the label set.", examples=[ID_EXAMPLES["label_set_id"]])]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(description="Most items of a page.", ge=1, le=LARGEST_PAGE)]
UNKNOWN = problem("Unknown id.")


@router.post(
    "/datasets",
    status_code=201,
    summary="Create a dataset",
    tags=["datasets"],
    responses={
        201: {"description": "Kept; ready, or open for its parts.", "headers": LOCATION},
        409: problem("There are too many, or the call is still being answered.", RETRY_AFTER),
        413: problem("Too large."),
        415: problem("Neither a form nor JSON."),
        422: problem("The files cannot be a dataset; `code` and `detail` say why and what to do."),
    },
    openapi_extra=request_body(
        form_content(DatasetForm, "features", x="x.npy", y="y.npy"),
        json_content(OpenDataset, parts={"parts": ["x", "y", "groups"]}, features={}),
    ),
)
async def create(
    services: ServicesDep,
    store: StoreDep,
    caller: CallerDep,
    once: OnceDep,
    capacity: CapacityDep,
    request: Request,
    response: Response,
) -> DatasetView:
    """Send all parts as a form, and the dataset is ready; or open it with JSON, and send its parts one by one.

    Shapes, types, groups and covariates are checked before the answer; finiteness and variance when it is analysed.
    """
    kind = media_type(request.headers)
    if kind not in (FORM, JSON):
        raise unsupported(f"{FORM} or {JSON}")
    if not await once.is_known():
        await run_in_threadpool(capacity.to_store)
    if kind == FORM:
        with capacity.uploading():
            async with read_form(request, DatasetForm) as form:
                types = read_types(form.texts.get("covariate_types"), "covariate_types")
                stem = await once.begin(form)
                retention = services.settings.retention
                async with _place(capacity, once), reading(request, caller):
                    dataset = await run_in_threadpool(
                        intake.create_dataset,
                        store,
                        form.files,
                        types,
                        retention,
                        stem,
                        form.media_types,
                        form.texts.get("id_column"),
                    )
    else:
        asked = await read_json(request, OPEN_DATASET)
        stem = await once.begin(await request.body())
        async with _place(capacity, once):
            dataset = await run_in_threadpool(
                intake.open_dataset, store, asked.parts, asked.covariate_types, stem, asked.id_column
            )
    response.headers["Location"] = dataset_address(dataset.id)
    return view_dataset(dataset)


@router.get(
    "/datasets",
    summary="List datasets",
    tags=["datasets"],
    responses={200: {"description": "A page, newest first."}},
)
def list_datasets(store: StoreDep, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE) -> DatasetPage:
    """All datasets, open or ready, newest first."""
    datasets = store.datasets
    page = page_of(datasets.ids, datasets.find_many, Kind.DATASET, cursor, limit)
    return DatasetPage(items=[view_dataset(dataset) for dataset in page.items], next_cursor=page.next_cursor)


@router.get(
    "/datasets/{dataset_id}",
    summary="Look at a dataset",
    tags=["datasets"],
    responses={200: {"description": "The dataset as it stands."}, 404: UNKNOWN},
)
def look(store: StoreDep, dataset_id: DatasetId) -> DatasetView:
    """Shapes, types, digests, expiry, and the parts still to come."""
    return view_dataset(intake.find_dataset(store, dataset_id))


@router.put(
    "/datasets/{dataset_id}/{part}",
    summary="Send a part of an open dataset",
    tags=["datasets"],
    responses={
        200: {"description": "Kept. The last part makes the dataset ready."},
        404: UNKNOWN,
        409: problem("The dataset is ready and has other bytes as this part."),
        413: problem("Too large."),
        422: problem("The part cannot be read, or does not go with the others. It may be sent again."),
    },
    openapi_extra=request_body(
        {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
                "examples": {"features": {"summary": "A file name stands for the file's content.", "value": "x.npy"}},
            }
        }
    ),
)
async def put_part(
    services: ServicesDep,
    store: StoreDep,
    caller: CallerDep,
    capacity: CapacityDep,
    request: Request,
    dataset_id: DatasetId,
    part: Annotated[str, Path(description="x, y, groups or covariates.", examples=["x"])],
) -> DatasetView:
    """The body is the file, in any format that the form takes; its first bytes say which. A Content-Type that names
    another is refused.

    While the dataset is open a part may be sent again. What does not go with the other parts is not kept.
    """
    awaiting = await run_in_threadpool(intake.awaited, store, dataset_id, part)
    async with contextmanager_in_threadpool(store.datasets.stage(awaiting.id_column or ID_COLUMN)) as staged:
        receiver = await run_in_threadpool(staged.begin, part, request.headers.get("content-type"))
        with capacity.uploading():
            await _pour(request, receiver)
        retention = services.settings.retention
        async with reading(request, caller):
            await run_in_threadpool(receiver.finish)
            dataset = await run_in_threadpool(intake.put_part, store, dataset_id, part, staged, retention)
    return view_dataset(dataset)


@router.delete(
    "/datasets/{dataset_id}",
    status_code=204,
    summary="Delete a dataset",
    tags=["datasets"],
    responses={
        204: {"description": "Gone, with its label sets."},
        404: UNKNOWN,
        409: problem("An analysis of it has not finished."),
    },
)
def delete(services: ServicesDep, store: StoreDep, dataset_id: DatasetId) -> None:
    """Remove a dataset, open or ready, with its label sets. Reports that were made of it stay."""
    erase(services.queue, intake.delete_dataset(store, dataset_id))


@router.post(
    "/datasets/{dataset_id}/label-sets",
    status_code=201,
    summary="Add a label set to a dataset",
    tags=["label sets"],
    responses={
        201: {"description": "Kept.", "headers": LOCATION},
        404: UNKNOWN,
        409: problem("The dataset is not ready, it has too many, or the call is still being answered.", RETRY_AFTER),
        413: problem("Too large."),
        415: problem("Not a form."),
        422: problem("The labels do not go with the dataset; `code` and `detail` say why and what to do."),
    },
    openapi_extra=request_body(
        form_content(LabelSetForm, "some_rows", labels="labels.csv", rows="rows.npy", label_types="categorical")
    ),
)
async def add_label_set(
    store: StoreDep,
    caller: CallerDep,
    once: OnceDep,
    capacity: CapacityDep,
    request: Request,
    response: Response,
    dataset_id: DatasetId,
) -> LabelSetView:
    """Labels for some or all rows of a ready dataset, which may have several label sets."""
    if media_type(request.headers) != FORM:
        raise unsupported(FORM)
    if not await once.is_known():
        await run_in_threadpool(capacity.to_label, dataset_id)
    with capacity.uploading():
        async with read_form(request, LabelSetForm) as form:
            types = read_types(form.texts.get("label_types"), "label_types")
            stem = await once.begin(form)
            async with reading(request, caller):
                label_set = await run_in_threadpool(
                    intake.add_label_set,
                    store,
                    dataset_id,
                    form.files,
                    types,
                    stem,
                    form.media_types,
                    form.texts.get("id_column"),
                )
    response.headers["Location"] = label_set_address(label_set.id)
    return view_label_set(label_set)


@router.get(
    "/datasets/{dataset_id}/label-sets",
    summary="List a dataset's label sets",
    tags=["label sets"],
    responses={
        200: {"description": "A page, newest first."},
        404: UNKNOWN,
    },
)
def list_label_sets(
    store: StoreDep, dataset_id: DatasetId, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> LabelSetPage:
    """The label sets of one dataset, newest first."""
    intake.find_dataset(store, dataset_id)
    datasets = store.datasets
    page: Page[LabelSet] = page_of(
        lambda before, at_most: datasets.label_set_ids(dataset_id, before, at_most),
        datasets.find_label_sets,
        Kind.LABEL_SET,
        cursor,
        limit,
    )
    return LabelSetPage(items=[view_label_set(label_set) for label_set in page.items], next_cursor=page.next_cursor)


@router.get(
    "/label-sets/{label_set_id}",
    summary="Look at a label set",
    tags=["label sets"],
    responses={200: {"description": "The label set."}, 404: UNKNOWN},
)
def look_at_label_set(store: StoreDep, label_set_id: LabelSetId) -> LabelSetView:
    """Label columns with their types, sizes and digests."""
    return view_label_set(intake.find_label_set(store, label_set_id))


@router.delete(
    "/label-sets/{label_set_id}",
    status_code=204,
    summary="Delete a label set",
    tags=["label sets"],
    responses={
        204: {"description": "Gone."},
        404: UNKNOWN,
        409: problem("An analysis with it has not finished."),
    },
)
def delete_label_set(services: ServicesDep, store: StoreDep, label_set_id: LabelSetId) -> None:
    """Remove a label set. Reports that were made with it stay."""
    intake.delete_label_set(store, label_set_id)
    erase(services.queue, [label_set_id])


async def _pour(request: Request, receiver: Receiver) -> None:
    """Write the body as it comes, in a thread, so that other requests go on."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) >= CHUNK_BYTES:
            await run_in_threadpool(receiver.write, bytes(gathered))
            gathered.clear()
    if gathered:
        await run_in_threadpool(receiver.write, bytes(gathered))


def _place(capacity: Capacity, once: Once) -> AbstractAsyncContextManager[None]:
    """A place for a dataset, now that all of it is here; what an earlier attempt may have made has one."""
    return contextmanager_in_threadpool(capacity.place_in_store(is_known=once.earlier_stem is not None))
