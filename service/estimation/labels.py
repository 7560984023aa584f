"""Label columns: their types, and the numeric targets that components are held against.

A column is `categorical` (one-hot encoded: one target per class) or `numeric` (one target).  Text and booleans are
categorical, floating-point numbers numeric; integers may be either, so their type has to be said.

A value may be missing: NaN among floating-point numbers, empty text, a masked value of a masked array.  What is
missing is no class and no number: everything here looks at the values that are present.  Covariates are columns of the
same kind (see `covariates`); what differs is their `Role`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.errors import UnsupportedType, WrongShape
from service.estimation.moments import Array, Indices
from service.estimation.roles import LABELS, Role

LAST_CODE_POINT = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)  # code points that stand for no character
MAX_NAME_CHARACTERS = 200  # of a target: column, or column=class
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what moves a cursor or begins a line, anywhere


class LabelType(StrEnum):
    """How a label column is read."""

    CATEGORICAL = "categorical"
    NUMERIC = "numeric"


LabelTypes = Mapping[str, LabelType | str] | LabelType | str | None


@dataclass(frozen=True)
class LabelColumn:
    """One column: `values` (m,) as given, in the order of the label rows.

    `present` (m,) says which values there are, None when there are all; a value that is not present means nothing.
    """

    name: str
    type: LabelType
    values: NDArray[Any]
    present: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Targets:
    """What components are held against: `matrix` (m, L) with one name per column, NaN where a row has no value."""

    matrix: Array
    names: tuple[str, ...]


@dataclass(frozen=True)
class ColumnTargets(Targets):
    """Targets of one label column: `matrix` (m_present, L) for the label rows that have it, `positions` (m_present,).

    A position is a place among the m label rows, not a row of the dataset.
    """

    positions: Indices


def label_columns(
    values: NDArray[Any] | Mapping[str, NDArray[Any]], types: LabelTypes = None
) -> tuple[LabelColumn, ...]:
    """Typed columns from an array (m,) or (m, L), whose columns are named label_0, label_1, ..., or from named arrays.

    `types` says the type of columns by name, or one type for all.

    Raises: LabelTypeRequired for integers without a type; LabelTypeMismatch for numbers asked of text; LabelNames for
    repeated, empty or unknown names; UnsupportedType for complex numbers, dates and objects; TooManyLabelTargets;
    WrongShape.
    """
    columns = typed_columns(values, types, LABELS)
    target_names(columns)
    return columns


def typed_columns(
    values: NDArray[Any] | Mapping[str, NDArray[Any]], types: LabelTypes, role: Role
) -> tuple[LabelColumn, ...]:
    """The columns of `label_columns`, or those of another role with that role's errors; targets are not counted yet."""
    named = values if isinstance(values, Mapping) else named_columns(values, role)
    if not named:
        raise WrongShape(f"The {role.part} have no column. Give at least one {role.column}.", part=role.part)
    if not isinstance(types, Mapping):
        types = {} if types is None else dict.fromkeys(named, types)
    unknown = sorted(set(types) - set(named))
    if unknown:
        raise role.names(
            f"{role.singular}_types names {_listed(unknown)}, but the {role.part} have {_listed(list(named))}. "
            f"Use the names of the {role.column}s.",
            part=role.part,
        )
    columns = tuple(_typed(name, column, types, role) for name, column in named.items())
    lengths = {column.name: len(column.values) for column in columns}
    if len(set(lengths.values())) > 1:
        raise WrongShape(
            f"The {role.column}s differ in length: {lengths}. Give one value per {role.row}.", part=role.part
        )
    return columns


def named_columns(values: NDArray[Any], role: Role = LABELS) -> dict[str, NDArray[Any]]:
    """The columns of an array (m,) or (m, L), named label_0, label_1, ...  Raises WrongShape."""
    if values.ndim not in (1, 2):
        raise WrongShape(
            f"The {role.part} have {values.ndim} dimensions. Give one value per {role.row}, or a table "
            "(rows, columns).",
            part=role.part,
        )
    table = values if values.ndim == 2 else values[:, None]
    if table.shape[1] > role.max_targets:
        raise role.too_many(
            f"The {role.part} have {table.shape[1]} columns, more than {role.max_targets}. Send fewer {role.column}s.",
            part=role.part,
        )
    return {f"{role.singular}_{place}": table[:, place] for place in range(table.shape[1])}


def present_values(column: LabelColumn) -> NDArray[Any]:
    """The values that are not missing (m_present,)."""
    return column.values if column.present is None else column.values[column.present]


def present_places(column: LabelColumn) -> Indices:
    """The places of the values that are not missing (m_present,), among the m label rows."""
    return np.arange(len(column.values)) if column.present is None else np.flatnonzero(column.present)


def has_label(columns: Sequence[LabelColumn]) -> NDArray[np.bool_]:
    """Which label rows (m,) have a value in at least one column."""
    found = np.zeros(len(columns[0].values), dtype=np.bool_)
    for column in columns:
        found |= True if column.present is None else column.present
    return found


def in_rows(columns: Sequence[LabelColumn], chosen: NDArray[np.bool_]) -> tuple[LabelColumn, ...]:
    """The same columns for the label rows for which `chosen` (m,) is true."""
    return tuple(_in_rows(column, chosen) for column in columns)


def class_name(value: Any) -> str:
    """How a class is called: true and false for booleans, 1 for 1.0, else the value itself."""
    if isinstance(value, np.bool_):
        return "true" if value else "false"
    if isinstance(value, np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def class_counts(column: LabelColumn) -> dict[str, int]:
    """Classes of a categorical column with their counts, in the order of their targets."""
    classes, counts = np.unique(present_values(column), return_counts=True)
    return {class_name(value): int(count) for value, count in zip(classes, counts, strict=True)}


def varies(column: LabelColumn) -> bool:
    """Whether a column takes more than one value."""
    values = present_values(column)
    return bool(np.any(values != values[:1]))


def target_names(columns: Sequence[LabelColumn], role: Role = LABELS) -> tuple[str, ...]:
    """Names of the targets that `encode` makes: column, or column=class.  Raises TooManyLabelTargets, LabelNames."""
    names: list[str] = []
    for column in columns:
        if column.type is LabelType.NUMERIC:
            names.append(column.name)
        else:
            names.extend(f"{column.name}={class_name(value)}" for value in np.unique(present_values(column)))
        if len(names) > role.max_targets:
            raise role.too_many(
                f"With {role.column} {column.name[:40]!r} there are {len(names)} {role.singular} targets, over "
                f"{role.max_targets}: a numeric column is one, and so is each class of a categorical one. Send fewer "
                "columns or coarser classes, leave out identifiers, and call quantities numeric.",
                part=role.part,
            )
    overlong = [name for name in names if len(name) > MAX_NAME_CHARACTERS]
    if overlong:
        raise role.names(
            f"The {role.singular} target {overlong[0][:40]!r}... has a name of {len(overlong[0])} characters, more "
            f"than {MAX_NAME_CHARACTERS}, and the report repeats it. Use shorter names and classes.",
            part=role.part,
        )
    obeyed = [name for name in names if CONTROLS.search(name)]
    if obeyed:
        raise role.names(
            f"The {role.singular} target {obeyed[0]!r} has a control character in its name, and the report repeats it. "
            "Use names and classes of plain text on one line.",
            part=role.part,
        )
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise role.names(
            f"Two {role.singular} targets are called {_listed(repeated)}: a class target is called column=class. "
            f"Rename a {role.column}.",
            part=role.part,
        )
    return tuple(names)


def encode(columns: Sequence[LabelColumn]) -> Targets:
    """Targets of columns, for every label row: a numeric column as it is, a categorical one one-hot, in sorted class
    order; NaN where a row does not have the column."""
    return Targets(np.hstack([_with_gaps(column) for column in columns]), target_names(columns))


def encode_column(column: LabelColumn) -> ColumnTargets:
    """Targets of one column, complete or not, for the label rows that have it."""
    return ColumnTargets(_matrix(column), target_names([column]), present_places(column))


def _with_gaps(column: LabelColumn) -> Array:
    matrix = _matrix(column)
    if column.present is None:
        return matrix
    whole = np.full((len(column.values), matrix.shape[1]), np.nan)
    whole[column.present] = matrix
    return whole


def _matrix(column: LabelColumn) -> Array:
    values = present_values(column)
    if column.type is LabelType.NUMERIC:
        return values.astype(np.float64)[:, None]
    one_hot: Array = (values[:, None] == np.unique(values)).astype(np.float64)
    return one_hot


def _in_rows(column: LabelColumn, chosen: NDArray[np.bool_]) -> LabelColumn:
    present = None if column.present is None else column.present[chosen]
    if present is not None and present.all():
        present = None
    return replace(column, values=column.values[chosen], present=present)


def _typed(name: str, given: NDArray[Any], types: Mapping[str, LabelType | str], role: Role) -> LabelColumn:
    said = _said(name, types, role)
    values: NDArray[Any] = np.ma.getdata(given)
    if not name.strip():
        raise role.names(f"A {role.column} has no name. Name every {role.column}.", part=role.part)
    if values.ndim != 1:
        raise WrongShape(
            f"{role.column.capitalize()} {name!r} has shape {values.shape}. Give one value per {role.row}.",
            part=role.part,
        )
    missing: NDArray[np.bool_] = np.ma.getmaskarray(given)
    match values.dtype.kind:
        case "U" | "T":
            natural: LabelType | None = LabelType.CATEGORICAL
            check_text(f"{role.column.capitalize()} {name!r}", values, role.part)
            missing = missing | (values == "")
            if said is LabelType.NUMERIC:
                raise role.type_mismatch(
                    f"{role.column.capitalize()} {name!r} holds text and cannot be numeric. Call it categorical, or "
                    "send numbers.",
                    part=role.part,
                )
        case "b":
            natural = LabelType.CATEGORICAL
        case "f" if values.dtype.itemsize <= 8:
            natural = LabelType.NUMERIC
            missing = missing | np.isnan(values)
        case "i" | "u":
            natural = None
        case _:
            raise UnsupportedType(
                f"{role.column.capitalize()} {name!r} has type {values.dtype}. Send text, booleans, integers or real "
                "numbers.",
                part=role.part,
            )
    chosen = said or natural
    if chosen is None:
        raise role.type_required(
            f"{role.column.capitalize()} {name!r} holds integers, which may be classes or quantities. "
            f'Say which in options: {{"{role.singular}_types": {{"{name}": "categorical"}}}} or "numeric".',
            part=role.part,
        )
    return LabelColumn(name, chosen, values, ~missing if missing.any() else None)


def _said(name: str, types: Mapping[str, LabelType | str], role: Role) -> LabelType | None:
    said = types.get(name)
    if said is None or said in list(LabelType):
        return None if said is None else LabelType(said)
    raise role.type_mismatch(
        f"{role.column.capitalize()} {name!r} is said to be {str(said)[:40]!r}. Say categorical or numeric.",
        part=role.part,
    )


def check_text(what: str, values: NDArray[Any], part: str) -> None:
    """Refuse text that cannot be written as UTF-8.  Raises UnsupportedType."""
    if values.dtype.kind == "T":
        return  # numpy keeps text of variable width as valid UTF-8
    codes = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).view(np.uint32)
    if np.any((codes > LAST_CODE_POINT) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))):
        raise UnsupportedType(
            f"{what} holds text that is not valid Unicode. Send text that can be written as UTF-8.", part=part
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")
