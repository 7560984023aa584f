"""Typed HTTP client of the service: `Phasegate`, and `AsyncPhasegate` with the same calls."""

from service.client.asynchronous.phasegate import AsyncPhasegate
from service.client.blocking.phasegate import Phasegate
from service.client.errors import (
    AccessDenied,
    AnalysisFailed,
    ClientError,
    InvalidAddress,
    InvalidName,
    KeyWithheld,
    NotReachable,
    NotSecure,
    ProblemReceived,
    UnexpectedAnswer,
    UnsupportedSource,
)
from service.client.event_stream import AnalysisEvent
from service.client.policies import PolicySource
from service.client.sources import Source
from service.client.triage import Triage
from service.client.uploads import OnProgress

__all__ = [
    "AccessDenied",
    "AnalysisEvent",
    "AnalysisFailed",
    "AsyncPhasegate",
    "ClientError",
    "InvalidAddress",
    "InvalidName",
    "KeyWithheld",
    "NotReachable",
    "NotSecure",
    "OnProgress",
    "Phasegate",
    "PolicySource",
    "ProblemReceived",
    "Source",
    "Triage",
    "UnexpectedAnswer",
    "UnsupportedSource",
]
