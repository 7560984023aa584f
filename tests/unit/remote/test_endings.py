"""Every way that a command ends has its exit code and a line that says what to do."""

import pytest

from service.analyses.errors import InvalidMetadata
from service.client import (
    AccessDenied,
    AnalysisFailed,
    InvalidAddress,
    KeyWithheld,
    NotReachable,
    NotSecure,
    ProblemReceived,
    UnexpectedAnswer,
)
from service.estimation.errors import InvalidOption
from service.remote.commands import pairs_of
from service.remote.endings import Ended, ExitCode, exit_code_of, explained
from service.schemas.analyses import AnalysisView
from service.schemas.wire import Problem


def problem(status, code="c"):
    return ProblemReceived(Problem(type="t", title="t", status=status, detail="No.", code=code, part=None))


def failed():
    return AnalysisFailed(AnalysisView.model_construct(id="an-1", state="cancelled", error=None))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failed(), ExitCode.NO_REPORT),
        (problem(409, "report_not_ready"), ExitCode.NO_REPORT),
        (problem(409, "no_report"), ExitCode.NO_REPORT),
        (problem(409, "dataset_incomplete"), ExitCode.REFUSED),
        (problem(422), ExitCode.REFUSED),
        (problem(404), ExitCode.REFUSED),
        (problem(401, "unauthenticated"), ExitCode.REFUSED),
        (problem(403, "forbidden"), ExitCode.REFUSED),
        (AccessDenied("a"), ExitCode.REFUSED),
        (KeyWithheld("k"), ExitCode.REFUSED),
        (problem(503), ExitCode.NO_SERVICE),
        (problem(500), ExitCode.NO_SERVICE),
        (InvalidAddress("a"), ExitCode.REFUSED),
        (NotReachable("n"), ExitCode.NO_SERVICE),
        (NotSecure("n"), ExitCode.NO_SERVICE),
        (UnexpectedAnswer("u"), ExitCode.NO_SERVICE),
        (TimeoutError("t"), ExitCode.NO_SERVICE),
        (FileNotFoundError(2, "No such file", "x.npy"), ExitCode.REFUSED),
        (InvalidOption("o", part="options"), ExitCode.REFUSED),
        (InvalidMetadata("m", part="metadata"), ExitCode.REFUSED),
    ],
)
def test_exit_codes(error, code):
    with pytest.raises(Ended) as ended, explained():
        raise error
    assert ended.value.exit_code == code == exit_code_of(error)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotReachable("Nobody answers."), "Nobody answers. --url or PHASEGATE_URL names another."),
        (NotSecure("Not trusted."), "Not trusted."),
        (InvalidOption("No.", part="options"), "No. [invalid_option]"),
        (FileNotFoundError(2, "No such file", "x.npy"), "x.npy cannot be read: No such file. Name a file that can."),
        (
            problem(401, "unauthenticated"),
            "No. [unauthenticated] PHASEGATE_API_KEY is where this command looks for one.",
        ),
        (problem(403, "forbidden"), "No. [forbidden]"),
        (KeyWithheld("Not sent."), "Not sent."),
        (failed(), "Analysis an-1 ended without a report. It was cancelled."),
    ],
)
def test_messages(error, message):
    with pytest.raises(Ended) as ended, explained():
        raise error
    assert str(ended.value) == message


def test_what_nobody_reads_is_nobody_told():
    with pytest.raises(BrokenPipeError), explained():
        raise BrokenPipeError


def test_metadata_are_pairs():
    assert pairs_of(["team=vision", "note=a=b", "empty="]) == {"team": "vision", "note": "a=b", "empty": ""}
    for wrong in (["team"], ["=x"], ["a=1", "a=1"]):
        with pytest.raises(Ended, match="--metadata") as ended:
            pairs_of(wrong)
        assert ended.value.exit_code == ExitCode.REFUSED
