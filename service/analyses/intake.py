"""Datasets and label sets: how they come in, complete and checked, and how they go.

Shapes, types, sizes, rows, label types, groups and covariates are checked here, on memory-mapped files, before anything
is kept; finiteness and variance of features and labels when an analysis runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from numpy.typing import NDArray

from service.analyses.analysis import RECORD_VERSION
from service.analyses.dataset import (
    BESIDE,
    FEATURES,
    ID_COLUMN,
    Dataset,
    DatasetState,
    LabelJoin,
    LabelSet,
    StoredArray,
    TypesAsSaid,
)
from service.analyses.errors import (
    DatasetImmutable,
    DatasetIncomplete,
    DatasetInUse,
    DatasetNotFound,
    InvalidRequest,
    LabelSetInUse,
    LabelSetNotFound,
    StoreUnavailable,
)
from service.analyses.format_errors import NoSuchIdColumn
from service.analyses.identity import Kind, first_id, is_id, new_id
from service.analyses.ports import Features, Labels, Source, Staged, Store
from service.estimation import inputs as checks
from service.estimation.covariates import check_covariates, covariate_columns
from service.estimation.errors import InvalidOption
from service.estimation.groups import check_group_ids, check_groups
from service.estimation.labels import (
    CONTROLS,
    MAX_NAME_CHARACTERS,
    LabelColumn,
    LabelType,
    LabelTypes,
    has_label,
    label_columns,
)

OPEN_LIFETIME = timedelta(days=1)
"""An open dataset that is not complete by then is swept."""

log = structlog.get_logger()


def create_dataset(
    store: Store,
    sources: Mapping[str, Source],
    covariate_types: TypesAsSaid,
    retention: timedelta,
    stem: str | None = None,
    media_types: Mapping[str, str] | None = None,
    id_column: str | None = None,
) -> Dataset:
    """Receive a whole dataset, check its form, and keep it.  Nothing stays behind if it is refused.

    Arguments: stem, of its id; the dataset that has it already is the answer, for then this call was made before;
    media_types, what the files are said to be; id_column, what the ids of rows are called, None for ID_COLUMN if there
    are any.

    Raises: UploadError for unreadable files; estimation InputError for shapes, types, groups and covariates that no
    method can take; StoreUnavailable.
    """
    if (known := _known(store, stem)) is not None:
        return known
    check_id_column(id_column)
    with store.datasets.stage(id_column or ID_COLUMN) as staged:
        receive(staged, sources, media_types)
        dataset = joined(staged, covariate_types, id_column, stem)
        dataset = completed(dataset, staged.features(), retention)
        staged.keep(dataset)
    log.info("dataset_created", dataset_id=dataset.id, n_pairs=dataset.n_pairs)
    return dataset


def open_dataset(
    store: Store,
    beside: Iterable[str],
    covariate_types: TypesAsSaid,
    stem: str | None = None,
    id_column: str | None = None,
) -> Dataset:
    """A dataset whose parts come one by one: x, y, and of groups and covariates those in `beside`.

    Arguments: stem and id_column, as for `create_dataset`.
    """
    check_id_column(id_column)
    chosen = set(beside)
    parts = (*FEATURES, *(part for part in BESIDE if part in chosen))
    if covariate_types and "covariates" not in parts:
        raise InvalidOption(
            "covariate_types says the type of covariates, and they are not among the parts. Add covariates to the "
            "parts, or leave it out.",
            part="covariate_types",
        )
    if (known := _known(store, stem)) is not None:
        return known
    now = datetime.now(UTC)
    dataset = Dataset(
        RECORD_VERSION,
        new_id(Kind.DATASET, stem),
        now,
        now + OPEN_LIFETIME,
        parts,
        covariate_types=covariate_types,
        id_column=id_column,
    )
    with store.datasets.stage() as staged:
        staged.keep(dataset)
    log.info("dataset_opened", dataset_id=dataset.id)
    return dataset


def awaited(store: Store, dataset_id: str, part: str) -> Dataset:
    """The dataset that a part is meant for, before the part is received.  Raises DatasetNotFound, InvalidRequest."""
    dataset = find_dataset(store, dataset_id)
    if part not in dataset.parts:
        raise InvalidRequest(
            f"This dataset has no part {part[:40]!r}. Its parts are {', '.join(dataset.parts)}; they are chosen when "
            "it is opened.",
            part=part[:40],
        )
    return dataset


def put_part(store: Store, dataset_id: str, part: str, staged: Staged, retention: timedelta) -> Dataset:
    """Put a received part in its place; the last one makes the dataset ready, if the parts go together.

    A part may be sent again while the dataset is open.  The bytes that a ready dataset has already are welcome, so that
    a client may repeat a call whose answer it has missed; others raise DatasetImmutable.  Raises as `create_dataset`.
    """
    dataset = before = awaited(store, dataset_id, part)
    if _is_there(dataset, part, staged):
        return dataset
    is_last = set(before.missing_parts) <= {part}
    join = staged.join(before, is_id_named=before.id_column is not None) if is_last else None
    staged.bring(dataset_id)
    with store.datasets.hold(dataset_id, alone=True):
        dataset = awaited(store, dataset_id, part)
        if _is_there(dataset, part, staged):
            return dataset
        if is_last and dataset.files != before.files:
            raise DatasetInUse("Another part of the dataset came at the same time. Send this one again.", part=part)
        if not is_last and set(dataset.missing_parts) <= {part}:
            is_last, join = True, staged.join(dataset, is_id_named=dataset.id_column is not None)
        for each in staged.files:
            dataset = _with_part(dataset, each, staged)
        if is_last:
            dataset = replace(dataset, x_ids=None, y_ids=None, ids=staged.files.get("ids"), join=join)
            dataset = completed(dataset, staged.features_with(dataset), retention)
        staged.add_parts(dataset)
    log.info("dataset_part_received", dataset_id=dataset_id, part=part, state=dataset.state)
    return dataset


def add_label_set(
    store: Store,
    dataset_id: str,
    sources: Mapping[str, Source],
    label_types: LabelTypes,
    stem: str | None = None,
    media_types: Mapping[str, str] | None = None,
    id_column: str | None = None,
) -> LabelSet:
    """Receive labels for a dataset, check them against it, and keep them.

    Arguments: stem, of its id; the label set that has it already is the answer, for then this call was made before;
    media_types, as for `create_dataset`; id_column, what the ids of the labels' rows are called, None for what those of
    the dataset are.

    Raises: DatasetNotFound, DatasetIncomplete; UploadError; estimation InputError; StoreUnavailable.
    """
    known = store.datasets.find_label_set(new_id(Kind.LABEL_SET, stem)) if stem is not None else None
    if known is not None:
        return known
    check_id_column(id_column)
    dataset = find_ready(store, dataset_id)
    if id_column is not None and dataset.join is None:
        raise NoSuchIdColumn(
            "The rows of this dataset have no ids: x and y were not joined. Leave id_column out, and say with rows "
            "which pairs the labels belong to.",
            part="id_column",
        )
    with store.datasets.stage(id_column or dataset.id_column or ID_COLUMN) as staged:
        receive(staged, sources, media_types)
        with store.datasets.hold(dataset_id, alone=False):
            dataset = find_ready(store, dataset_id)
            groups = store.datasets.groups_of(dataset)
            join = staged.match_labels(dataset)
            if id_column is not None and join is None:
                raise NoSuchIdColumn(
                    f"labels have no column {id_column!r}. Name the one with the ids of their rows, or leave id_column "
                    "out.",
                    part="id_column",
                )
            label_set, _ = labeled(dataset, groups, staged, staged.labels(), label_types, stem, join)
            staged.add_label_set(label_set)
    log.info("label_set_created", dataset_id=dataset_id, label_set_id=label_set.id, n_labeled=label_set.n_labeled)
    return label_set


def receive(staged: Staged, sources: Mapping[str, Source], media_types: Mapping[str, str] | None = None) -> None:
    """Receive every part, which must be what its content type says."""
    for part, source in sources.items():
        staged.receive(part, source, (media_types or {}).get(part))


def check_id_column(name: str | None) -> None:
    """Raise InvalidRequest for what no column is called."""
    if name is not None and (not name or len(name) > MAX_NAME_CHARACTERS or CONTROLS.search(name)):
        raise InvalidRequest(
            f"id_column is no name of a column: 1 to {MAX_NAME_CHARACTERS} characters on one line. Send that of the "
            "column with the ids of the rows, or leave it out.",
            part="id_column",
        )


def joined(
    staged: Staged, covariate_types: TypesAsSaid, id_column: str | None = None, stem: str | None = None
) -> Dataset:
    """A new dataset of what has been received, its rows joined if x and y have ids; neither checked nor kept.

    Its id has the stem, or a fresh one.  Raises UploadError.
    """
    for part in FEATURES:
        checks.check_features(part, staged.array(part))
    join = staged.join(is_id_named=id_column is not None)
    features = staged.features()
    now = datetime.now(UTC)
    return Dataset(
        version=RECORD_VERSION,
        id=new_id(Kind.DATASET, stem),
        created_at=now,
        expires_at=now + OPEN_LIFETIME,
        parts=(*FEATURES, *(part for part in BESIDE if part in staged.files)),
        x=_described(staged, "x", features.x),
        y=_described(staged, "y", features.y),
        groups=staged.files.get("groups"),
        covariates=staged.files.get("covariates"),
        covariate_types=covariate_types,
        id_column=id_column,
        ids=staged.files.get("ids"),
        join=join,
    )


def completed(dataset: Dataset, features: Features, retention: timedelta) -> Dataset:
    """The dataset with all its parts checked against each other, and its expiry.  Raises estimation InputError."""
    n_pairs = checks.check_pairs(features.x, features.y)
    if features.groups is not None:
        check_group_ids(features.groups, n_pairs)
    covariates = typed_covariates(features.covariates, dataset.covariate_types)
    check_covariates(covariates, n_pairs)
    types = {column.name: column.type for column in covariates}
    return replace(dataset, covariate_types=types, expires_at=datetime.now(UTC) + retention)


def labeled(
    dataset: Dataset,
    groups: NDArray[Any] | None,
    staged: Staged,
    labels: Labels,
    types: LabelTypes,
    stem: str | None = None,
    join: LabelJoin | None = None,
) -> tuple[LabelSet, tuple[LabelColumn, ...]]:
    """A new label set of what has been received, checked against its dataset, with its typed columns.

    Its id has the stem, or a fresh one.  Arguments: join, how they were matched by ids, if they were.
    """
    columns = label_columns(labels.columns, types)
    n_pairs = dataset.n_pairs or 0
    rows = checks.check_label_rows(n_pairs, len(columns[0].values), labels.rows)
    if groups is not None:
        check_groups(groups, n_pairs, rows[has_label(columns)])
    label_set = LabelSet(
        version=RECORD_VERSION,
        id=new_id(Kind.LABEL_SET, stem),
        dataset_id=dataset.id,
        created_at=datetime.now(UTC),
        labels=staged.files["labels"],
        rows=staged.files.get("rows"),
        label_types={column.name: column.type for column in columns},
        n_labeled=len(rows),
        join=join,
    )
    return label_set, columns


def typed_covariates(
    covariates: Mapping[str, NDArray[Any]] | None, types: LabelTypes | dict[str, LabelType]
) -> tuple[LabelColumn, ...]:
    """The covariates that were received, none if none were.  Raises InvalidOption for types of none, InputError."""
    if covariates is not None:
        return covariate_columns(covariates, types)
    if types:
        raise InvalidOption(
            "covariate_types says the type of covariates, and none were sent. Send them, or leave it out.",
            part="covariate_types",
        )
    return ()


def find_dataset(store: Store, dataset_id: str) -> Dataset:
    """A dataset, open or ready.  Raises DatasetNotFound."""
    dataset = store.datasets.find(dataset_id) if is_id(dataset_id, Kind.DATASET) else None
    if dataset is None:
        raise DatasetNotFound("There is no dataset with this id. It may have expired: check the id, or send it again.")
    return dataset


def find_ready(store: Store, dataset_id: str) -> Dataset:
    """A dataset that has all its parts.  Raises DatasetNotFound, DatasetIncomplete."""
    dataset = find_dataset(store, dataset_id)
    if dataset.missing_parts:
        missing = ", ".join(dataset.missing_parts)
        raise DatasetIncomplete(
            f"The dataset still lacks {missing}. Send each with PUT /v1/datasets/{dataset_id}/<part>, then try again."
        )
    return dataset


def find_label_set(store: Store, label_set_id: str) -> LabelSet:
    """A label set.  Raises LabelSetNotFound."""
    label_set = store.datasets.find_label_set(label_set_id) if is_id(label_set_id, Kind.LABEL_SET) else None
    if label_set is None:
        raise LabelSetNotFound(
            "There is no label set with this id. It may have gone with its dataset: check the id, or send it again."
        )
    return label_set


def delete_dataset(store: Store, dataset_id: str) -> list[str]:
    """Remove a dataset with its label sets; reports made of it stay.  Returns the ids of what is gone.

    Raises DatasetNotFound, DatasetInUse.
    """
    find_dataset(store, dataset_id)
    with store.datasets.hold(dataset_id, alone=True):
        removed = _remove_unused(store, dataset_id)
    log.info("dataset_deleted", dataset_id=dataset_id)
    return removed


def _remove_unused(store: Store, dataset_id: str) -> list[str]:
    if user := store.analyses.user_of(dataset_id):
        raise DatasetInUse(f"Analysis {user} of this dataset has not finished. Wait for it, or cancel it first.")
    removed = [dataset_id, *store.datasets.label_set_ids(dataset_id)]
    store.datasets.remove(dataset_id)
    return removed


def delete_label_set(store: Store, label_set_id: str) -> None:
    """Remove a label set; reports made with it stay.  Raises LabelSetNotFound, LabelSetInUse."""
    label_set = find_label_set(store, label_set_id)
    with store.datasets.hold(label_set.dataset_id, alone=True):
        if user := store.analyses.user_of(label_set_id):
            raise LabelSetInUse(
                f"Analysis {user} with this label set has not finished. Wait for it, or cancel it first."
            )
        store.datasets.remove_label_set(label_set)
    log.info("label_set_deleted", label_set_id=label_set_id)


def sweep_datasets(store: Store, now: datetime, retention: timedelta) -> list[str]:
    """Remove the datasets whose time is over and that nobody uses; returns the ids of what is gone.

    The time of one whose record cannot be read is over `retention` after its id was made.

    What fails with one keeps none of the others.
    """
    removed: list[str] = []
    ids = store.datasets.ids()
    old = first_id(Kind.DATASET, now - retention)
    found = zip(ids, store.datasets.find_many(ids), strict=True)
    expired = [an_id for an_id, d in found if (d.expires_at <= now if d is not None else an_id < old)]
    for dataset_id in expired:
        try:
            with store.datasets.hold(dataset_id, alone=True):
                # Its last part may have come, and its time begun anew, before it was held.
                dataset = store.datasets.find(dataset_id)
                if dataset is None or dataset.expires_at <= now:
                    removed += _remove_unused(store, dataset_id)
                    log.info("dataset_expired", dataset_id=dataset_id)
        except (DatasetInUse, DatasetNotFound):
            continue
        except (OSError, StoreUnavailable):
            log.exception("dataset_not_removed", dataset_id=dataset_id)
    return removed


def _known(store: Store, stem: str | None) -> Dataset | None:
    return store.datasets.find(new_id(Kind.DATASET, stem)) if stem is not None else None


def _is_there(dataset: Dataset, part: str, staged: Staged) -> bool:
    """Whether a ready dataset has the received part.  Raises DatasetImmutable if it has another."""
    if dataset.state is DatasetState.OPEN:
        return False
    if dataset.files[part].sent_sha256 != staged.files[part].sent_sha256:
        raise DatasetImmutable(
            "The dataset is ready and does not change any more. Open a new one for other data.", part=part
        )
    return True


def _with_part(dataset: Dataset, part: str, staged: Staged) -> Dataset:
    """The dataset with a received part, looked at by itself."""
    if part == "groups":
        return replace(dataset, groups=staged.files[part])
    if part == "covariates":
        return replace(dataset, covariates=staged.files[part])
    if part not in FEATURES:
        return dataset  # ids
    array = staged.array(part)
    checks.check_features(part, array)
    stored, ids = _described(staged, part, array), staged.files.get(f"{part}_ids")
    return replace(dataset, x=stored, x_ids=ids) if part == "x" else replace(dataset, y=stored, y_ids=ids)


def _described(staged: Staged, part: str, array: NDArray[Any]) -> StoredArray:
    file = staged.files[part]
    return StoredArray(
        file.name, file.size_bytes, file.sha256, tuple(array.shape), str(array.dtype), received=file.received
    )
