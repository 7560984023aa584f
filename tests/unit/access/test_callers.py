"""Which scope a call demands, and what a caller without it is told."""

import pytest

from service.access.callers import ANYONE, Caller, check_scopes, demanded
from service.access.errors import Forbidden
from service.access.keys import Scope


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/healthz", set()),
        ("HEAD", "/readyz", set()),
        ("GET", "/docs/files/swagger-ui.css", set()),
        ("POST", "/healthz", {Scope.SUBMIT}),
        ("GET", "/docs/filesystem", {Scope.READ}),
        ("GET", "/docs/", {Scope.READ}),
        ("GET", "/healthz/", {Scope.READ}),
        ("GET", "/metrics", {Scope.ADMIN}),
        ("POST", "/metrics", {Scope.ADMIN}),
        ("GET", "/v1/analyses", {Scope.READ}),
        ("POST", "/v1/analyses", {Scope.SUBMIT}),
        ("BREW", "/v1/analyses", {Scope.SUBMIT}),
        ("get", "/v1/analyses", {Scope.SUBMIT}),
        ("POST", "/v1/model/separation", {Scope.READ, Scope.SUBMIT}),
        ("POST", "/v1/model/simulation", {Scope.SUBMIT}),
        ("GET", "/anything/else", {Scope.READ}),
    ],
)
def test_what_nobody_has_opened_demands_a_scope(method, path, scopes):
    assert demanded(method, path) == scopes


def test_one_of_the_scopes_is_enough_and_what_is_missing_is_named():
    reader = Caller("k", "n", "t", frozenset({Scope.READ}))
    check_scopes(reader, frozenset({Scope.READ, Scope.SUBMIT}))
    with pytest.raises(Forbidden, match="needs the scope `submit`, which your API key does not have"):
        check_scopes(reader, frozenset({Scope.SUBMIT}))
    with pytest.raises(Forbidden, match="`read` or `submit`"):
        check_scopes(Caller("k", "n", "t", frozenset({Scope.ADMIN})), frozenset({Scope.READ, Scope.SUBMIT}))


def test_where_no_keys_are_required_anyone_may_do_everything():
    assert ANYONE.scopes == set(Scope)
    assert ANYONE.tenant == "default"
