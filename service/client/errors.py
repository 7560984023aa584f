"""What can go wrong between a client and the service.

ClientError
├── InvalidAddress      what was given is no address of a server
├── InvalidName         what was given is no id
├── UnsupportedSource   what was given cannot be uploaded as it is
├── KeyWithheld         the API key would be sent for others to read
├── NotReachable        nobody answers, or only a gateway that says so
│   └── NotSecure       somebody answers, but not over a connection that can be trusted
├── UnexpectedAnswer    what answers is not Phasegate
├── AccessDenied        what stands before the service wants to know who calls
├── ProblemReceived     the service refused the request, and says why
└── AnalysisFailed      the analysis ended without a report
"""

from __future__ import annotations

from service.schemas.analyses import AnalysisView
from service.schemas.wire import Problem

UNAVAILABLE = 503


class ClientError(Exception):
    """A call did not give what was asked for."""

    @property
    def passes(self) -> bool:
        """Whether the same call may succeed a little later."""
        return False


class InvalidAddress(ClientError):
    """What was given is no address of a server."""


class InvalidName(ClientError):
    """What was given is no id."""


class UnsupportedSource(ClientError):
    """What was given cannot be uploaded as it is: of another type, or with values that would not arrive as they are."""


class KeyWithheld(ClientError):
    """The API key was not sent: others could read it on the way."""


class NotReachable(ClientError):
    """Nobody answers."""

    @property
    def passes(self) -> bool:
        """A service that restarts is back in a moment."""
        return True


class NotSecure(NotReachable):
    """There is no connection that can be trusted."""

    @property
    def passes(self) -> bool:
        """A certificate does not mend itself."""
        return False


class UnexpectedAnswer(ClientError):
    """What answers is not Phasegate."""


class AccessDenied(ClientError):
    """Something on the way to the service lets nobody through whom it does not know."""


class ProblemReceived(ClientError):
    """The service answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.detail} [{problem.code}]")
        self.problem = problem

    @property
    def passes(self) -> bool:
        """A store or a queue that is away comes back."""
        return self.problem.status == UNAVAILABLE


class AnalysisFailed(ClientError):
    """The analysis ended without a report."""

    def __init__(self, analysis: AnalysisView) -> None:
        detail = f"{analysis.error.detail} [{analysis.error.code}]" if analysis.error else f"It was {analysis.state}."
        super().__init__(f"Analysis {analysis.id} ended without a report. {detail}")
        self.analysis = analysis
