"""Commands that run the service, or parts of it, on this machine: parsing only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.cli.app import app, fail, read_settings, start_logging

FORMATS = ".npy, .npz, safetensors, Parquet, Arrow, CSV"
NETWORK_OPTION = "--let-anyone-on-the-network-use-this-service"

LetAnyone = Annotated[
    bool,
    typer.Option(NETWORK_OPTION, help="Listen on any address without asking for keys.", show_default=False),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory of the array store and its keys; with PHASEGATE_STORE_URL these are in the bucket.",
        show_default="./phasegate-data",
    ),
]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 picks a free one.", show_default="8000")
    ] = None,
    data_dir: DataDir = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default="half the cores")] = None,
    let_anyone: LetAnyone = False,
) -> None:
    """Run the whole service: API, workers, and an embedded server unless PHASEGATE_REDIS_URL names one."""
    from service.serving.process_tree import serve as serve_tree

    settings = read_settings(
        host=host,
        port=port,
        data_dir=data_dir,
        workers=workers,
        let_anyone_on_the_network_use_this_service=let_anyone or None,
    )
    start_logging(settings)
    with _configured():
        raise typer.Exit(serve_tree(settings, on_ready=_greet))


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    data_dir: DataDir = None,
    let_anyone: LetAnyone = False,
) -> None:
    """Run the API alone, against PHASEGATE_REDIS_URL."""
    from service.api.server import run_api

    settings = read_settings(
        host=host, port=port, data_dir=data_dir, let_anyone_on_the_network_use_this_service=let_anyone or None
    )
    start_logging(settings)
    with _configured():
        run_api(settings)


@app.command()
def worker(data_dir: DataDir = None) -> None:
    """Run one worker, against PHASEGATE_REDIS_URL."""
    from service.worker.job import work

    settings = read_settings(data_dir=data_dir)
    start_logging(settings)
    with _configured():
        work(settings)


@app.command()
def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON and nothing else.")] = False,
) -> None:
    """Start the service, triage a real pair over HTTP, print the report, stop the service."""
    from service.client import ClientError
    from service.demo import DemoFailed, run_demo

    try:
        run_demo(as_json)
    except (ClientError, DemoFailed, TimeoutError) as error:
        fail(str(error))


@app.command()
def check(
    x: Annotated[Path, typer.Argument(help=f"Features of modality x ({FORMATS}).", exists=True, dir_okay=False)],
    y: Annotated[Path, typer.Argument(help=f"Features of modality y ({FORMATS}).", exists=True, dir_okay=False)],
    labels: Annotated[Path, typer.Option(help="Labels, in any of these formats.", exists=True, dir_okay=False)],
    rows: Annotated[Path | None, typer.Option(help="Row of each label.", exists=True, dir_okay=False)] = None,
    groups: Annotated[Path | None, typer.Option(help="Group of each pair.", exists=True, dir_okay=False)] = None,
    covariates: Annotated[Path | None, typer.Option(help="Covariates.", exists=True, dir_okay=False)] = None,
    options: Annotated[
        str, typer.Option(help="Options as JSON, as in an upload; the method counts for nothing.")
    ] = "{}",
    id_column: Annotated[
        str | None,
        typer.Option(help="Column with the ids of the rows, on which x and y are joined.", show_default="id"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON and nothing else.")] = False,
) -> None:
    """Look for accidents in paired data before an analysis: no server, nothing is stored.

    Exit code 0: nothing serious; 1: a serious warning, an analysis would mislead; 2: the input cannot be analysed.
    """
    from service.analyses.errors import AnalysisError
    from service.analyses.intake import typed_covariates
    from service.analyses.understanding import sentences_of_files
    from service.estimation.errors import EstimationError
    from service.estimation.labels import label_columns
    from service.estimation.preflight import check as look
    from service.estimation.record import as_dict
    from service.figures.preflight import draw_preflight
    from service.figures.printable import safe_console
    from service.schemas.options import read_options
    from service.storage.input_files import open_features, open_labels

    try:
        chosen = read_options(options)
        given = open_features(x, y, groups, covariates, id_column)
        labeled = open_labels(labels, rows, given, id_column)
        found = look(
            given.x,
            given.y,
            label_columns(labeled.columns, chosen.label_types),
            labeled.rows,
            chosen.options(),
            groups=given.groups,
            covariates=typed_covariates(given.covariates, chosen.covariate_types),
        )
    except (EstimationError, AnalysisError) as error:
        fail(error.message)
    understood = sentences_of_files(given, labeled)
    if as_json:
        typer.echo(json.dumps({**as_dict(found), "understood": understood}, allow_nan=False, ensure_ascii=False))
    else:
        draw_preflight(found, safe_console(), understood)
    raise typer.Exit(int(found.serious))


class Part(StrEnum):
    """What can be asked for its health."""

    API = "api"
    WORKER = "worker"


@app.command()
def healthy(
    part: Annotated[Part, typer.Argument(help="The API on this host's port, or a worker of this host.")],
) -> None:
    """Say whether the API or a worker of this host is well: exit code 0, or 1 and why not. For health checks."""
    from service.serving.health import api_illness, worker_illness

    illness = {Part.API: api_illness, Part.WORKER: worker_illness}[part](read_settings())
    if illness:
        typer.echo(f"phasegate: {illness}", err=True)
        raise typer.Exit(1)


@app.command()
def openapi() -> None:
    """Print the API's description (OpenAPI) as YAML."""
    from service.api.app import create_app
    from service.api.description import description_yaml

    sys.stdout.write(description_yaml(create_app(read_settings())))


def _greet(address: str) -> None:
    typer.echo(f"Phasegate listens on {address} (documentation: {address}/docs). Ctrl-C stops it.")


@contextmanager
def _configured() -> Iterator[None]:
    """Ends the program when the settings name no queue, a store or keys that cannot be used, or let strangers in."""
    from service.access.errors import OpenToTheNetwork
    from service.wiring import KeyFileRefused, QueueNotConfigured, StoreNotUsable

    try:
        yield
    except (KeyFileRefused, OpenToTheNetwork, QueueNotConfigured, StoreNotUsable) as error:
        fail(str(error))
