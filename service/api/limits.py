"""What the service accepts, so that callers need not find out by being refused."""

from __future__ import annotations

from fastapi import APIRouter

from service.analyses import metadata
from service.analyses.dataset import FileFormat
from service.analyses.intake import OPEN_LIFETIME
from service.analyses.policies import MAX_VERSIONS
from service.api.access import ServicesDep
from service.api.body_limit import OTHER_BYTES
from service.estimation import groups, inputs, labels, phase_diagram, roles, simulation, spiked_model
from service.schemas.limits import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    DataLimits,
    LimitsView,
    LoadLimits,
    MetadataLimits,
    ModelLimits,
    PageLimits,
    TimeLimits,
    UploadLimits,
)
from service.schemas.options import OPTIONS_BYTES
from service.schemas.policies import POLICY_BYTES
from service.storage.formats.typed_tables import MAX_FIELDS

router = APIRouter(prefix="/v1", tags=["operations"])


@router.get("/limits", summary="What does the service accept?", responses={200: {"description": "The limits."}})
def limits(services: ServicesDep) -> LimitsView:
    """Sizes, counts, lengths and times; bounds of options stand in the schema of the options."""
    settings = services.settings
    return LimitsView(
        uploads=UploadLimits(
            body_bytes=settings.max_upload_bytes,
            table_bytes=settings.max_label_bytes,
            json_bytes=OTHER_BYTES,
            text_bytes=OPTIONS_BYTES,
            formats=list(FileFormat),
            unpacked_bytes=settings.max_upload_bytes,
            table_values=MAX_FIELDS,
            policy_bytes=POLICY_BYTES,
        ),
        data=DataLimits(
            min_pairs=inputs.MIN_PAIRS,
            min_labeled_rows=inputs.MIN_LABELED_ROWS,
            min_groups=groups.MIN_GROUPS,
            max_label_targets=roles.LABELS.max_targets,
            max_covariate_targets=roles.COVARIATES.max_targets,
            max_name_characters=labels.MAX_NAME_CHARACTERS,
        ),
        model=ModelLimits(
            max_features=spiked_model.MAX_FEATURES,
            max_pairs=simulation.MAX_PAIRS,
            max_diagram_points=phase_diagram.MAX_POINTS,
            max_estimated_values=simulation.MAX_ESTIMATED_VALUES,
            inline_values=simulation.SMALL_VALUES,
            inline_features=simulation.SMALL_FEATURES,
        ),
        metadata=MetadataLimits(
            entries=metadata.MAX_ENTRIES,
            key_characters=metadata.MAX_KEY_CHARACTERS,
            value_characters=metadata.MAX_VALUE_CHARACTERS,
        ),
        pages=PageLimits(default=DEFAULT_PAGE, largest=LARGEST_PAGE),
        times=TimeLimits(
            analysis_s=settings.analysis_time_limit_s,
            wait_s=settings.max_wait_s,
            open_dataset_s=int(OPEN_LIFETIME.total_seconds()),
            retention_s=settings.retention_s,
            decision_retention_s=int(settings.decision_retention.total_seconds()),
            idempotency_s=settings.idempotency_s,
        ),
        load=LoadLimits(
            queued_analyses=settings.max_queued,
            datasets=settings.max_datasets,
            label_sets=settings.max_label_sets,
            policy_versions=MAX_VERSIONS,
            concurrent_uploads=settings.max_concurrent_uploads,
            event_streams=settings.max_streams,
            changes_per_minute=settings.rate_per_minute,
        ),
    )
