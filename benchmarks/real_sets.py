"""Real pairs: what is x, what is y, which labels, groups and covariates come with them.

Five sets come with scikit-learn, split here into two modalities; the others are .npz files in a folder of the
caller's, each with `x`, `y` (n, d), `labels` (n, L; classes as numbers) and `label_names` (L,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

from service.estimation.covariates import covariate_columns
from service.estimation.labels import LabelColumn, LabelType, label_columns
from service.estimation.moments import Indices
from service.estimation.options import UNSCALED, Options, Scalings
from service.estimation.terms import Missing, Scaling

STANDARDIZED = Scalings(Scaling.STANDARDIZE, Scaling.STANDARDIZE)
CATEGORICAL, NUMERIC = LabelType.CATEGORICAL, LabelType.NUMERIC
SKLEARN_SEPALS, SKLEARN_MEANS = 2, 10  # leading columns of iris, of breast cancer
DIABETES_BODY = ("age", "sex", "bmi", "bp")
WINE_COLOUR = (
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
)


@dataclass(frozen=True)
class RealPair:
    """x (n, dx), y (n, dy), labels and covariates with n values each, groups (n,), and the options to run with."""

    x: NDArray[Any]
    y: NDArray[Any]
    labels: tuple[LabelColumn, ...]
    groups: NDArray[Any] | None = None
    covariates: tuple[LabelColumn, ...] = ()
    options: Options = field(default_factory=Options)

    def at(self, rows: Indices) -> RealPair:
        """The pairs of these rows."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            labels=tuple(_at(column, rows) for column in self.labels),
            groups=None if self.groups is None else self.groups[rows],
            covariates=tuple(_at(column, rows) for column in self.covariates),
        )


@dataclass(frozen=True)
class RealSet:
    """Where a pair comes from: `file` is the stem of its .npz, None for what scikit-learn ships."""

    x_name: str
    y_name: str
    load: Callable[[Path | None], RealPair]
    file: str | None = None


def _npz(
    file: str,
    x_name: str,
    y_name: str,
    *,
    labels: dict[str, LabelType],
    covariates: dict[str, tuple[str, LabelType]] | None = None,
    groups: Callable[[Callable[[str], NDArray[Any]]], NDArray[Any]] | None = None,
    options: Options | None = None,
) -> RealSet:
    """A set in a file: labels by name; covariates as name -> (label column, type); groups from label columns."""
    covariates = covariates or {}

    def load(folder: Path | None) -> RealPair:
        assert folder is not None, f"{file} needs the folder with the data sets"
        with np.load(folder / f"{file}.npz", allow_pickle=False) as data:
            names, values = data["label_names"].tolist(), data["labels"]

            def column(name: str) -> NDArray[Any]:
                return np.asarray(values[:, names.index(name)])

            return RealPair(
                data["x"],
                data["y"],
                label_columns({name: column(name) for name in labels}, labels),
                None if groups is None else groups(column),
                covariate_columns(
                    {name: column(source) for name, (source, _) in covariates.items()},
                    {name: kind for name, (_, kind) in covariates.items()},
                )
                if covariates
                else (),
                options or Options(),
            )

    return RealSet(x_name, y_name, load, file)


def _digits(folder: Path | None) -> RealPair:
    images, digit = datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)
    return RealPair(
        images[:, :, :4].reshape(-1, 32),
        images[:, :, 4:].reshape(-1, 32),
        label_columns({"digit": digit}, CATEGORICAL),
        options=Options(embedding_dim=16),
    )


def _diabetes(folder: Path | None) -> RealPair:
    found = datasets.load_diabetes()
    body = np.isin(found.feature_names, DIABETES_BODY)
    labels = label_columns({"progression": found.target}, NUMERIC)
    return RealPair(found.data[:, body], found.data[:, ~body], labels, options=Options(scaling=STANDARDIZED))


def _wine(folder: Path | None) -> RealPair:
    found = datasets.load_wine()
    colour = np.isin(found.feature_names, WINE_COLOUR)
    labels = label_columns({"cultivar": found.target}, CATEGORICAL)
    return RealPair(found.data[:, ~colour], found.data[:, colour], labels, options=Options(scaling=STANDARDIZED))


def _breast_cancer(folder: Path | None) -> RealPair:
    values, target = datasets.load_breast_cancer(return_X_y=True)
    means, errors = values[:, :SKLEARN_MEANS], values[:, SKLEARN_MEANS : 2 * SKLEARN_MEANS]
    return RealPair(
        means, errors, label_columns({"malignant": 1 - target}, CATEGORICAL), options=Options(scaling=STANDARDIZED)
    )


def _iris(folder: Path | None) -> RealPair:
    values, species = datasets.load_iris(return_X_y=True)
    labels = label_columns({"species": species}, CATEGORICAL)
    return RealPair(values[:, :SKLEARN_SEPALS], values[:, SKLEARN_SEPALS:], labels)


SETS: dict[str, RealSet] = {
    "bmmc": _npz(
        "bmmc_citeseq_starter",
        "RNA, 1,000 genes",
        "134 surface proteins",
        labels={"lineage": CATEGORICAL},
        covariates={"batch": ("batch", CATEGORICAL), "depth": ("log10_adt_counts", NUMERIC)},
        options=Options(embedding_dim=32),
    ),
    "mfeat": _npz(
        "mfeat_fou_pix",
        "Fourier coefficients of a drawn digit",
        "its pixel averages",
        labels={"digit": CATEGORICAL},
        options=Options(embedding_dim=32),
    ),
    "kepler": _npz(
        "kepler_rotation_star",
        "rotation of a star",
        "its catalogue entry",
        labels={"mass": NUMERIC},
        options=Options(scaling=STANDARDIZED),
    ),
    "emoji": _npz(
        "emoji_twitter_google",
        "one vendor's drawing",
        "another vendor's",
        labels={"category": CATEGORICAL},
        options=Options(embedding_dim=32),
    ),
    "airquality": _npz(
        "airquality_sensors_reference",
        "five cheap gas sensors",
        "four reference analysers",
        labels={"hour": CATEGORICAL, "weekday": CATEGORICAL},
        covariates={name: (name, NUMERIC) for name in ("T", "RH", "AH")},
        groups=lambda column: np.floor(column("day")).astype(np.int64),
        options=Options(scaling=STANDARDIZED, missing=Missing.DROP_ROWS),
    ),
    "infant": _npz(
        "infant_microbiome_metabolome",
        "microbiome, 295 genera",
        "119 metabolites",
        labels={"diet": CATEGORICAL, "age_months": NUMERIC},
        groups=lambda column: column("subject"),
        options=Options(scaling=STANDARDIZED, embedding_dim=16),
    ),
    "htru2": _npz(
        "htru2_profile_dmsnr",
        "pulse profile, 4 moments",
        "dispersion curve, 4 moments",
        labels={"pulsar": CATEGORICAL},
        options=Options(scaling=STANDARDIZED),
    ),
    "digits": RealSet("left half of the image", "right half", _digits),
    "diabetes": RealSet("age, sex, body mass, blood pressure", "six serum measurements", _diabetes),
    "wine": RealSet("alcohol, acid, ash, magnesium, proline", "phenols and colour", _wine),
    "breast_cancer": RealSet("means over cell nuclei", "their standard errors", _breast_cancer),
    "iris": RealSet("sepal", "petal", _iris),
}


def standardized(values: NDArray[Any]) -> NDArray[Any]:
    """Columns of mean 0 and variance 1, as the option `scaling` makes them; constant ones become 0."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def complete(pair: RealPair) -> RealPair:
    """The pairs without a missing feature."""
    return pair.at(np.flatnonzero(np.isfinite(pair.x).all(axis=1) & np.isfinite(pair.y).all(axis=1)))


def for_reference(pair: RealPair) -> RealPair:
    """What the published procedure, which has no such options, gets: complete pairs, scaled, without groups."""
    whole = complete(pair)
    if whole.options.scaling != UNSCALED:
        whole = replace(whole, x=standardized(whole.x), y=standardized(whole.y))
    return replace(whole, groups=None, covariates=())


def half(pair: RealPair, seed: int) -> RealPair:
    """A random half of the pairs, or all pairs of a random half of the groups."""
    rng = np.random.default_rng(seed)
    if pair.groups is None:
        return pair.at(np.sort(rng.choice(len(pair.x), len(pair.x) // 2, replace=False)))
    ids = np.unique(pair.groups)
    return pair.at(np.flatnonzero(np.isin(pair.groups, rng.choice(ids, len(ids) // 2, replace=False))))


def _at(column: LabelColumn, rows: Indices) -> LabelColumn:
    present = None if column.present is None else column.present[rows]
    return replace(column, values=column.values[rows], present=present)
