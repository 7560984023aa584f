import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from service.estimation.estimate import estimate
from service.estimation.labels import label_columns
from service.estimation.memory import FIXED_BYTES, Sizes, needed_bytes, simulation_bytes
from service.estimation.options import Options
from service.estimation.simulation import simulate
from service.estimation.terms import Method
from service.schemas.model import ModelParameters

SIZES = Sizes(n_pairs=4000, n_features_x=60, n_features_y=40, n_labeled=800, n_targets=3)
FURTHEST_ABOVE = 4.0


@pytest.mark.parametrize("method", list(Method))
def test_an_estimation_takes_no_more_than_is_said_and_not_much_less(method):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((SIZES.n_pairs, 60)), rng.standard_normal((SIZES.n_pairs, 40))
    rows = np.arange(SIZES.n_labeled)
    columns = label_columns({f"t{k}": x[rows, k] + y[rows, k] for k in range(3)})
    tracemalloc.start()
    try:
        estimate(x, y, columns, rows, Options(method=method))
        _, taken = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    said = needed_bytes(SIZES, Options(method=method))
    assert taken <= said
    assert said - FIXED_BYTES <= FURTHEST_ABOVE * taken


@pytest.mark.parametrize("n_labeled", [None, 500])
@pytest.mark.parametrize(("dx", "dy"), [(60, 40), (200, 150)])
def test_a_simulation_takes_no_more_than_is_said_and_not_much_less(dx, dy, n_labeled):
    model = ModelParameters(
        kappa=[1.5, 1.2], gamma_x=1.0, gamma_y=0.05, gamma_tilde_x=1.0, gamma_tilde_y=5.0, nu=0.6, dx=dx, dy=dy
    ).spiked_model()
    tracemalloc.start()
    try:
        simulate(model, 4000, 0, n_labeled=n_labeled)
        _, taken = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    said = simulation_bytes(Sizes(4000, dx, dy, n_labeled or 0, model.k), Options() if n_labeled else None)
    assert taken <= said
    assert said - FIXED_BYTES <= FURTHEST_ABOVE * taken


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("field", ["n_pairs", "n_features_x", "n_features_y", "n_labeled", "n_targets"])
def test_more_of_anything_needs_more(method, field):
    larger = replace(SIZES, **{field: 10 * getattr(SIZES, field)})
    assert needed_bytes(larger, Options(method=method)) > needed_bytes(SIZES, Options(method=method))


def test_features_that_are_mapped_are_not_counted():
    sizes = Sizes(n_pairs=1_000_000, n_features_x=1000, n_features_y=500, n_labeled=1000, n_targets=1)
    assert needed_bytes(sizes, Options()) < 8 * 1_000_000 * 1500 / 10
