"""What would need more memory than an analysis may take is refused before it is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.analyses.analysis import SimulatedProblem
from service.analyses.dataset import Dataset, LabelSet
from service.analyses.errors import MemoryLimitExceeded
from service.estimation.labels import LabelColumn, LabelType, target_names
from service.estimation.memory import Sizes, needed_bytes, simulation_bytes
from service.estimation.options import Options
from service.estimation.roles import MAX_COVARIATE_TARGETS, MAX_TARGETS

TABLE_FACTOR = 8  # a text table as it is read takes this many times its size at the most


def check_memory(
    dataset: Dataset,
    label_set: LabelSet,
    options: Options,
    columns: Callable[[], Sequence[LabelColumn]],
    limit_bytes: int | None,
) -> None:
    """Refuse an analysis of a ready dataset that would need more than the limit.  Raises MemoryLimitExceeded.

    `columns` reads the label columns; it is asked only when it matters how many classes they have.
    """
    if limit_bytes is None or _needed(dataset, label_set, options, MAX_TARGETS) <= limit_bytes:
        return
    needed = _needed(dataset, label_set, options, len(target_names(columns())))
    _refuse_above(limit_bytes, needed)


def check_simulation_memory(problem: SimulatedProblem, limit_bytes: int | None) -> None:
    """Refuse a simulation that would need more than the limit.  Raises MemoryLimitExceeded."""
    if limit_bytes is None:
        return
    model = problem.model
    sizes = Sizes(problem.n_pairs, model.dx, model.dy, problem.n_labeled or 0, model.k)
    options = None if problem.n_labeled is None else problem.options or Options()
    _refuse_above(limit_bytes, simulation_bytes(sizes, options))


def _refuse_above(limit_bytes: int, needed: int) -> None:
    if needed > limit_bytes:
        raise MemoryLimitExceeded(
            f"The analysis would need up to {needed} bytes of memory; an analysis may take {limit_bytes}. Use fewer "
            "pairs or features, or ask the operator to raise PHASEGATE_ANALYSIS_MEMORY_LIMIT_BYTES."
        )


def _needed(dataset: Dataset, label_set: LabelSet, options: Options, n_targets: int) -> int:
    assert dataset.x is not None  # noqa: S101 - it is ready  # nosec B101
    assert dataset.y is not None  # noqa: S101  # nosec B101
    types = dataset.typed_covariates.values()
    sizes = Sizes(
        n_pairs=dataset.x.shape[0],
        n_features_x=dataset.x.shape[1],
        n_features_y=dataset.y.shape[1],
        n_labeled=label_set.n_labeled,
        n_targets=n_targets,
        n_covariates=len(types),
        n_covariate_targets=MAX_COVARIATE_TARGETS if LabelType.CATEGORICAL in types else len(types),
    )
    tables = [dataset.groups, dataset.covariates, label_set.labels, label_set.rows]
    read = TABLE_FACTOR * sum(table.size_bytes for table in tables if table is not None)
    return needed_bytes(sizes, options) + read
