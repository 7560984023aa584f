"""The rehearsal of a prepared input: which pairs are unlabeled, which folds, which dimensions."""

from __future__ import annotations

import numpy as np

from service.estimation.moments import Indices, assign_blocks, block_moments, without
from service.estimation.options import Options
from service.estimation.preparation import Prepared
from service.estimation.rehearsal import rehearse
from service.estimation.rehearsal_records import Rehearsal

FOLDS = 5


def calibrated_rehearsal(prepared: Prepared, options: Options, signal_count: int) -> Rehearsal:
    """Rehearse at the planned dimension of the embedding and at the signal count."""
    reduction, blocks = prepared.reduction, prepared.blocks
    n_blocks = len(reduction.moments.counts)
    labeled_blocks = blocks[prepared.labeled]
    unlabeled = without(
        reduction.moments, block_moments(reduction.labeled_x, reduction.labeled_y, labeled_blocks, n_blocks)
    )
    folds, unlabeled_folds = _rehearsal_folds(prepared, labeled_blocks, n_blocks, options.seed)
    dims = {max(1, signal_count)} | ({options.embedding_dim} if options.embedding_dim is not None else set())
    return rehearse(
        unlabeled,
        unlabeled_folds,
        reduction.labeled_x,
        reduction.labeled_y,
        folds,
        prepared.columns,
        sorted(dims),
        prepared.labeled_groups,
    )


def _rehearsal_folds(prepared: Prepared, labeled_blocks: Indices, n_blocks: int, seed: int) -> tuple[Indices, Indices]:
    """Folds (m,) of the labeled rows, and (B,) of the blocks whose groups they share; -1 for none."""
    if prepared.groups is None:
        return assign_blocks(len(labeled_blocks), None, FOLDS, seed), np.full(n_blocks, -1)
    used, folds = np.unique(labeled_blocks % FOLDS, return_inverse=True)
    of_blocks = np.arange(n_blocks) % FOLDS
    places = np.minimum(np.searchsorted(used, of_blocks), len(used) - 1)
    return folds, np.where(used[places] == of_blocks, places, -1)
