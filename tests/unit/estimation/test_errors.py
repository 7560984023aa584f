import inspect
import re

import pytest

from service.estimation import errors
from service.estimation.errors import EstimationError, InputError, NumericalFailure


def leaves(cls=EstimationError):
    below = cls.__subclasses__()
    return [cls] if not below else [leaf for sub in below for leaf in leaves(sub)]


LEAVES = leaves()
DRAWN = dict(re.findall(r"^[| ]*\+-- (\w+) +([a-z0-9_]+)$", inspect.getdoc(errors), re.MULTILINE))


@pytest.mark.parametrize("cls", LEAVES)
def test_every_error_is_drawn_in_the_tree_with_its_code(cls):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)
    assert DRAWN[cls.__name__] == cls.code
    assert cls.__doc__


def test_the_tree_draws_nothing_else():
    assert set(DRAWN) == {cls.__name__ for cls in LEAVES}
    assert len(LEAVES) == 29


def test_codes_are_unique():
    assert len({cls.code for cls in LEAVES}) == len(LEAVES)


def test_all_but_numerical_failure_are_the_callers_to_mend():
    assert {cls for cls in LEAVES if not issubclass(cls, InputError)} == {NumericalFailure}


def test_an_error_carries_its_message_and_part():
    error = errors.WrongShape("x is flat.", part="x")
    assert (error.message, error.part, str(error)) == ("x is flat.", "x", "x is flat.")
    assert errors.NumericalFailure("no").part is None
