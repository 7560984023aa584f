"""When a server that was away is asked again, and by whom."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from service.analyses.errors import QueueUnavailable, StoreUnavailable
from service.storage.bucket_reaching import reached
from service.storage.reaching import Absence


def asked(absence: Absence, error: Exception | None = None) -> None:
    with absence.asked():
        if error is not None:
            raise error


def test_a_server_that_was_silent_is_not_asked_again_for_a_while():
    absence = Absence(600)
    with pytest.raises(QueueUnavailable):
        asked(absence, RedisConnectionError())
    with pytest.raises(QueueUnavailable):
        asked(absence, AssertionError("it is not asked"))


@pytest.mark.parametrize("answer", [ResponseError("no"), ValueError("not its fault")])
def test_a_server_that_has_answered_is_asked_again(answer):
    absence = Absence(600)
    with pytest.raises((QueueUnavailable, ValueError)):
        asked(absence, answer)
    asked(absence)


def test_what_is_not_on_a_bucket_says_that_the_bucket_is_there():
    absence = Absence(600, reached, lambda: StoreUnavailable("It is away."))
    with pytest.raises(FileNotFoundError):
        asked(absence, FileNotFoundError())
    asked(absence)


def test_a_server_that_comes_back_while_a_call_looks_is_asked():
    class Changing(Absence):
        """Another thread takes the mark away between two looks at it."""

        looks = iter([1.0])

        @property
        def _away_until(self):
            return next(self.looks, None)

        @_away_until.setter
        def _away_until(self, value):
            pass

    asked(Changing(600))
