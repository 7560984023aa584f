"""The limits of the service, on the wire."""

from __future__ import annotations

from service.analyses.dataset import FileFormat
from service.schemas.wire import WireModel

DEFAULT_PAGE = 50
LARGEST_PAGE = 200


class UploadLimits(WireModel):
    """What an upload may be."""

    body_bytes: int
    """Largest request body."""
    table_bytes: int
    """Largest labels, rows, groups or covariates."""
    json_bytes: int
    """Largest JSON body."""
    text_bytes: int
    """Largest text part of a form, such as its options."""
    formats: list[FileFormat]
    """What files may be."""
    unpacked_bytes: int
    """Largest x or y, once it is unpacked."""
    table_values: int
    """Most values of labels, rows, groups or covariates that are not .npy."""
    policy_bytes: int
    """Largest policy in YAML."""


class DataLimits(WireModel):
    """What can be estimated from."""

    min_pairs: int
    """Fewest pairs."""
    min_labeled_rows: int
    """Fewest label rows, and fewest values of a label column that is used."""
    min_groups: int
    """Fewest groups among the labeled pairs, when groups are sent."""
    max_label_targets: int
    """Most label targets: numeric columns, and classes counted one by one."""
    max_covariate_targets: int
    """Most targets of covariates."""
    max_name_characters: int
    """Longest name of a label target or covariate target."""


class ModelLimits(WireModel):
    """What may be asked of the spiked model. A value is one feature of one pair: n_pairs (dx + dy) of them."""

    max_features: int
    """Most features of either modality."""
    max_pairs: int
    """Most pairs of a simulation."""
    max_diagram_points: int
    """Most points of either axis of a phase diagram."""
    max_estimated_values: int
    """Most values of a simulation with `n_labeled`."""
    inline_values: int
    """A simulation with more values is large: it runs as an analysis."""
    inline_features: int
    """A simulation with more features of either modality is large too."""


class MetadataLimits(WireModel):
    """What metadata may be."""

    entries: int
    """Most entries."""
    key_characters: int
    """Longest name."""
    value_characters: int
    """Longest value."""


class PageLimits(WireModel):
    """How lists are cut."""

    default: int
    """Items of a page that does not say how many."""
    largest: int
    """Most items of a page."""


class TimeLimits(WireModel):
    """How long things may take, and how long they are kept."""

    analysis_s: int
    """An analysis that runs longer is stopped and ends failed."""
    wait_s: float
    """Longest wait that `Prefer: wait=N` may ask for."""
    open_dataset_s: int
    """An open dataset that is not complete by then is removed."""
    retention_s: int
    """A dataset with its label sets is removed this long after it came, an analysis this long after it ended."""
    decision_retention_s: int
    """A decision is removed this long after it was made."""
    idempotency_s: int
    """For so long a call with an Idempotency-Key can be repeated."""


class LoadLimits(WireModel):
    """How much may be asked of the service at a time."""

    queued_analyses: int
    """Most analyses that wait at the same time, everybody's."""
    datasets: int
    """Most datasets that a caller may have."""
    label_sets: int
    """Most label sets of one dataset."""
    policy_versions: int
    """Most versions of policies that a caller may have."""
    concurrent_uploads: int
    """Most uploads of one caller at the same time."""
    event_streams: int
    """Most streams of events of one caller at the same time."""
    changes_per_minute: int
    """Most calls of one caller within a minute that change something; 0 for no limit."""


class LimitsView(WireModel):
    """The limits of this service."""

    uploads: UploadLimits
    """What an upload may be."""
    data: DataLimits
    """What can be estimated from."""
    model: ModelLimits
    """What may be asked of the spiked model."""
    metadata: MetadataLimits
    """What metadata may be."""
    pages: PageLimits
    """How lists are cut."""
    times: TimeLimits
    """How long things may take, and how long they are kept."""
    load: LoadLimits
    """How much may be asked of the service at a time."""
