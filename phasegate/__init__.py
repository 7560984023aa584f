"""Phasegate from Python: `from phasegate import Phasegate`.

The client of the service, synchronous and asynchronous, with what its calls take, return and raise.  It needs the base
requirements alone and imports nothing of the server.

    with Phasegate() as client:
        triage = client.triage(x, y, labels, policy="alignment")
    print(triage.decision.decision, triage.decision.summary)
"""

from service import __version__
from service.analyses.analysis import State
from service.client import (
    AccessDenied,
    AnalysisEvent,
    AnalysisFailed,
    AsyncPhasegate,
    ClientError,
    InvalidAddress,
    InvalidName,
    KeyWithheld,
    NotReachable,
    NotSecure,
    OnProgress,
    Phasegate,
    PolicySource,
    ProblemReceived,
    Source,
    Triage,
    UnexpectedAnswer,
    UnsupportedSource,
)
from service.estimation.labels import LabelType
from service.estimation.report import Report
from service.gating.decision import Decided
from service.gating.errors import GatingError, InvalidPolicy, InvalidPolicyName
from service.gating.policy import Policy
from service.schemas.analyses import AnalysisView
from service.schemas.options import EstimationOptions, SubmittedOptions
from service.schemas.policies import DecisionView, PolicyView

__all__ = [
    "AccessDenied",
    "AnalysisEvent",
    "AnalysisFailed",
    "AnalysisView",
    "AsyncPhasegate",
    "ClientError",
    "Decided",
    "DecisionView",
    "EstimationOptions",
    "GatingError",
    "InvalidAddress",
    "InvalidName",
    "InvalidPolicy",
    "InvalidPolicyName",
    "KeyWithheld",
    "LabelType",
    "NotReachable",
    "NotSecure",
    "OnProgress",
    "Phasegate",
    "Policy",
    "PolicySource",
    "PolicyView",
    "ProblemReceived",
    "Report",
    "Source",
    "State",
    "SubmittedOptions",
    "Triage",
    "UnexpectedAnswer",
    "UnsupportedSource",
    "__version__",
]
