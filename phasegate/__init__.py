"""Phasegate from Python: `from phasegate import Phasegate`.

The client of the service, synchronous and asynchronous, with what its calls take, return and raise.  It needs the base
requirements alone and imports nothing of the server.
"""

from service import __version__
from service.client import *  # noqa: F403 - one list of what is public, there
from service.client import __all__ as _client

__all__ = ["__version__", *_client]
