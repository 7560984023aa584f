"""Groups: ids of pairs that belong together, such as those of one subject, site or plate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.errors import (
    GroupCountMismatch,
    MissingGroupId,
    TooFewGroups,
    UnsupportedType,
    WrongShape,
)
from service.estimation.labels import check_text
from service.estimation.moments import Indices

MIN_GROUPS = 10  # among the labeled pairs: what varies between fewer groups cannot be told from chance


def check_groups(groups: NDArray[Any], n_pairs: int, labeled_rows: Indices) -> NDArray[Any]:
    """Refuse what `check_group_ids` does, and too few groups among the labeled pairs; return the ids (n,).

    Arguments: groups (n,), integers or text, a masked value or empty text where an id is missing; labeled_rows, the
    0-based rows of the pairs that have a label.
    """
    ids = check_group_ids(groups, n_pairs)
    n_groups = len(np.unique(ids[labeled_rows]))
    if n_groups < MIN_GROUPS:
        raise TooFewGroups(
            f"The {len(labeled_rows)} labeled pairs belong to {n_groups} groups. An estimate that respects groups "
            f"needs at least {MIN_GROUPS}: label pairs of more groups, or leave groups out.",
            part="groups",
        )
    return ids


def check_group_ids(groups: NDArray[Any], n_pairs: int) -> NDArray[Any]:
    """Refuse ids that are too many, missing or no ids; return them, one per pair (n,)."""
    if groups.ndim == 2 and groups.shape[1] == 1:
        groups = groups[:, 0]
    if groups.ndim != 1:
        raise WrongShape(f"groups has shape {groups.shape}. Send one group id for every row of x and y.", part="groups")
    ids: NDArray[Any] = np.ma.getdata(groups)
    if ids.dtype.kind not in "iuUT":
        raise UnsupportedType(
            f"groups has type {ids.dtype}. Send whole numbers or text; whole numbers kept as real ones become ids with "
            "groups.astype('int64').",
            part="groups",
        )
    if len(ids) != n_pairs:
        raise GroupCountMismatch(
            f"There are {len(ids)} group ids for {n_pairs} pairs. Send one for every row of x and y, in their order, "
            "labeled or not; a CSV file begins with a header line.",
            part="groups",
        )
    missing: NDArray[np.bool_] = np.ma.getmaskarray(groups)
    if ids.dtype.kind in "UT":
        check_text("groups", ids, "groups")
        missing = missing | (ids == "")
    if missing.any():
        raise MissingGroupId(
            f"{int(missing.sum())} pairs have no group id, the first is row {int(missing.argmax())} (counted from 0). "
            "Give every pair an id; one that belongs with no other has an id of its own.",
            part="groups",
        )
    return ids
