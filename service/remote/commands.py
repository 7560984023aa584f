"""The commands that talk to a running service.  Results go to standard output, all else to standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from service.access.environment import service_address
from service.analyses.analysis import AnalysisKind, State
from service.client import AnalysisFailed, Phasegate
from service.client.addresses import parse_address, shown
from service.figures.printable import list_console, printable, safe_console
from service.figures.terminal import draw
from service.remote.endings import Ended, ExitCode, explained
from service.remote.listing import analysis_table
from service.remote.notes import notes_of, say
from service.remote.progress import upload_bar, wait_showing
from service.schemas.analyses import AnalysisView
from service.schemas.limits import LARGEST_PAGE
from service.schemas.options import SubmittedOptions, read_options


@dataclass(frozen=True)
class Place:
    """Where the service is: its address, unless the environment has it, and how a further command is told of it."""

    address: str | None
    option: str = ""

    def client(self) -> Phasegate:
        """A client of the service.  Raises InvalidAddress, KeyWithheld."""
        return Phasegate(self.address)

    def shown(self) -> str:
        """The address for people to read.  Raises InvalidAddress."""
        return shown(parse_address(self.address or service_address()))


@dataclass(frozen=True)
class Upload:
    """What is to be submitted: files, options as JSON, metadata as KEY=VALUE, the name of the column of ids."""

    x: Path
    y: Path
    labels: Path
    rows: Path | None = None
    groups: Path | None = None
    covariates: Path | None = None
    options: str = "{}"
    metadata: Sequence[str] = ()
    reuse: bool = True
    id_column: str | None = None
    embedding_dim: int | None = None
    """What a policy plans, rehearsed unless the options name another."""

    def submitted_options(self) -> SubmittedOptions:
        """The options as they are sent.  Raises InvalidOption, InvalidRequest."""
        return read_options(self.options).rehearsing(self.embedding_dim)


def submit(place: Place, upload: Upload, wait_s: float | None, as_json: bool) -> None:
    """Upload, print the analysis' id; with `wait_s`, wait so long and print its report instead.  Raises Ended."""
    with explained(), place.client() as client:
        analysis = send(client, upload)
        if wait_s is not None:
            safe_console(stderr=True).print(f"Analysis {printable(analysis.id)} is submitted.", markup=False)
            wait_for(client, place, analysis.id, wait_s)
            _print_report(client, analysis, as_json, (upload.x.name, upload.y.name))
        elif as_json:
            _print_json(analysis.model_dump(mode="json"))
        else:
            _print(printable(analysis.id))


def report(place: Place, analysis_id: str, wait_s: float | None, as_json: bool) -> None:
    """Print a report; with `wait_s`, wait so long for it.  Raises Ended."""
    with explained(), place.client() as client:
        analysis = client.analysis(analysis_id)  # what cannot be had is said at once, without a wait
        if not analysis.state.final and wait_s is None:
            raise Ended(
                f"Analysis {analysis.id} is {analysis.state}, {analysis.progress.fraction:.0%} done. "
                f"`phasegate report {analysis.id} --wait{place.option}` waits for its report.",
                ExitCode.NO_REPORT,
            )
        if not analysis.state.final and wait_s is not None:
            wait_for(client, place, analysis_id, wait_s)
        elif analysis.state is not State.SUCCEEDED:
            raise AnalysisFailed(analysis)
        _print_report(client, analysis, as_json)


def list_analyses(place: Place, states: Sequence[str], metadata: Sequence[str], limit: int, as_json: bool) -> None:
    """Print the newest analyses that are in one of the states and have the metadata.  Raises Ended."""
    wanted = pairs_of(metadata)
    with explained(), place.client() as client:
        found = client.analyses([State(state) for state in states], wanted, page_size=min(limit, LARGEST_PAGE))
        analyses = list(islice(found, limit))
    if as_json:
        _print_json([analysis.model_dump(mode="json") for analysis in analyses])
    elif analyses:
        list_console().print(analysis_table(analyses))
    else:
        safe_console(stderr=True).print("There are no such analyses.")


def cancel(place: Place, analysis_id: str) -> None:
    """Cancel an analysis and say how it stands then.  Raises Ended."""
    with explained(), place.client() as client:
        analysis = client.cancel(analysis_id)
    already = analysis.state.final and analysis.state is not State.CANCELLED
    stands = f"had {analysis.state} before it could be cancelled" if already else f"is {analysis.state}"
    _print(f"Analysis {printable(analysis.id)} {stands}.")


def pairs_of(texts: Sequence[str]) -> dict[str, str]:
    """Metadata from KEY=VALUE.  Raises Ended for another form, and for a key that is given twice."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Ended(f"--metadata {text!r} has no key. Write it as KEY=VALUE.", ExitCode.REFUSED)
        if key in pairs:
            raise Ended(f"--metadata {key} is given twice. Give it once.", ExitCode.REFUSED)
        pairs[key] = value
    return pairs


def send(client: Phasegate, upload: Upload) -> AnalysisView:
    """Upload and submit, showing how far it is, and what was left out of the files.

    Raises Ended on Ctrl-C, and what `Phasegate.submit` raises.
    """
    options, metadata = upload.submitted_options(), pairs_of(upload.metadata)
    maybe = "Interrupted. `phasegate list` shows the analysis if the upload was complete by then."
    console = safe_console(stderr=True)
    with _interruption(maybe), upload_bar(console) as show:
        analysis = client.submit(
            upload.x,
            upload.y,
            upload.labels,
            upload.rows,
            options,
            groups=upload.groups,
            covariates=upload.covariates,
            metadata=metadata,
            id_column=upload.id_column,
            reuse=upload.reuse,
            on_progress=show,
        )
    for note in notes_of(analysis.inputs):
        say(console, note)
    return analysis


def wait_for(client: Phasegate, place: Place, analysis_id: str, wait_s: float, goes_on: str | None = None) -> None:
    """Wait until an analysis has succeeded, showing its stages.  Raises Ended when time is up and on Ctrl-C.

    Arguments: goes_on, what its user can do then; to wait for the report, or to cancel, unless given.
    """
    goes_on = goes_on or (
        f"`phasegate report {analysis_id} --wait{place.option}` waits for its report, "
        f"`phasegate cancel {analysis_id}{place.option}` stops it."
    )
    with _interruption(f"Interrupted. Analysis {analysis_id} goes on: {goes_on}"):
        try:
            wait_showing(client, analysis_id, wait_s, safe_console(stderr=True))
        except TimeoutError as error:
            raise Ended(f"{error} {goes_on}", ExitCode.NO_SERVICE) from error


@contextmanager
def _interruption(message: str) -> Iterator[None]:
    """Ctrl-C ends the command with a message."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise Ended(message, ExitCode.INTERRUPTED) from interrupt


def _print_report(
    client: Phasegate, analysis: AnalysisView, as_json: bool, names: tuple[str, str] = ("x", "y")
) -> None:
    if as_json or analysis.kind is AnalysisKind.SIMULATION:  # nothing draws a simulation
        _print_json(client.report_json(analysis.id))
    else:
        draw(client.report(analysis.id), safe_console(), names)


def _print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    _print(json.dumps(value, indent=2, allow_nan=False))


def _print(text: str) -> None:
    print(text)  # noqa: T201 - the command line's own output
