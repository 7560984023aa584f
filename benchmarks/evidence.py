"""Size and power of the tests that guard claims of signal: python -m benchmarks.evidence [--parts "claim size"].

Size is the share of draws without the effect in which a test speaks for it at level 0.05; of 400 draws at most 28
(0.07) do in 97 of 100 runs when the test is exact.  Power is that share of draws with the effect.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import linalg

from benchmarks import results
from service.estimation.coupling import principal_components
from service.estimation.evidence import LEVEL, CoupledComponents, component_p_values, coupling_evidence, label_evidence
from service.estimation.moments import Array, Indices, centred, covariance

BLOCKS = 20
FOLDS = 5
CLASSES = 8
TAILS = ("normal", "t4", "outlier", "lognormal")
SIGNAL = 4  # first components, which labels hang on


@dataclass(frozen=True)
class Shape:
    """Rows, or groups of 1 to 10 near-identical rows; features of x and of y; how they are distributed."""

    n: int
    dx: int
    dy: int
    tail: str = "normal"
    grouped: bool = False

    def __str__(self) -> str:
        return f"{self.n} {'groups' if self.grouped else 'rows'}, {self.dx} x {self.dy}, {self.tail}"


@dataclass(frozen=True)
class Sample:
    """x (n, dx) and y (n, dy) in principal coordinates; x's hidden components (n, dx); groups (n,) or None."""

    x: Array
    y: Array
    hidden: Array
    groups: Indices | None


Profile = Callable[[int], Array]
Labels = Callable[[np.random.Generator, Array], Array]
Trial = Callable[[np.random.Generator], bool]


def none(k: int) -> Array:
    """No coupling."""
    return np.zeros(k)


def alike(rho: float) -> Profile:
    """Every component coupled."""
    return lambda k: np.full(k, rho, dtype=np.float64)


def some(rho: float, start: int, stop: int) -> Profile:
    """Components start to stop (counted from 0, from the end if negative) coupled."""

    def profile(k: int) -> Array:
        values = np.zeros(k)
        values[range(k)[start:stop]] = rho
        return values

    return profile


def shared(k: int) -> Array:
    """Signal, as many components of nuisance, and private components."""
    return some(0.8, 0, SIGNAL)(k) + some(0.6, SIGNAL, 2 * SIGNAL)(k)


def mixed(rng: np.random.Generator, signal: Array) -> Array:
    """One label that mixes all signal components, R^2 = 0.2."""
    return np.asarray(signal.sum(axis=1, keepdims=True) + 4 * rng.standard_normal((len(signal), 1)))


def one_of_eleven(rng: np.random.Generator, signal: Array) -> Array:
    """Eleven labels, one of which hangs on one component, R^2 = 0.2."""
    labels = rng.standard_normal((len(signal), 11))
    labels[:, 0] = signal[:, 0] + 2 * labels[:, 0]
    return labels


def classes(count: int, noise: float) -> Labels:
    """One-hot classes by the nearest of `count` centres to the signal with noise."""

    def labels(rng: np.random.Generator, signal: Array) -> Array:
        centres = rng.standard_normal((count, signal.shape[1])) * np.hypot(1, noise)
        noisy = signal + noise * rng.standard_normal(signal.shape)
        nearest = ((noisy**2).sum(1)[:, None] - 2 * noisy @ centres.T + (centres**2).sum(1)).argmin(axis=1)
        return np.asarray(np.eye(count)[nearest])

    return labels


def gappy(rng: np.random.Generator, signal: Array) -> Array:
    """Eleven labels of the signal, each missing in half of the rows."""
    labels = signal @ rng.standard_normal((signal.shape[1], 11)) + 6 * rng.standard_normal((len(signal), 11))
    return np.asarray(np.where(rng.random(labels.shape) < 0.5, np.nan, labels))


COUPLING_NULLS = (
    *(Shape(100, 40, 30, tail) for tail in TAILS),
    *(Shape(100, 10, 14, tail) for tail in TAILS),
    *(Shape(80, dx, dy, tail, grouped=True) for dx, dy in ((10, 14), (32, 24)) for tail in TAILS),
    *(Shape(300, 100, 80, tail) for tail in ("normal", "t4", "outlier")),
    Shape(1000, 100, 90, "t4"),
    Shape(20000, 100, 60, "t4"),
)
COUPLING_EFFECTS: dict[str, tuple[Shape, Profile]] = {
    "strong in one": (Shape(300, 60, 50), some(0.5, 1, 2)),
    "strong in one, t4": (Shape(300, 60, 50, "t4"), some(0.5, 1, 2)),
    "weak in all": (Shape(300, 60, 50), alike(0.13)),
    "weak in all, t4": (Shape(300, 60, 50, "t4"), alike(0.13)),
    "in the least variance": (Shape(300, 30, 40), some(0.5, 29, 30)),
    "few rows": (Shape(100, 40, 30), some(0.6, 0, 2)),
    "groups": (Shape(80, 20, 16, grouped=True), some(0.6, 0, 2)),
    "many rows": (Shape(5000, 100, 80), alike(0.03)),
}
LABEL_CASES: dict[str, tuple[Shape, int, Labels]] = {
    "one label of four components": (Shape(600, 60, 70), 150, mixed),
    "one label of four, t4": (Shape(600, 60, 70, "t4"), 150, mixed),
    "one label of four, tight": (Shape(300, 60, 50), 150, mixed),
    "one of eleven labels": (Shape(600, 60, 70), 150, one_of_eleven),
    "eight classes": (Shape(600, 60, 70), 150, classes(CLASSES, 2.0)),
    "a thousand classes": (Shape(1000, 60, 70), 1000, classes(1000, 0.5)),
    "gappy labels": (Shape(600, 60, 70), 150, gappy),
    "groups, one label of four": (Shape(80, 20, 16, grouped=True), 300, mixed),
    "groups, eight classes, t4": (Shape(80, 20, 16, "t4", grouped=True), 300, classes(CLASSES, 0.5)),
}
CLAIM_SHAPES = (
    Shape(100, 40, 30, "t4"),
    Shape(300, 60, 50),
    Shape(300, 60, 50, "outlier"),
    Shape(80, 20, 16, grouped=True),
    Shape(80, 20, 16, "t4", grouped=True),
    Shape(1000, 100, 80, "t4"),
)


def draw(rng: np.random.Generator, shape: Shape, profile: Profile, *, shuffled: bool = False) -> Sample:
    """Features of falling variance, i-th hidden components correlating as in `profile`, in random bases.

    `shuffled`: afterwards the rows (with groups, all rows of a group alike) of y are put in random order.
    """
    hidden_x, hidden_y = rng.standard_normal((shape.n, shape.dx)), rng.standard_normal((shape.n, shape.dy))
    k = min(shape.dx, shape.dy)
    rho = profile(k)
    hidden_y[:, :k] = rho * hidden_x[:, :k] + np.sqrt(1 - rho**2) * hidden_y[:, :k]
    if shuffled:
        hidden_y = hidden_y[rng.permutation(shape.n)]
    members = np.repeat(np.arange(shape.n), rng.integers(1, 11, shape.n)) if shape.grouped else np.arange(shape.n)
    features = []
    for hidden in (hidden_x, hidden_y):
        values = _tailed(rng, hidden, shape.tail) * np.arange(1, hidden.shape[1] + 1) ** -0.5
        noise = 0.05 * values.std() * rng.standard_normal((len(members), hidden.shape[1]))
        values = values[members] + (noise if shape.grouped else 0)
        rotated = values @ np.linalg.qr(rng.standard_normal((hidden.shape[1],) * 2))[0]
        features.append(principal_components(rotated, hidden.shape[1]).scores)
    return Sample(features[0], features[1], hidden_x[members], members if shape.grouped else None)


def couples(rng: np.random.Generator, sample: Sample) -> bool:
    """Whether the coupling test speaks for coupling."""
    z = np.hstack([sample.x, sample.y])
    blocks = _blocks(rng, sample)
    counts = np.array([float(len(block)) for block in blocks])
    first = np.stack([z[block].sum(axis=0) for block in blocks])
    second = np.stack([z[block].T @ z[block] for block in blocks])
    grouped = sample.groups is not None
    found = coupling_evidence(counts, first, second, sample.x.shape[1], grouped=grouped, seed=_seed(rng))
    return found.p_value <= LEVEL


def labels_speak(rng: np.random.Generator, sample: Sample, rows: Indices, targets: Array) -> tuple[bool, bool]:
    """Whether the label test speaks for association with x and with y."""
    groups = None if sample.groups is None else sample.groups[rows]
    coupled = _coupled_components(rng, sample)
    found = label_evidence(sample.x[rows], sample.y[rows], targets, coupled, groups, seed=_seed(rng))
    return found.p_x <= LEVEL, found.p_y <= LEVEL


def coupling_trial(rng: np.random.Generator, shape: Shape, profile: Profile) -> bool:
    """Whether coupling is found."""
    return couples(rng, draw(rng, shape, profile))


def label_trial(rng: np.random.Generator, shape: Shape, n_labeled: int, labels: Labels, origin: str) -> bool:
    """Whether labels are found associated: of the signal, with x and y; of x alone, with y; of nothing, with x."""
    sample = draw(rng, shape, shared)
    rows = np.sort(rng.choice(len(sample.x), min(n_labeled, len(sample.x)), replace=False))
    match origin:
        case "signal":
            source = sample.hidden[:, :SIGNAL]
        case "x alone":
            source = sample.hidden[:, -SIGNAL:]
        case _:
            source = _like(rng, sample, SIGNAL)
    of_x, of_y = labels_speak(rng, sample, rows, labels(rng, source)[rows])
    return {"signal": of_x and of_y, "x alone": of_y}.get(origin, of_x)


def claim_trial(rng: np.random.Generator, shape: Shape, null: str) -> bool:
    """Whether signal is claimed where (a) labels, (b) the pairing, (c) both are independent of the rest."""
    sample = draw(rng, shape, shared, shuffled=null != "a")
    targets = classes(CLASSES, 0.5)(rng, sample.hidden[:, :SIGNAL] if null == "b" else _like(rng, sample, SIGNAL))
    return couples(rng, sample) and all(labels_speak(rng, sample, np.arange(len(targets)), targets))


def component_trial(rng: np.random.Generator, shape: Shape) -> bool:
    """Whether any component is found associated with labels of nothing."""
    sample = draw(rng, shape, none)
    return bool((component_p_values(sample.x, _like(rng, sample, 3), sample.groups, seed=_seed(rng)) <= LEVEL).any())


def label_trials(origin: str) -> dict[str, Trial]:
    """A trial for each of LABEL_CASES."""
    return {
        f"{name}: {shape}": partial(label_trial, shape=shape, n_labeled=n_labeled, labels=labels, origin=origin)
        for name, (shape, n_labeled, labels) in LABEL_CASES.items()
    }


PARTS: dict[str, dict[str, Trial]] = {
    "coupling size": {str(shape): partial(coupling_trial, shape=shape, profile=none) for shape in COUPLING_NULLS},
    "coupling power": {
        f"{name}: {shape}": partial(coupling_trial, shape=shape, profile=profile)
        for name, (shape, profile) in COUPLING_EFFECTS.items()
    },
    "label size": label_trials("nothing"),
    "label size, labels of x alone": label_trials("x alone"),
    "label power": label_trials("signal"),
    "component size": {
        str(shape): partial(component_trial, shape=shape)
        for shape in (Shape(150, 60, 8), Shape(150, 60, 8, "t4"), Shape(80, 30, 8, grouped=True))
    },
    "claim size": {
        f"({null}) {shape}": partial(claim_trial, shape=shape, null=null) for shape in CLAIM_SHAPES for null in "abc"
    },
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table a part, and write them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--draws", type=int, default=400, help="draws of every case (default 400)")
    parser.add_argument("--json", type=Path, default=results.DIRECTORY / "evidence.json", help="where to write")
    chosen = parser.parse_args(arguments)
    if chosen.draws < 1:
        parser.error("--draws must be at least 1")

    tables: dict[str, dict[str, float]] = {}
    for part in chosen.parts:
        print(f"\n{part}, {chosen.draws} draws")
        tables[part] = {}
        for place, (name, trial) in enumerate(PARTS[part].items()):
            share = float(np.mean([trial(np.random.default_rng([seed, place])) for seed in range(chosen.draws)]))
            tables[part][name] = share
            print(f"  {name:64s}{share:8.3f}", flush=True)
    results.write(chosen.json, {"draws": chosen.draws, "tables": tables})
    print(f"\nWritten to {chosen.json}")


def _tailed(rng: np.random.Generator, values: Array, tail: str) -> Array:
    match tail:
        case "t4":
            return values / np.sqrt(rng.chisquare(4, len(values)) / 4)[:, None]
        case "outlier":
            sizes = np.ones(len(values))
            sizes[rng.integers(len(values))] = 1000
            return values * sizes[:, None]
        case "lognormal":
            return np.exp(values)
    return values


def _like(rng: np.random.Generator, sample: Sample, count: int) -> Array:
    """Independent normal values (n, count), nearly the same within a group."""
    fresh = rng.standard_normal((len(sample.x), count))
    return fresh if sample.groups is None else fresh[sample.groups] + 0.05 * rng.standard_normal(fresh.shape)


def _blocks(rng: np.random.Generator, sample: Sample, count: int = BLOCKS) -> list[Indices]:
    """Rows of random blocks that split no group."""
    members = np.arange(len(sample.x)) if sample.groups is None else sample.groups
    parts = np.array_split(rng.permutation(members.max() + 1), count)
    return [np.flatnonzero(np.isin(members, part)) for part in parts]


def _coupled_components(rng: np.random.Generator, sample: Sample) -> CoupledComponents:
    """Canonical components of all pairs, with correlations on held-out blocks."""
    products = np.zeros((3, min(sample.x.shape[1], sample.y.shape[1])))
    for held_out in _blocks(rng, sample, FOLDS):
        rest = np.setdiff1d(np.arange(len(sample.x)), held_out)
        a, b = _canonical(sample.x[rest], sample.y[rest])
        u, v = centred(sample.x[held_out]) @ a, centred(sample.y[held_out]) @ b
        products += np.stack([(u * v).sum(axis=0), (u * u).sum(axis=0), (v * v).sum(axis=0)])
    return CoupledComponents(
        *_canonical(sample.x, sample.y), correlations=products[0] / np.sqrt(products[1] * products[2])
    )


def _canonical(x: Array, y: Array) -> tuple[Array, Array]:
    x, y = centred(x), centred(y)
    roots = [linalg.inv(linalg.cholesky(covariance(side, side) + 1e-8 * np.diag(side.var(axis=0)))) for side in (x, y)]
    left, _, right = linalg.svd(roots[0].T @ covariance(x, y) @ roots[1], full_matrices=False)
    return roots[0] @ left, roots[1] @ right.T


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


if __name__ == "__main__":
    main()
