"""The kinds of events in a journal, and the fields of each.

Events are checked when they are read: a journal may be damaged, or written by somebody else.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, create_model

from harness.trial.interface import EpochReport, FinalReport
from harness.trial.records import (
    Count,
    Metrics,
    Record,
    Seconds,
    TrialId,
    problem_of,
    record_of,
)


def _finite(point: dict[str, Any]) -> dict[str, Any]:
    for key, value in point.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} is {value}, not a finite number")
    return point


Point = Annotated[dict[str, str | bool | int | float | None], AfterValidator(_finite)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


Work = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Event(Record):
    """Fields of every event."""

    seq: int
    time: Seconds


class _Started(_Event):
    search_id: Word
    plan: Literal["search", "train", "compare"] = "search"
    executor: Literal["ray", "inline"]
    tracking_uri: str | None
    device: Literal["cpu", "cuda"]
    data_fingerprint: str
    protocol_hash: str
    dataset: str | None = None
    validation_hash: str | None = None
    versions: dict[str, int] | None = None
    packing: dict[str, str | int | float] | None = None
    # F of a trial of each kind, see harness.session.trial_work; earlier versions wrote none.
    work: dict[str, Work] | None = None


class _Defense(Record):
    method: str
    epochs: int = 0


class Setting(Record):
    """What a trial's setting must have to be read; see :class:`TrialConfig`."""

    data: dict[str, Any]
    model: dict[str, Any]
    pretrain: dict[str, Any]
    defense: _Defense


class _Trial(Record):
    """See :meth:`harness.trial.interface.TrialSpec.dump`."""

    trial_id: TrialId
    phase: Literal["explore", "confirm", "train"]
    role: str
    number: int
    seed: Count
    setting: Setting


class _Suggestion(Record):
    trial: _Trial
    config_hash: str
    point: Point
    notes: dict[str, Any]


class _WarmTrial(_Suggestion):
    metrics: Metrics


def _event(*parts: type[Record], **fields: Any) -> type[Record]:
    """An event with the fields of ``parts`` and others: name → type, or (type, default)."""
    columns: dict[str, Any] = {
        name: field if isinstance(field, tuple) else (field, ...) for name, field in fields.items()
    }
    bases: tuple[type[Record], ...] = (_Event, *parts)
    return create_model("Event", __base__=bases, **columns)


KINDS: Mapping[str, type[Record]] = {
    "started": _Started,
    "warm_started": _event(runs=dict[str, str], trials=list[_WarmTrial]),
    "suggested": _event(_Suggestion),
    "epoch": _event(record_of(EpochReport), trial_id=TrialId, stop_reason=(str, "")),
    "completed": _event(record_of(FinalReport), trial_id=TrialId),
    "failed": _event(trial_id=TrialId, stop_reason=str),
    "lost": _event(trial_id=TrialId, node=bool, reason=str),
    "stopped_exploring": _event(reason=str),
    "recommended": _event(trial_ids=list[TrialId]),
    "finished": _Event,
    "reported": _Event,
}


def problem_with(event: Mapping[str, Any]) -> str:
    """What is wrong with an event, in one line; empty if nothing is."""
    kind = event.get("event")
    if not isinstance(kind, str) or kind not in KINDS:
        return f"event: must be one of {', '.join(KINDS)}"
    try:
        KINDS[kind].model_validate(event)
    except ValidationError as error:
        return problem_of(error)
    return ""
