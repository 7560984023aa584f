"""The multipart forms of uploads: their parts, and what the texts among them say."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError, WithJsonSchema

from service.analyses.dataset import TypesAsSaid
from service.analyses.errors import InvalidMetadata, InvalidRequest
from service.analyses.metadata import MAX_ENTRIES
from service.estimation.errors import InvalidOption
from service.estimation.labels import LabelType
from service.schemas.analyses import METADATA_SCHEMA, Metadata
from service.schemas.strict_json import check_json
from service.schemas.wire import WireModel, first_error


class _File:
    """Marks a part that is a file."""


def _json(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "contentMediaType": "application/json", "contentSchema": schema})


BINARY = WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream"})
FilePart = Annotated[bytes, _File(), BINARY]
OptionalFile = Annotated[bytes | None, _File(), BINARY]
TypesText = Annotated[
    str | None,
    _json(
        {
            "anyOf": [
                {"$ref": "#/components/schemas/LabelType"},
                {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/LabelType"}},
            ]
        }
    ),
]
OptionsText = Annotated[str | None, _json({"$ref": "#/components/schemas/SubmittedOptions"})]
FlagText = Annotated[str | None, _json({"type": "boolean"})]
MetadataText = Annotated[str | None, _json(METADATA_SCHEMA)]


class FeatureParts(WireModel):
    """The parts of a dataset."""

    x: FilePart
    """Features of modality x: a table (n, dx) of float16/32/64 or integers, as .npy, .npz, safetensors, Parquet or an
    Arrow file (columns of numbers, or one of lists), or CSV with a header line."""
    y: FilePart
    """Features of modality y, as for x: (n, dy). Row i belongs to row i of x, unless both have a column of ids: then
    they are joined on it, in the order of x."""
    groups: OptionalFile = None
    """Group id of each of the n pairs, such as its subject or site: .npy (n,) of integers or text, or one column as CSV
    with a header line, Parquet, Arrow, .npz or safetensors. With a column of ids, in any order."""
    covariates: OptionalFile = None
    """Covariates of each of the n pairs, such as batch or depth: .npy (n,) or (n, C), or columns in the formats of
    groups. With a column of ids, in any order."""
    id_column: str | None = None
    """Name of the column, array or tensor with the ids of the rows, in every part that has them; id if left out."""


class LabelParts(WireModel):
    """The parts of a label set."""

    labels: FilePart
    """Labels: .npy (m,) or (m, L), or columns as CSV with a header line, Parquet, Arrow, .npz or safetensors, one line
    per label row. With a column of ids, and joined x and y, each belongs to the row with its id."""
    rows: OptionalFile = None
    """0-based row of each label: .npy or CSV, or one column in the formats of labels; left out, the labels cover all n
    rows in order, or have ids."""
    id_column: str | None = None
    """Name of the column with the ids of the rows; that of x and y if left out, or id."""


class DatasetForm(FeatureParts):
    """A whole dataset."""

    covariate_types: TypesText = None
    """Type of each covariate by name, or one type for all, as JSON. Covariates of whole numbers need it."""


class LabelSetForm(LabelParts):
    """Labels for some or all rows of a dataset."""

    label_types: TypesText = None
    """Type of each label column by name, or one type for all, as JSON. Columns of whole numbers need it."""


class UploadForm(LabelParts, FeatureParts):
    """Dataset and label set at once, and what is to be done with them."""

    id_column: str | None = None
    """Name of the column, array or tensor with the ids of the rows, in every part that has them; id if left out."""
    options: OptionsText = None
    """Options, label types and covariate types, as JSON."""
    metadata: MetadataText = None
    """Up to 16 short strings by name, as JSON; lists can be filtered by them."""
    reuse: FlagText = None
    """Whether a stored report of the same may be the answer, true or false; true if left out."""


def parts_of(form: type[WireModel]) -> dict[str, bool]:
    """The parts of a form by name, and whether each is a file."""
    hints = get_type_hints(form, include_extras=True)
    return {name: any(isinstance(mark, _File) for mark in get_args(hints[name])) for name in form.model_fields}


def required_of(form: type[WireModel]) -> tuple[str, ...]:
    """The parts that a form cannot do without."""
    return tuple(name for name, field in form.model_fields.items() if field.is_required())


TYPES: TypeAdapter[TypesAsSaid] = TypeAdapter(TypesAsSaid)
METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)


def read_types(text: str | None, part: str) -> TypesAsSaid:
    """Types of columns, from JSON or one bare word.  Raises InvalidOption, InvalidRequest."""
    if text is None or text in list(LabelType):
        return None if text is None else LabelType(text)
    check_json(text, part)
    try:
        return TYPES.validate_json(text, strict=True)
    except ValidationError as error:
        raise InvalidOption(
            f"{part} cannot be read. Send one of {', '.join(LabelType)}, or a JSON object that names a type for each "
            "column.",
            part=part,
        ) from error


def read_flag(text: str | None, part: str, *, otherwise: bool) -> bool:
    """True or false, `otherwise` if nothing is said.  Raises InvalidRequest."""
    if text is None:
        return otherwise
    if text not in ("true", "false"):
        raise InvalidRequest(f"{part} is neither true nor false. Send one of these words, or leave it out.", part=part)
    return text == "true"


def read_metadata(text: str | None) -> dict[str, str]:
    """Metadata from JSON.  Raises InvalidMetadata, InvalidRequest."""
    check_json(text or "{}", "metadata")
    try:
        return METADATA.validate_json(text or "{}", strict=True)
    except ValidationError as error:
        place, message = first_error(error)
        raise InvalidMetadata(
            f"{'.'.join(('metadata', *place))}: {message}. Send a JSON object of up to {MAX_ENTRIES} short strings.",
            part="metadata",
        ) from error
