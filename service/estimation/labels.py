"""Label columns: their types, and the numeric targets that components are held against.

A column is `categorical` (one-hot encoded: one target per class) or `numeric` (one target).  Text and booleans are
categorical, floating-point numbers numeric; integers may be either, so their type has to be said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.estimation.errors import (
    LabelNames,
    LabelTypeMismatch,
    LabelTypeRequired,
    TooManyLabelTargets,
    UnsupportedType,
    WrongShape,
)
from service.estimation.moments import Array

LAST_CODE_POINT = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)  # code points that stand for no character
MAX_NAME_CHARACTERS = 200  # of a target: column, or column=class
MAX_TARGETS = 1000  # one-hot columns and numeric columns together


class LabelType(StrEnum):
    """How a label column is read."""

    CATEGORICAL = "categorical"
    NUMERIC = "numeric"


LabelTypes = Mapping[str, LabelType | str] | LabelType | str | None


@dataclass(frozen=True)
class LabelColumn:
    """One label column: `values` (m,) as given, in the order of the label rows."""

    name: str
    type: LabelType
    values: NDArray[Any]


@dataclass(frozen=True)
class Targets:
    """What components are held against: `matrix` (m, L) with one name per column."""

    matrix: Array
    names: tuple[str, ...]


def label_columns(
    values: NDArray[Any] | Mapping[str, NDArray[Any]], types: LabelTypes = None
) -> tuple[LabelColumn, ...]:
    """Typed columns from an array (m,) or (m, L), whose columns are named label_0, label_1, ..., or from named arrays.

    `types` says the type of columns by name, or one type for all.

    Raises: LabelTypeRequired for integers without a type; LabelTypeMismatch for numbers asked of text; LabelNames for
    repeated, empty or unknown names; UnsupportedType for complex numbers, dates and objects; TooManyLabelTargets;
    WrongShape.
    """
    named = values if isinstance(values, Mapping) else named_columns(values)
    if not named:
        raise WrongShape("The labels have no column. Give at least one label column.", part="labels")
    if not isinstance(types, Mapping):
        types = {} if types is None else dict.fromkeys(named, types)
    unknown = sorted(set(types) - set(named))
    if unknown:
        raise LabelNames(
            f"label_types names {_listed(unknown)}, but the labels have {_listed(list(named))}. "
            "Use the names of the label columns.",
            part="labels",
        )
    columns = tuple(_typed(name, np.asarray(column), _said(name, types)) for name, column in named.items())
    lengths = {column.name: len(column.values) for column in columns}
    if len(set(lengths.values())) > 1:
        raise WrongShape(f"The label columns differ in length: {lengths}. Give one value per label row.", part="labels")
    target_names(columns)
    return columns


def named_columns(values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The columns of an array (m,) or (m, L), named label_0, label_1, ...  Raises WrongShape."""
    if values.ndim not in (1, 2):
        raise WrongShape(
            f"The labels have {values.ndim} dimensions. Give one value per label row, or a table (rows, columns).",
            part="labels",
        )
    table = values if values.ndim == 2 else values[:, None]
    if table.shape[1] > MAX_TARGETS:
        raise TooManyLabelTargets(
            f"The labels have {table.shape[1]} columns, more than {MAX_TARGETS}. Send fewer label columns.",
            part="labels",
        )
    return {f"label_{place}": table[:, place] for place in range(table.shape[1])}


def class_counts(column: LabelColumn) -> dict[str, int]:
    """Classes of a categorical column with their counts, in the order of their targets."""
    classes, counts = np.unique(column.values, return_counts=True)
    return {_class_name(value): int(count) for value, count in zip(classes, counts, strict=True)}


def varies(column: LabelColumn) -> bool:
    """Whether a column takes more than one value."""
    return bool(np.any(column.values != column.values[0]))


def target_names(columns: Sequence[LabelColumn]) -> tuple[str, ...]:
    """Names of the targets that `encode` makes: column, or column=class.  Raises TooManyLabelTargets, LabelNames."""
    names: list[str] = []
    for column in columns:
        if column.type is LabelType.NUMERIC:
            names.append(column.name)
        else:
            names.extend(f"{column.name}={_class_name(value)}" for value in np.unique(column.values))
        if len(names) > MAX_TARGETS:
            raise TooManyLabelTargets(
                f"With label column {column.name[:40]!r} there are {len(names)} label targets, over {MAX_TARGETS}: "
                "a numeric column is one, and so is each class of a categorical one. Send fewer columns or coarser "
                "classes, leave out identifiers, and call quantities numeric.",
                part="labels",
            )
    overlong = [name for name in names if len(name) > MAX_NAME_CHARACTERS]
    if overlong:
        raise LabelNames(
            f"The label target {overlong[0][:40]!r}... has a name of {len(overlong[0])} characters, more than "
            f"{MAX_NAME_CHARACTERS}: it stands in the report once for every component. Use shorter names and classes.",
            part="labels",
        )
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise LabelNames(
            f"Two label targets are called {_listed(repeated)}: a class target is called column=class. "
            "Rename a label column.",
            part="labels",
        )
    return tuple(names)


def encode(columns: Sequence[LabelColumn]) -> Targets:
    """Targets of the given columns: a numeric column as it is, a categorical one one-hot, in sorted class order."""
    parts = [
        column.values.astype(np.float64)[:, None]
        if column.type is LabelType.NUMERIC
        else (column.values[:, None] == np.unique(column.values)).astype(np.float64)
        for column in columns
    ]
    return Targets(np.hstack(parts), target_names(columns))


def _typed(name: str, values: NDArray[Any], said: LabelType | None) -> LabelColumn:
    if not name.strip():
        raise LabelNames("A label column has no name. Name every label column.", part="labels")
    if values.ndim != 1:
        raise WrongShape(
            f"Label column {name!r} has shape {values.shape}. Give one value per label row.", part="labels"
        )
    match values.dtype.kind:
        case "U" | "T":
            natural: LabelType | None = LabelType.CATEGORICAL
            _check_text(name, values)
            if said is LabelType.NUMERIC:
                raise LabelTypeMismatch(
                    f"Label column {name!r} holds text and cannot be numeric. Call it categorical, or send numbers.",
                    part="labels",
                )
        case "b":
            natural = LabelType.CATEGORICAL
        case "f" if values.dtype.itemsize <= 8:
            natural = LabelType.NUMERIC
        case "i" | "u":
            natural = None
        case _:
            raise UnsupportedType(
                f"Label column {name!r} has type {values.dtype}. Send text, booleans, integers or real numbers.",
                part="labels",
            )
    chosen = said or natural
    if chosen is None:
        raise LabelTypeRequired(
            f"Label column {name!r} holds integers, which may be classes or quantities. "
            f'Say which in options: {{"label_types": {{"{name}": "categorical"}}}} or "numeric".',
            part="labels",
        )
    return LabelColumn(name, chosen, values)


def _said(name: str, types: Mapping[str, LabelType | str]) -> LabelType | None:
    said = types.get(name)
    if said is None or said in list(LabelType):
        return None if said is None else LabelType(said)
    raise LabelTypeMismatch(
        f"Label column {name!r} is said to be {str(said)[:40]!r}. Say categorical or numeric.", part="labels"
    )


def _check_text(name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind == "T":
        return  # numpy keeps text of variable width as valid UTF-8
    codes = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).view(np.uint32)
    if np.any((codes > LAST_CODE_POINT) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))):
        raise UnsupportedType(
            f"Label column {name!r} holds text that is not valid Unicode. Send text that can be written as UTF-8.",
            part="labels",
        )


def _class_name(value: Any) -> str:
    if isinstance(value, np.bool_):
        return "true" if value else "false"
    if isinstance(value, np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")
