"""How much the data are worth: effective numbers of pairs and of labeled rows, from the scatter between blocks.

Heavy tails and rows that belong together make products of scores scatter more between blocks of rows than independent
normal rows would.  The factor by which they do is the design effect; the likelihood counts n / design effect rows.
"""

from __future__ import annotations

import numpy as np

from service.estimation.moments import Array, BlockMoments, Indices


def design_effect(moments: BlockMoments) -> float:
    """Scatter of the products of x's and y's principal scores between blocks over that of independent normal rows.

    sum_b sum_ij (P_bij - n_b S_ij)^2 / sum_b n_b (1 - n_b / n) sum_ij (S_ii S_jj + S_ij^2), i of x, j of y, S the
    covariance and both scaled to unit variances.  About 1 for independent normal rows, about g where every row comes g
    times in one block; at least 1.
    """
    counts = moments.counts
    pooled = moments.pooled(np.ones(len(counts)))
    sx, sy = moments.sides
    mean, covariance = pooled.mean, pooled.covariance
    scale = np.sqrt(covariance.diagonal())
    expected = covariance[sx, sy] / np.outer(scale[sx], scale[sy])
    scatter = 0.0
    for count, first, second in zip(counts, moments.first, moments.second, strict=True):
        cross = second[sx, sy] - np.outer(first[sx], mean[sy]) - np.outer(mean[sx], first[sy])
        cross = (cross + count * np.outer(mean[sx], mean[sy])) / np.outer(scale[sx], scale[sy])
        scatter += float(((cross - count * expected) ** 2).sum())
    normal = float((counts * (1 - counts / pooled.n)).sum()) * float((1 + expected**2).sum())
    return max(1.0, scatter / normal)


def label_design_effect(scores: Array, targets: Array, blocks: Indices) -> float:
    """The same of the products of scores (m, d) with targets (m, L), both centred, over blocks (m,); at least 1.

    Scores and targets that do not vary count for nothing.
    """
    m = len(scores)
    covariance = scores.T @ targets / m
    normal_pair = np.outer((scores**2).mean(axis=0), (targets**2).mean(axis=0)) + covariance**2
    seen = normal_pair > 0  # a score may vary, but not among the labeled rows
    scatter = normal = 0.0
    for block in np.unique(blocks):
        rows = blocks == block
        count = int(rows.sum())
        # Relative to what a normal pair would scatter, so that no score or target counts for its unit.
        off = (scores[rows].T @ targets[rows] - count * covariance)[seen] ** 2 / normal_pair[seen]
        scatter += float(off.sum())
        normal += count * (1 - count / m) * off.size
    return max(1.0, scatter / normal) if normal > 0 else 1.0
