"""Analyses over HTTP: submit, look, fetch the report."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Header, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as ReceivedFile

from service.analyses import lifecycle
from service.analyses.analysis import Analysis, StoredArray, StoredFile
from service.analyses.errors import InvalidRequest
from service.analyses.ports import Upload
from service.api import problems
from service.api.access import ServicesDep
from service.api.observation import request_id
from service.estimation.report import Report
from service.schemas.analyses import AnalysisView, ArrayView, FileView, InputsView, LinksView, ProgressView
from service.schemas.options import OPTIONS_BYTES, read_options
from service.schemas.wire import Problem
from service.storage.redis_queue import wait_for_announcement

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])

WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})(?![0-9.])", re.IGNORECASE)
PARTS = ("x", "y", "labels", "rows", "groups", "covariates", "options")


def _problem(description: str) -> dict[str, Any]:
    return {"model": Problem, "content": {problems.MEDIA_TYPE: {}}, "description": description}


HEADERS = {
    "Location": {"description": "Address of the analysis.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds after which to look again.", "schema": {"type": "integer"}},
    "Preference-Applied": {"description": "The wait that was granted.", "schema": {"type": "string"}},
}


@router.post(
    "",
    status_code=202,
    summary="Submit a pair for analysis",
    response_model=AnalysisView,
    responses={
        200: {"model": AnalysisView, "description": "Finished within the wait asked for.", "headers": HEADERS},
        202: {"description": "Stored and queued; it survives a crash from here on.", "headers": HEADERS},
        400: _problem("The multipart body cannot be read."),
        413: _problem("Too large."),
        422: _problem("The input cannot be estimated; `code` and `detail` say why and what to do."),
        503: _problem("The store or the queue is away."),
    },
)
async def submit(
    services: ServicesDep,
    request: Request,
    response: Response,
    x: Annotated[UploadFile, File(description="Features of modality x: .npy (n, dx), float16/32/64 or integers.")],
    y: Annotated[UploadFile, File(description="Features of modality y: .npy (n, dy); row i belongs to row i of x.")],
    labels: Annotated[
        UploadFile, File(description="Labels: .npy (m,) or (m, L), or CSV with a header line, one line per label row.")
    ],
    rows: Annotated[
        UploadFile | None,
        File(description="0-based row of each label: .npy or CSV; left out, the labels cover all n rows in order."),
    ] = None,
    groups: Annotated[
        UploadFile | None,
        File(
            description="Group id of each of the n pairs, such as its subject or site: .npy (n,) of integers or text, "
            "or CSV with a header line and one column."
        ),
    ] = None,
    covariates: Annotated[
        UploadFile | None,
        File(
            description="Covariates of each of the n pairs, such as batch or depth: .npy (n,) or (n, C), or CSV with a "
            "header line, one line per pair."
        ),
    ] = None,
    options: Annotated[
        UploadFile | str | None, Form(description="Options, label types and covariate types, as JSON.")
    ] = None,
    prefer: Annotated[
        list[str] | None, Header(description="`wait=N`: answer when finished, or after N seconds.")
    ] = None,
) -> AnalysisView:
    """Upload paired features with labels for some or all pairs, and queue the estimation.

    Shapes, types, sizes, rows, label types, groups and covariates are checked before the answer; finiteness and
    variance of features and labels in the worker.
    """
    _check_parts(await request.form())
    text = await options.read(OPTIONS_BYTES + 1) if isinstance(options, ReceivedFile) else options
    chosen = read_options(text or "{}")
    upload = Upload(x=x, y=y, labels=labels, rows=rows, groups=groups, covariates=covariates)
    analysis = await run_in_threadpool(
        lifecycle.submit,
        services.store,
        services.queue,
        upload,
        chosen.options(),
        chosen.label_types,
        chosen.covariate_types,
        request_id(),
    )
    analysis_id = analysis.submission.id
    wait_s = _wait(", ".join(prefer or ()), services.settings.max_wait_s)
    if wait_s is not None:
        await wait_for_announcement(
            services.redis_url, analysis_id, wait_s, lambda: services.store.outcome(analysis_id) is not None
        )
        analysis = await run_in_threadpool(lifecycle.describe, services.store, services.queue, analysis_id)
        response.headers["Preference-Applied"] = f"wait={wait_s:g}"
    response.headers["Location"] = f"/v1/analyses/{analysis_id}"
    if analysis.state.final:
        response.status_code = 200
    else:
        response.headers["Retry-After"] = str(problems.RETRY_AFTER_S)
    return _view(analysis)


@router.get(
    "/{analysis_id}",
    summary="Look at an analysis",
    responses={
        200: {"headers": {"Retry-After": HEADERS["Retry-After"]}, "description": "The analysis as it stands."},
        404: _problem("Unknown id."),
    },
)
def look(services: ServicesDep, response: Response, analysis_id: str) -> AnalysisView:
    """State, progress, times, and the error of a failed analysis."""
    analysis = lifecycle.describe(services.store, services.queue, analysis_id)
    if not analysis.state.final:
        response.headers["Retry-After"] = str(problems.RETRY_AFTER_S)
    return _view(analysis)


@router.get(
    "/{analysis_id}/report",
    summary="Fetch the report",
    response_model=Report,
    responses={
        404: _problem("Unknown id."),
        409: _problem("Not finished (`report_not_ready`), or none (`no_report`).")
        | {"headers": {"Retry-After": HEADERS["Retry-After"]}},
    },
)
def report(services: ServicesDep, analysis_id: str) -> Response:
    """The report, byte for byte as it was stored when the analysis ended; it never changes."""
    return Response(lifecycle.report(services.store, analysis_id), media_type="application/json")


def _check_parts(form: FormData) -> None:
    """Refuse what would be ignored in silence: a part that does not exist, or one that is sent twice."""
    names = [name for name, _ in form.multi_items()]
    for name in names:
        if name not in PARTS:
            raise InvalidRequest(f"There is no part {name[:40]!r}. The parts are {', '.join(PARTS)}.")
        if names.count(name) > 1:
            raise InvalidRequest(f"Part {name!r} was sent {names.count(name)} times. Send it once.", part=name)


def _wait(prefer: str, longest_s: float) -> float | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `longest_s`; None when no wait is asked for."""
    found = WAIT.search(prefer)
    return min(float(found[1]), longest_s) if found else None


def _view(analysis: Analysis) -> AnalysisView:
    submission = analysis.submission
    address = f"/v1/analyses/{submission.id}"
    return AnalysisView(
        id=submission.id,
        state=analysis.state,
        progress=ProgressView(stage=analysis.progress.stage, fraction=analysis.progress.fraction),
        queue_position=analysis.queue_position,
        submitted_at=submission.submitted_at,
        started_at=analysis.started_at,
        finished_at=analysis.finished_at,
        error=problems.problem_of_failure(analysis.failure) if analysis.failure else None,
        options=submission.options,
        label_types=submission.label_types,
        covariate_types=submission.covariate_types,
        inputs=InputsView(
            x=_array(submission.x),
            y=_array(submission.y),
            labels=_file(submission.labels),
            rows=_optional(submission.rows),
            groups=_optional(submission.groups),
            covariates=_optional(submission.covariates),
        ),
        links=LinksView(self=address, report=f"{address}/report"),
    )


def _file(file: StoredFile) -> FileView:
    return FileView(size_bytes=file.size_bytes, sha256=file.sha256)


def _optional(file: StoredFile | None) -> FileView | None:
    return None if file is None else _file(file)


def _array(array: StoredArray) -> ArrayView:
    return ArrayView(size_bytes=array.size_bytes, sha256=array.sha256, shape=list(array.shape), dtype=array.dtype)
