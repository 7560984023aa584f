"""Options as they are submitted."""

import pytest

from service.client.policies import rehearsing
from service.estimation.terms import Method
from service.schemas.options import SubmittedOptions


@pytest.mark.parametrize(
    ("said", "planned", "rehearsed"),
    [({}, 64, 64), ({}, None, None), ({"embedding_dim": 8}, 64, 8), ({"method": "reference"}, 64, None)],
)
def test_what_a_policy_plans_is_rehearsed_unless_the_options_say_otherwise(said, planned, rehearsed):
    options = SubmittedOptions(**{name: Method(value) if name == "method" else value for name, value in said.items()})
    assert options.rehearsing(planned).embedding_dim == rehearsed
    assert rehearsing(options, planned).embedding_dim == rehearsed
    assert rehearsing(said, planned).get("embedding_dim") == rehearsed
    assert rehearsing(None, planned).embedding_dim == planned
