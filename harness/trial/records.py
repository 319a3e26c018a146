"""JSON records of a run, whose types, bounds and checksums are verified when they are read."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from harness.files import write_json
from reports.checksums import read_json, with_checksum
from reports.run_folder import is_trial_id
from saat.errors import InputError, one_line
from saat.metrics import Unit, known

_ROUNDING = 1e-6  # by which rounding may raise a mean of average precisions above 1


class Record(BaseModel):
    """A record whose types are checked, not converted; keys of later versions are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


def _checked_metrics(metrics: dict[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        if math.isnan(value):  # not measured
            continue
        metric = known(name.partition("/")[2])
        is_fraction = metric is not None and metric.entry.unit is Unit.FRACTION
        if math.isinf(value) or (is_fraction and not -_ROUNDING <= value <= 1 + _ROUNDING):
            raise ValueError(f"{one_line(name, 60)} is {value}, outside its range")
    return metrics


def _checked_id(text: str) -> str:
    if not is_trial_id(text):
        raise ValueError("not HASH-PHASE-SEED")
    return text


TrialId = Annotated[str, AfterValidator(_checked_id)]
Metrics = Annotated[dict[str, float], AfterValidator(_checked_metrics)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
# By the names of saat.stopwatch.Stage; later versions may have others.
StageSeconds = dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], Seconds]


def record_of(kind: type[Any], **more: Any) -> type[Record]:
    """The checked form of a dataclass, and ``more`` fields: name → (type, default)."""
    columns: dict[str, Any] = {item.name: (item.type, item) for item in dataclasses.fields(kind)}
    return create_model(kind.__name__, __base__=Record, **columns, **more)


def problem_of(error: ValidationError) -> str:
    """The first problem of a record, in a line that names the key."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return one_line(f"{where}: {said}", 160)


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` by ``content`` as JSON, with a checksum of it."""
    write_json(path, with_checksum(content))


def read_record(path: Path, kind: type[Record], verified: bool = True) -> dict[str, Any]:
    """The fields of ``kind`` that :func:`write_record` wrote, with their types checked.

    See :func:`reports.checksums.read_json`.

    Raises:
        InputError: the file is missing, damaged, or not such a record.
    """
    content = read_json(path, verified)
    try:
        return kind.model_validate(content).model_dump()
    except ValidationError as error:
        raise InputError(f"{path}: damaged: {problem_of(error)}") from None
