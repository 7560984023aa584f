"""Reports by what a user has of them: a file, or the id of an analysis that the service has."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from service.analyses.identity import Kind, is_id
from service.estimation.report import SCHEMA_VERSION, Report
from service.remote.commands import Place
from service.remote.endings import Ended, ExitCode, explained
from service.schemas.analyses import REPORT
from service.schemas.wire import first_error

MAX_REPORT_BYTES = 64 * 1024**2
HOW_TO_GET_ONE = "`phasegate report ID --json` prints one."


def report_of(place: Place, text: str) -> Report:
    """The report of the analysis with this id, or in the file with this name.  Raises Ended."""
    with explained():
        if not is_id(text, Kind.ANALYSIS):
            return read_report(Path(text))
        with place.client() as client:
            return client.report(text)


def read_report(path: Path) -> Report:
    """The report in a file; fields that a newer service adds are left out.  Raises Ended, AnalysisError, OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_REPORT_BYTES + 1)
    if len(content) > MAX_REPORT_BYTES:
        raise Ended(
            f"{path} is larger than {MAX_REPORT_BYTES} bytes: it is no report. {HOW_TO_GET_ONE}", ExitCode.REFUSED
        )
    try:
        report = REPORT.validate_json(content, extra="ignore")
    except ValidationError as error:
        place, message = first_error(error)
        at = f" (at {'.'.join(place)})" if place else ""
        raise Ended(f"{path} is no report of Phasegate: {message}{at}. {HOW_TO_GET_ONE}", ExitCode.REFUSED) from error
    if report.schema_version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise Ended(
            f"{path} is a report of schema {report.schema_version}, and this version of Phasegate reads "
            f"{SCHEMA_VERSION}. Use the version that made it, or analyse the data again.",
            ExitCode.REFUSED,
        )
    return report
