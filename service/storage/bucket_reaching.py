"""What it means that a bucket does not do what it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from service.analyses.errors import StoreUnavailable
from service.storage.reaching import ServerSilent

AWAY = "The array store cannot be reached. Try again later."
CODE = re.compile(r"<Code>(\w{1,64})</Code>")
MISSING = {"NoSuchBucket"}
CONFLICTS = {"ConditionalRequestConflict", "PreconditionFailed"}

log = structlog.get_logger("phasegate.store")


@contextmanager
def reached() -> Iterator[None]:
    """What the bucket refuses becomes StoreUnavailable; what is not there, or not as it was, stays what it is.

    The texts of the library's errors name the endpoint and quote answers: they go nowhere.
    """
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except FileNotFoundError as error:
        if code_of(error) in MISSING:
            raise away(error) from None
        raise FileNotFoundError("There is no such object in the bucket.") from None
    except BaseError as error:
        if code_of(error) in CONFLICTS:
            raise PreconditionError("The object has been changed meanwhile.") from None
        silence = ServerSilent() if code_of(error) is None else None
        raise away(error) from silence


def away(error: BaseException) -> StoreUnavailable:
    """The error for a bucket that does not do its part, of which the log says more."""
    log.warning("bucket_away", kind=type(error).__name__, code=code_of(error))
    return StoreUnavailable(AWAY)


def code_of(error: BaseException) -> str | None:
    """What the bucket has answered, None if nothing has come."""
    found = CODE.search(str(error))
    return found.group(1) if found else None
