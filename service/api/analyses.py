"""Analyses over HTTP: submit, look, list, fetch the report, cancel, delete."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from service.access.callers import Caller
from service.analyses import lifecycle, submission
from service.analyses.analysis import Analysis, State
from service.analyses.errors import InvalidRequest, TooManyStreams
from service.analyses.metadata import check_metadata
from service.analyses.ports import Store
from service.api import problems
from service.api.access import CallerDep, ServicesDep, StoreDep
from service.api.bodies import JSON, read_form, read_json, unsupported
from service.api.body_limit import FORM, media_type
from service.api.capacity import Capacity, CapacityDep
from service.api.datasets import Cursor, Limit
from service.api.describing import (
    APPLIED,
    ID_EXAMPLES,
    LOCATION,
    RETRY_AFTER,
    form_content,
    json_content,
    problem,
    request_body,
)
from service.api.observation import request_id
from service.api.once import IN_USE, Once, OnceDep, begun
from service.api.reading import reading
from service.api.views import analysis_address, view_analysis
from service.api.waiting import WaitDep, Watches, WatchesDep
from service.estimation.report import Report
from service.estimation.simulation_records import Simulation
from service.schemas.analyses import AnalysisPage, AnalysisRequest, AnalysisView
from service.schemas.limits import DEFAULT_PAGE
from service.schemas.options import read_options
from service.schemas.uploads import UploadForm, read_flag, read_metadata
from service.wiring import Services

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])

METADATA_PREFIX = "metadata."
REQUEST = TypeAdapter(AnalysisRequest)
AnalysisId = Annotated[str, Path(description="Id of the analysis.", examples=[ID_EXAMPLES["analysis_id"]])]
BUSY = problem("As many waits and streams are open as the service holds (`too_many_streams`).", RETRY_AFTER)
UNKNOWN = problem("Unknown id.")
METADATA_FILTER = {
    "name": "metadata",
    "in": "query",
    "description": "`metadata.<name>=<value>`: only analyses that have this in their metadata. May be repeated for "
    "several names.",
    "style": "form",
    "explode": True,
    "schema": {
        "type": "object",
        "patternProperties": {r"^metadata\.": {"type": "string"}},
        "additionalProperties": False,
    },
    "examples": {"team": {"value": {"metadata.team": "vision"}}},
}


@router.post(
    "",
    status_code=202,
    response_model=AnalysisView,
    summary="Submit an analysis",
    responses={
        200: {
            "model": AnalysisView,
            "description": "Finished: within the wait asked for, or at once from a stored report.",
            "headers": LOCATION | APPLIED,
        },
        202: {
            "description": "Stored and queued; it survives a crash from here on.",
            "headers": LOCATION | RETRY_AFTER | APPLIED,
        },
        400: problem("The body cannot be read."),
        404: problem("Unknown dataset or label set."),
        409: problem("The dataset is not ready, there are too many, or the call is still being answered.", RETRY_AFTER),
        413: problem("Too large."),
        415: problem("Neither a form nor JSON."),
        422: problem("The input cannot be estimated; `code` and `detail` say why and what to do."),
    },
    openapi_extra=request_body(
        form_content(
            UploadForm,
            "some_rows",
            x="x.npy",
            y="y.npy",
            labels="labels.csv",
            rows="rows.npy",
            options='{"label_types": "categorical"}',
            metadata='{"team": "vision"}',
        ),
        json_content(
            AnalysisRequest,
            stored={
                "dataset_id": ID_EXAMPLES["dataset_id"],
                "label_set_id": ID_EXAMPLES["label_set_id"],
                "options": {"scaling": "standardize"},
                "metadata": {"team": "vision", "run": "2026-11-26"},
            },
        ),
    ),
)
async def submit(
    services: ServicesDep,
    store: StoreDep,
    once: OnceDep,
    capacity: CapacityDep,
    caller: CallerDep,
    watches: WatchesDep,
    request: Request,
    wait_s: WaitDep,
) -> Response:
    """Analyse a stored dataset with one of its label sets (JSON), or upload both at once (a form).

    A form creates dataset and label set on the way. Shapes, types, sizes, rows, label types, groups and covariates are
    checked before the answer; finiteness and variance of features and labels in the worker. What has been analysed
    before, with the same options and by the same version of the service, is answered from the stored report.
    """
    kind = media_type(request.headers)
    if kind == FORM:
        if not await once.is_known():
            await run_in_threadpool(capacity.to_both)
        with capacity.uploading():
            analysis = await _submit_upload(services, store, caller, once, capacity, request)
    elif kind == JSON:
        analysis = await _submit_stored(services, store, once, capacity, request)
    else:
        raise unsupported(f"{FORM} or {JSON}")
    retention = services.settings.retention
    applied: dict[str, str] = {}
    if wait_s is not None:
        # A repetition of the call need not wait for this one to end its wait.
        await once.keep_response(_answer(analysis, retention))
        with suppress(TooManyStreams):  # it is submitted: then the answer is how it stands
            analysis = await _until_over(capacity, watches, caller.tenant, store, analysis, wait_s)
            applied = _applied(wait_s)
    return _answer(analysis, retention, applied)


@router.get(
    "",
    summary="List analyses",
    responses={200: {"description": "A page, newest first."}},
    openapi_extra={"parameters": [METADATA_FILTER]},
)
def list_analyses(
    services: ServicesDep,
    store: StoreDep,
    request: Request,
    state: Annotated[list[State] | None, Query(description="Only analyses in this state, or in one of these.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
) -> AnalysisPage:
    """Analyses, newest first, filtered by state and metadata.

    A filter that few analyses pass gives short pages with a `next_cursor`: go on until it is null.
    """
    page = lifecycle.list_analyses(
        store,
        services.queue,
        states=frozenset(state or ()),
        metadata=_metadata_filter(request),
        cursor=cursor,
        limit=limit,
    )
    retention = services.settings.retention
    items = [view_analysis(analysis, retention) for analysis in page.items]
    return AnalysisPage(items=items, next_cursor=page.next_cursor)


@router.get(
    "/{analysis_id}",
    summary="Look at an analysis",
    responses={
        200: {"headers": RETRY_AFTER | APPLIED, "description": "The analysis as it stands."},
        404: UNKNOWN,
        429: BUSY,
    },
)
async def look(
    services: ServicesDep,
    store: StoreDep,
    caller: CallerDep,
    capacity: CapacityDep,
    watches: WatchesDep,
    response: Response,
    analysis_id: AnalysisId,
    wait_s: WaitDep,
) -> AnalysisView:
    """State, progress, times, and the error of a failed analysis."""
    analysis = await run_in_threadpool(lifecycle.describe, store, services.queue, analysis_id)
    if wait_s is not None:
        analysis = await _until_over(capacity, watches, caller.tenant, store, analysis, wait_s)
        response.headers.update(_applied(wait_s))
    if not analysis.state.final:
        response.headers["Retry-After"] = str(problems.RETRY_AFTER_S)
    return view_analysis(analysis, services.settings.retention)


@router.get(
    "/{analysis_id}/report",
    summary="Fetch the report",
    response_model=Report | Simulation,
    responses={
        200: {"headers": APPLIED},
        404: UNKNOWN,
        409: problem("Not finished (`report_not_ready`), or none (`no_report`).", RETRY_AFTER),
        429: BUSY,
    },
)
async def report(
    services: ServicesDep,
    store: StoreDep,
    caller: CallerDep,
    capacity: CapacityDep,
    watches: WatchesDep,
    analysis_id: AnalysisId,
    wait_s: WaitDep,
) -> Response:
    """The report, byte for byte as it was stored when the analysis ended; it never changes.

    That of a simulation has the form that a small simulation is answered with at once.
    """
    if wait_s is not None:
        analysis = await run_in_threadpool(lifecycle.describe, store, services.queue, analysis_id)
        await _until_over(capacity, watches, caller.tenant, store, analysis, wait_s)
    stored = await run_in_threadpool(lifecycle.report, store, analysis_id)
    return Response(stored, headers=_applied(wait_s), media_type="application/json")


@router.post(
    "/{analysis_id}/cancel",
    status_code=202,
    summary="Cancel an analysis",
    responses={
        202: {"description": "The analysis as it stands: cancelled, unless it had ended before."},
        404: UNKNOWN,
        409: IN_USE,
    },
    dependencies=[Depends(begun)],
)
def cancel(services: ServicesDep, store: StoreDep, analysis_id: AnalysisId) -> AnalysisView:
    """Take it out of the queue, or stop it within 2 seconds. Repeating the call changes nothing.

    An analysis that has ended stays as it is.
    """
    return view_analysis(lifecycle.cancel(store, services.queue, analysis_id), services.settings.retention)


@router.delete(
    "/{analysis_id}",
    status_code=204,
    summary="Delete an analysis",
    responses={204: {"description": "Gone."}, 404: UNKNOWN, 409: problem("It has not finished.")},
)
def delete(services: ServicesDep, store: StoreDep, analysis_id: AnalysisId) -> None:
    """Remove a finished analysis: its record and its report. Its dataset and label set stay."""
    lifecycle.delete(store, services.queue, analysis_id)


async def _submit_stored(
    services: Services, store: Store, once: Once, capacity: Capacity, request: Request
) -> Analysis:
    asked = await read_json(request, REQUEST)
    stem = await once.begin(await request.body())
    async with contextmanager_in_threadpool(capacity.place_in_queue(once.earlier_stem)):
        return await run_in_threadpool(
            submission.submit,
            store,
            services.queue,
            asked.dataset_id,
            asked.label_set_id,
            asked.options.options(),
            asked.metadata,
            request_id(),
            memory_limit_bytes=services.settings.analysis_memory_limit_bytes,
            stem=stem,
            reuse_within=services.settings.retention if asked.reuse else None,
        )


async def _submit_upload(
    services: Services, store: Store, caller: Caller, once: Once, capacity: Capacity, request: Request
) -> Analysis:
    async with read_form(request, UploadForm) as form:
        chosen = read_options(form.texts.get("options") or "{}")
        metadata = read_metadata(form.texts.get("metadata"))
        reuse = read_flag(form.texts.get("reuse"), "reuse", otherwise=True)
        stem = await once.begin(form)
        # Again, for good: the upload may have taken long.
        async with (
            contextmanager_in_threadpool(capacity.place_in_queue(once.earlier_stem)),
            contextmanager_in_threadpool(capacity.place_in_store(is_known=once.earlier_stem is not None)),
            reading(request, caller),
        ):
            return await run_in_threadpool(
                submission.submit_upload,
                store,
                services.queue,
                form.files,
                chosen.options(),
                chosen.label_types,
                chosen.covariate_types,
                metadata,
                retention=services.settings.retention,
                request_id=request_id(),
                memory_limit_bytes=services.settings.analysis_memory_limit_bytes,
                stem=stem,
                reuse_within=services.settings.retention if reuse else None,
                media_types=form.media_types,
                id_column=form.texts.get("id_column"),
            )


def _answer(analysis: Analysis, retention: timedelta, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a submission: 200 when there is nothing to wait for."""
    said = {"Location": analysis_address(analysis.submission.id), **(headers or {})}
    if not analysis.state.final:
        said["Retry-After"] = str(problems.RETRY_AFTER_S)
    view = view_analysis(analysis, retention).model_dump(mode="json", by_alias=True)
    return JSONResponse(view, 200 if analysis.state.final else 202, said)


def _metadata_filter(request: Request) -> dict[str, str]:
    """What `metadata.<name>=<value>` asks for.  Raises InvalidRequest for what nothing can have."""
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name.startswith(METADATA_PREFIX):
            key = name.removeprefix(METADATA_PREFIX)
            if wanted.setdefault(key, value) != value:
                raise InvalidRequest(f"{name[:80]} is asked for with two values, which nothing has. Send one.")
    check_metadata(wanted)
    return wanted


async def _until_over(
    capacity: Capacity, watches: Watches, tenant: str, store: Store, analysis: Analysis, wait_s: float
) -> Analysis:
    """The analysis when it has ended, or as it stands after the wait, which counts as a stream.

    Raises TooManyStreams.
    """
    if analysis.state.final:
        return analysis
    with capacity.streaming():
        return await watches.until_over(tenant, store, analysis, wait_s)


def _applied(wait_s: float | None) -> dict[str, str]:
    return {} if wait_s is None else {"Preference-Applied": f"wait={wait_s:g}"}
