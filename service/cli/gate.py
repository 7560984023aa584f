"""`phasegate gate` and `phasegate diff`, whose exit codes are answers: parsing only."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from service.access.environment import ADDRESS_VARIABLE, DEFAULT_ADDRESS, KEY_VARIABLE
from service.cli.answering import Answer, AnsweringCommand, write_answer
from service.cli.app import app
from service.cli.local import FORMATS

if TYPE_CHECKING:  # loaded by the commands, and not to show a help text
    from rich.console import RenderableType

    from service.remote.choices import Choice
    from service.remote.commands import Place, Upload
    from service.remote.gating import Gated

LONGEST_WAIT_S = 366 * 24 * 3600
PANEL = "Decide, with an exit code"
GATE_EXIT_CODES = (
    "Exit code 0: pass; 1: fail; 2: abstain; 3: there is no decision, whatever the reason (a wrong command line, a "
    "missing file, refused input, a failed analysis, no service, time is up); 130: Ctrl-C. Standard output has the "
    "decision and nothing else."
)


DIFF_EXIT_CODES = (
    "Exit code 0: nothing differs beyond the intervals; 1: something does; 2: it cannot be said, for lack of "
    "intervals; 3: there is no comparison, whatever the reason; 130: Ctrl-C."
)


class GateOutput(StrEnum):
    """Forms of a decision."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"


class DiffOutput(StrEnum):
    """Forms of a comparison."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def _presets(incomplete: str) -> list[str]:
    """Names that a shell may complete; files it completes by itself."""
    from service.gating.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def _some_time(seconds: float) -> float:
    """Neither a negative time nor one that is no number, and none that ends after everybody."""
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise typer.BadParameter(f"{seconds:g} is no time to wait. Give seconds, from 0 to {LONGEST_WAIT_S}.")
    return seconds


@app.command(cls=AnsweringCommand, rich_help_panel=PANEL, epilog=GATE_EXIT_CODES)
def gate(
    policy: Annotated[
        str,
        typer.Option(
            help="What must hold. A preset (alignment; prediction, one way or the other; any-crossmodal: "
            "whichever of them does best), a policy that the service has (name or "
            "name@version), or a file: anything with a / in it or .json, .yaml, .yml at its end.",
            metavar="NAME|FILE",
            autocompletion=_presets,
        ),
    ],
    x: Annotated[
        Path | None,
        typer.Argument(help=f"Features of modality x ({FORMATS}).", exists=True, dir_okay=False, show_default=False),
    ] = None,
    y: Annotated[
        Path | None,
        typer.Argument(help=f"Features of modality y ({FORMATS}).", exists=True, dir_okay=False, show_default=False),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels, in any of these formats.", exists=True, dir_okay=False)
    ] = None,
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
    analysis: Annotated[
        str | None,
        typer.Option(help="Judge an analysis that the service has, in place of files.", metavar="ID"),
    ] = None,
    output: Annotated[GateOutput, typer.Option(help="Form of the output.")] = GateOutput.TEXT,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the report at most.", callback=_some_time, metavar="SECONDS")
    ] = 3600.0,
    url: Annotated[
        str | None,
        typer.Option(
            help=f"Address of the service; {ADDRESS_VARIABLE} sets it for all commands, {KEY_VARIABLE} the API key.",
            show_default=f"{ADDRESS_VARIABLE}; without either, everything runs in this process",
        ),
    ] = None,
) -> Answer:
    """May this run start? Analyse paired features and hold the report against a policy.

    With a service (--url or PHASEGATE_URL) files are analysed there, otherwise in this process: the answer is the same.
    """
    from service.remote.choices import choice_of
    from service.remote.commands import Upload
    from service.remote.endings import explained

    with explained():
        choice = choice_of(policy)
    place = _place(url)
    if analysis is not None:
        of_files = (x, y, labels, rows, groups, covariates, id_column, metadata, options if options != "{}" else None)
        if any(given is not None for given in of_files) or not reuse:
            _refuse(
                "--analysis names what is judged already. Leave out the files and what belongs to them, or --analysis."
            )
        return _written(_gate_analysis(place, analysis, choice, timeout), output)
    if x is None or y is None or labels is None:
        _refuse("Give X, Y and --labels, or --analysis with the id of an analysis that the service has.")
    upload = Upload(x, y, labels, rows, groups, covariates, options, metadata or (), reuse, id_column)
    return _written(_gate_files(place, upload, choice, timeout), output)


@app.command(cls=AnsweringCommand, rich_help_panel=PANEL, epilog=DIFF_EXIT_CODES)
def diff(
    a: Annotated[str, typer.Argument(help="A report: a file of its JSON, or the id of an analysis.", metavar="A")],
    b: Annotated[str, typer.Argument(help="The report to hold against it.", metavar="B")],
    output: Annotated[DiffOutput, typer.Option(help="Form of the output.")] = DiffOutput.TEXT,
    url: Annotated[
        str | None,
        typer.Option(
            help=f"Address of the service that has the analyses; {ADDRESS_VARIABLE} sets it for all commands.",
            show_default=f"{ADDRESS_VARIABLE} or {DEFAULT_ADDRESS}",
        ),
    ] = None,
) -> Answer:
    """Hold two reports against each other: what differs by more than their intervals?"""
    from service.estimation.record import as_dict
    from service.figures.difference import difference
    from service.figures.markdown import comparison_markdown
    from service.gating.comparison import compare
    from service.remote.commands import Place
    from service.remote.reports import report_of

    _check_url(url)
    place = Place(url, f" --url {url}" if url else "")
    comparison = compare(report_of(place, a), report_of(place, b))
    names = (a, b)
    match output:
        case DiffOutput.TEXT:
            write_answer(_drawn(difference(comparison, names)))
        case DiffOutput.JSON:
            write_answer(_as_json(as_dict(comparison)))
        case DiffOutput.MARKDOWN:
            write_answer(comparison_markdown(comparison, names).encode())
    return {False: Answer.YES, True: Answer.NO, None: Answer.OPEN}[comparison.differs]


def _gate_analysis(place: Place | None, analysis_id: str, choice: Choice, timeout_s: float) -> Gated:
    from service.remote.gating import gate_analysis

    if not analysis_id.strip():
        _refuse("The id is empty. Give the one that `phasegate submit` printed.")
    if place is None:
        _refuse(f"--analysis names an analysis of a service. Say which: --url or {ADDRESS_VARIABLE}.")
    return gate_analysis(place, analysis_id, choice, timeout_s)


def _gate_files(place: Place | None, upload: Upload, choice: Choice, timeout_s: float) -> Gated:
    if place is not None:
        from service.remote.gating import gate_upload

        return gate_upload(place, upload, choice, timeout_s)
    try:
        from service.in_process import gate_files
    except ModuleNotFoundError as error:
        _refuse(
            f"No service is named, and estimation in this process needs {error.name}, which is not installed. "
            f"`pip install 'phasegate[server]'` installs it; --url or {ADDRESS_VARIABLE} names a service."
        )
    typer.echo(f"Estimating in this process; --url or {ADDRESS_VARIABLE} would name a service.", err=True)
    return gate_files(upload, choice, timeout_s)


def _place(url: str | None) -> Place | None:
    """The service that is named; None if none is."""
    from service.remote.commands import Place

    _check_url(url)
    if url is None and not os.environ.get(ADDRESS_VARIABLE, "").strip():
        return None
    return Place(url, f" --url {url}" if url else "")


def _check_url(url: str | None) -> None:
    """A script whose variable is empty means no service, and least of all another one."""
    if url is not None and not url.strip():
        _refuse(f"--url is empty. Give the address of the service, or leave it out: then {ADDRESS_VARIABLE} counts.")


def _written(gated: Gated, output: GateOutput) -> Answer:
    """Write a decision; what its exit code is."""
    from service.figures.junit import junit_xml
    from service.figures.markdown import verdict_markdown
    from service.figures.verdict import verdict
    from service.gating.decision import Decided

    match output:
        case GateOutput.TEXT:
            write_answer(_drawn(verdict(gated.ruling)))
        case GateOutput.JSON:
            write_answer(_as_json(gated.document))
        case GateOutput.JUNIT:
            write_answer(junit_xml(gated.ruling).encode())
        case GateOutput.MARKDOWN:
            write_answer(verdict_markdown(gated.ruling).encode())
    answers = {Decided.PASS: Answer.YES, Decided.FAIL: Answer.NO, Decided.ABSTAIN: Answer.OPEN}
    return answers[gated.ruling.decision.decision]


def _as_json(document: object) -> bytes:
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def _drawn(drawing: RenderableType) -> bytes:
    """What a console shows of a drawing, with colours where standard output is a terminal."""
    from service.figures.printable import safe_console

    console = safe_console()
    with console.capture() as shown:
        console.print(drawing)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return shown.get().encode(encoding, "replace")


def _refuse(message: str) -> NoReturn:
    from service.remote.endings import Ended, ExitCode

    raise Ended(message, ExitCode.REFUSED)
