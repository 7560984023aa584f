"""Commands that talk to a running service: parsing only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.access.environment import ADDRESS_VARIABLE, DEFAULT_ADDRESS, KEY_VARIABLE
from service.cli.app import app, fail
from service.cli.local import FORMATS

if TYPE_CHECKING:
    from service.remote.commands import Place

PANEL = "Talk to a running service"
EXIT_CODES = (
    "Exit code 0: fine; 1: the analysis ended without a report or, unless --wait is given, has not finished; 2: the "
    "command, a file or the input is refused; 3: the service is not reachable, or time is up; 130: Ctrl-C."
)

Url = Annotated[
    str | None,
    typer.Option(
        help=f"Address of the service; {ADDRESS_VARIABLE} sets it for all commands, {KEY_VARIABLE} the API key.",
        show_default=f"{ADDRESS_VARIABLE} or {DEFAULT_ADDRESS}",
    ),
]


def _some_id(text: str) -> str:
    """An id from a script whose variable is empty names nothing."""
    if not text.strip():
        raise typer.BadParameter("The id is empty. Give the one that `phasegate submit` printed.")
    return text


Id = Annotated[str, typer.Argument(help="Id of the analysis.", metavar="ID", show_default=False, callback=_some_id)]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the report, showing how far it is.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait at most.", min=0.0)]


class StateName(StrEnum):
    """The states of an analysis, as its own module has them, which is not loaded to show a help text."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command(rich_help_panel=PANEL, epilog=EXIT_CODES)
def submit(
    x: Annotated[Path, typer.Argument(help=f"Features of modality x ({FORMATS}).", exists=True, dir_okay=False)],
    y: Annotated[Path, typer.Argument(help=f"Features of modality y ({FORMATS}).", exists=True, dir_okay=False)],
    labels: Annotated[Path, typer.Option(help="Labels, in any of these formats.", exists=True, dir_okay=False)],
    rows: Annotated[Path | None, typer.Option(help="Row of each label.", exists=True, dir_okay=False)] = None,
    groups: Annotated[Path | None, typer.Option(help="Group of each pair.", exists=True, dir_okay=False)] = None,
    covariates: Annotated[Path | None, typer.Option(help="Covariates.", exists=True, dir_okay=False)] = None,
    options: Annotated[str, typer.Option(help="Options as JSON; the README lists them.")] = "{}",
    id_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the ids of the rows, on which x and y are joined and labels found.", show_default="id"
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(help="Something to find the analysis by; may be given several times.", metavar="KEY=VALUE"),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse/--no-reuse", help="Take a stored report of the same input and options, if any.")
    ] = True,
    wait: Wait = False,
    timeout: Timeout = 3600.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else: with --wait the report, else the analysis.")
    ] = False,
    url: Url = None,
) -> None:
    """Upload paired features with labels and have them analysed.

    Prints the id of the analysis and nothing else; with --wait, waits and prints the report.
    """
    from service.remote import commands

    upload = commands.Upload(x, y, labels, rows, groups, covariates, options, metadata or (), reuse, id_column)
    with _ending():
        commands.submit(_place(url), upload, timeout if wait else None, as_json)


@app.command(rich_help_panel=PANEL, epilog=EXIT_CODES)
def report(
    analysis_id: Id,
    wait: Wait = False,
    timeout: Timeout = 3600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON and nothing else.")] = False,
    url: Url = None,
) -> None:
    """Print the report of an analysis; that of a simulation is always JSON."""
    from service.remote import commands

    with _ending():
        commands.report(_place(url), analysis_id, timeout if wait else None, as_json)


@app.command("list", rich_help_panel=PANEL, epilog=EXIT_CODES)
def list_analyses(
    state: Annotated[
        list[StateName] | None, typer.Option(help="Only analyses in this state; may be given several times.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(help="Only analyses with these metadata; may be given several times.", metavar="KEY=VALUE"),
    ] = None,
    limit: Annotated[int, typer.Option(help="Analyses to list at most.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array and nothing else.")] = False,
    url: Url = None,
) -> None:
    """List analyses, newest first."""
    from service.remote import commands

    with _ending():
        commands.list_analyses(_place(url), state or (), metadata or (), limit, as_json)


@app.command(rich_help_panel=PANEL, epilog=EXIT_CODES)
def cancel(analysis_id: Id, url: Url = None) -> None:
    """Stop an analysis, or take it out of the queue. One that has ended stays as it is."""
    from service.remote import commands

    with _ending():
        commands.cancel(_place(url), analysis_id)


def _place(url: str | None) -> Place:
    from service.remote.commands import Place

    return Place(url or None, f" --url {url}" if url else "")


@contextmanager
def _ending() -> Iterator[None]:
    """Ends the program as the command says."""
    from service.remote.endings import Ended

    try:
        yield
    except Ended as ended:
        fail(str(ended), ended.exit_code)
