"""Typed HTTP client of the service."""

from service.client.client import Phasegate
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
)

__all__ = [
    "AccessDenied",
    "AnalysisFailed",
    "ClientError",
    "InvalidAddress",
    "InvalidName",
    "KeyWithheld",
    "NotReachable",
    "NotSecure",
    "Phasegate",
    "ProblemReceived",
    "UnexpectedAnswer",
]
