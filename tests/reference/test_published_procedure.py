"""Every number of the published procedure, one test each.  Provenance: README.md."""

from __future__ import annotations

import math

import numpy as np
import pytest

from service.estimation import reference as procedure
from service.estimation.options import Options
from service.estimation.terms import RatioStatus, Rule

from .published import DIRECTIONS, INPUTS, PUBLISHED, PUBLISHED_REGIMES, dataset, estimated, flat, found

RELATIVE, ABSOLUTE = 1e-6, 1e-8
LEAVES = {(name, way): flat(PUBLISHED[name][way]) for name in PUBLISHED for way in DIRECTIONS}
CASES = [(name, way, path) for (name, way), leaves in LEAVES.items() for path in leaves]


@pytest.mark.parametrize("swapped", [False, True], ids=["from_x_y", "from_y_x"])
@pytest.mark.parametrize(("name", "way", "path"), CASES, ids=["-".join(case) for case in CASES])
def test_published_value(name, way, path, swapped):
    expected, actual = LEAVES[name, way][path], found(name, way, swapped)[path]
    if isinstance(expected, str):
        assert actual == PUBLISHED_REGIMES[expected]
    elif path.endswith("is_signal") or path.startswith("r_hat"):
        assert actual == expected
    else:
        np.testing.assert_allclose(actual, expected, rtol=RELATIVE, atol=ABSOLUTE, strict=True)


@pytest.mark.parametrize(("name", "way"), list(LEAVES))
def test_nothing_published_is_left_out(name, way):
    assert found(name, way, False).keys() == LEAVES[name, way].keys()
    assert PUBLISHED[name].keys() == {*INPUTS, *DIRECTIONS}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_inputs_are_those_described(name):
    x, y, labels = dataset(name)
    described = PUBLISHED[name]
    assert x.shape == (described["n"], described["dx"])
    assert y.shape == (described["n"], described["dy"])
    assert labels.shape == (described["n"], described["labels"])


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_settings_are_those_published(name):
    settings = dict(PUBLISHED[name]["settings"])
    assert settings.pop("pca_random_state") == 0  # of a randomized solver; these data sets take the exact one
    assert settings == {
        "pca_prereduce": procedure.PCA_COMPONENTS,
        "epsilon": procedure.RIDGE,
        "n_components": Options().n_components,
        "cv_folds": procedure.FOLDS,
        "cv_seed": procedure.SEEDS.folds,
        "ridge_alpha": procedure.ALPHA,
        "n_permutations": procedure.PERMUTATIONS,
        "permutation_seed": procedure.SEEDS.permutations,
        "permutation_quantile": procedure.QUANTILE,
    }


def test_infinite_published_ratio_is_reported_as_no_nuisance():
    assert LEAVES["diabetes_split", "x_to_y"]["by_classifier.permutation.delta_cp_direct"] == math.inf
    separation = estimated("diabetes_split", False).separations(Rule.PERMUTATION).cp_x_to_y
    assert separation.status is RatioStatus.NO_NUISANCE
    assert separation.ratio is None
