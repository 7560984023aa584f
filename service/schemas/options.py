"""The options of an upload, as JSON says them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from service.estimation.errors import InvalidOption
from service.estimation.labels import LabelType
from service.estimation.options import UNSCALED, Options, Scalings
from service.estimation.terms import Method, Scaling
from service.schemas.strict_json import check_json
from service.schemas.wire import first_error

OPTIONS_BYTES = 64 * 1024


def _for_both(scaling: Any) -> Any:
    """One word stands for both modalities."""
    return {"x": scaling, "y": scaling} if isinstance(scaling, str) else scaling


@dataclass(frozen=True)
class EstimationOptions(Options):
    """What the options of an analysis may say."""

    scaling: Annotated[Scalings, BeforeValidator(_for_both, json_schema_input_type=Scaling | Scalings)] = UNSCALED
    """What is done to the columns of each modality first: none, or standardize (mean 0, variance 1). One word for both
    modalities, or a word for x and a word for y. The published procedure takes the columns as they are."""

    def options(self) -> Options:
        """The options of the estimation alone."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})


@dataclass(frozen=True)
class SubmittedOptions(EstimationOptions):
    """What the `options` part of an upload may say: the types of what is uploaded as well."""

    label_types: dict[str, LabelType] | LabelType | None = None
    """Type of each label column by name, or one type for all. Columns of whole numbers need it."""
    covariate_types: dict[str, LabelType] | LabelType | None = None
    """Type of each covariate by name, or one type for all. Covariates of whole numbers need it."""

    def rehearsing(self, embedding_dim: int | None) -> SubmittedOptions:
        """The options with the dimension that a policy plans, where they name none themselves: what is not rehearsed
        cannot be judged.  Method reference rehearses nothing.
        """
        if embedding_dim is None or self.embedding_dim is not None or self.method is Method.REFERENCE:
            return self
        return replace(self, embedding_dim=embedding_dim)


OPTIONS = TypeAdapter(SubmittedOptions)


def read_options(text: str | bytes) -> SubmittedOptions:
    """The options that a JSON object says, defaults where it says nothing.  Raises InvalidOption, InvalidRequest."""
    if len(text) > OPTIONS_BYTES:
        raise InvalidOption(f"options exceed {OPTIONS_BYTES} bytes. Send the few that differ.", part="options")
    check_json(text, "options")
    try:
        return OPTIONS.validate_json(text, strict=True)
    except ValidationError as error:
        place, message = first_error(error)
        raise InvalidOption(
            f"{'.'.join(('options', *place))}: {message}. The options are one JSON object; the README and /docs list "
            "them.",
            part="options",
        ) from error
