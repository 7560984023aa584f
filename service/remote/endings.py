"""How a command ends that did not do what it was asked: one line for its user, and an exit code for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from service.access.errors import Unauthenticated
from service.analyses.errors import AnalysisError
from service.client import (
    AnalysisFailed,
    ClientError,
    InvalidAddress,
    NotReachable,
    NotSecure,
    ProblemReceived,
    UnexpectedAnswer,
)
from service.estimation.errors import EstimationError
from service.gating.errors import GatingError

WITHOUT_REPORT = ("report_not_ready", "no_report")  # problems that say how an analysis stands
OTHER_ADDRESS = "--url or PHASEGATE_URL names another."


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    DONE = 0
    NO_REPORT = 1
    """The analysis ended without a report, or has not finished."""
    REFUSED = 2
    """A command, a file or an input that cannot be taken as it is."""
    NO_SERVICE = 3
    """The service is not reachable, or time is up."""
    INTERRUPTED = 130
    """Ctrl-C."""


class Ended(Exception):
    """The command ends here."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def explained() -> Iterator[None]:
    """Whatever a user can meet becomes Ended."""
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads what is printed, and nobody is to be told
    except (ClientError, EstimationError, AnalysisError, GatingError, OSError) as error:
        raise Ended(_said(error), exit_code_of(error)) from error


def exit_code_of(error: Exception) -> ExitCode:
    """The exit code that an error ends a command with."""
    match error:
        case AnalysisFailed():
            return ExitCode.NO_REPORT
        case ProblemReceived() if error.problem.code in WITHOUT_REPORT:
            return ExitCode.NO_REPORT
        case ProblemReceived() if error.problem.status >= 500:
            return ExitCode.NO_SERVICE
        case NotReachable() | UnexpectedAnswer() | TimeoutError():
            return ExitCode.NO_SERVICE
    return ExitCode.REFUSED


def _said(error: Exception) -> str:
    match error:
        case NotSecure():
            return str(error)
        case ProblemReceived() if error.problem.code == Unauthenticated.code:
            return f"{error} PHASEGATE_API_KEY is where this command looks for one."
        case InvalidAddress() | NotReachable() | UnexpectedAnswer():
            return f"{error} {OTHER_ADDRESS}"
        case EstimationError() | AnalysisError() | GatingError():
            return f"{error.message} [{error.code}]"
        case OSError(filename=str(name)):
            return f"{name} cannot be read: {error.strerror}. Name a file that can."
    return str(error)
