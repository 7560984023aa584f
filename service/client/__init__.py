"""Typed HTTP client of the service."""

from service.client.client import Client
from service.client.errors import (
    AnalysisFailed,
    ClientError,
    InvalidAddress,
    InvalidName,
    NotReachable,
    NotSecure,
    ProblemReceived,
    UnexpectedAnswer,
)

__all__ = [
    "AnalysisFailed",
    "Client",
    "ClientError",
    "InvalidAddress",
    "InvalidName",
    "NotReachable",
    "NotSecure",
    "ProblemReceived",
    "UnexpectedAnswer",
]
