"""Why a request is turned away before anything is looked at, and what is wrong with keys and addresses at start.

AccessRefused
+-- Unauthenticated     unauthenticated: no key, or none that counts
+-- Forbidden           forbidden: the key lacks a scope
+-- CrossOrigin         cross_origin: another site's page sent it
+-- UnknownHost         unknown_host: it was sent to a name that is not the service's

InvalidKey              what was given cannot be a key, or nothing can be called so
OpenToTheNetwork        strangers would reach the service, and nothing would keep them out
"""

from __future__ import annotations

from service.analyses.errors import AnalysisError


class AccessRefused(AnalysisError):
    """The caller may not do this."""


class Unauthenticated(AccessRefused):
    """The request has no valid API key."""

    code = "unauthenticated"


class Forbidden(AccessRefused):
    """The API key may not do this."""

    code = "forbidden"


class CrossOrigin(AccessRefused):
    """The request comes from another site's page."""

    code = "cross_origin"


class UnknownHost(AccessRefused):
    """The request names a host that is not this service."""

    code = "unknown_host"


class InvalidKey(Exception):
    """No key can be made, or read, of this."""


class OpenToTheNetwork(Exception):
    """The address can be reached from elsewhere, and no key is asked for."""
