"""What a caller's environment says: which service is meant, and which key lets the caller in.

Read when a client is made, by the client and the command line alike.  The key is no option of a command: everybody on
the machine can read the arguments of a process.
"""

from __future__ import annotations

import os

ADDRESS_VARIABLE = "PHASEGATE_URL"
KEY_VARIABLE = "PHASEGATE_API_KEY"
KEY_OVER_HTTP_VARIABLE = "PHASEGATE_API_KEY_OVER_HTTP"
DEFAULT_ADDRESS = "http://127.0.0.1:8000"
YES = ("1", "true", "yes", "on")


def service_address() -> str:
    """The address of the service, as PHASEGATE_URL says; this machine's, where nothing is said."""
    return os.environ.get(ADDRESS_VARIABLE, "").strip() or DEFAULT_ADDRESS


def api_key() -> str | None:
    """The key in PHASEGATE_API_KEY; None where there is none."""
    return os.environ.get(KEY_VARIABLE, "").strip() or None


def key_over_http() -> bool:
    """Whether PHASEGATE_API_KEY_OVER_HTTP says that the key may cross a network without TLS."""
    return os.environ.get(KEY_OVER_HTTP_VARIABLE, "").strip().lower() in YES
