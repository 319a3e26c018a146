"""The kinds of events in a journal, and the fields of each.

Events are checked when they are read: a journal may be damaged, or written by somebody else.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from harness.trial.interface import EpochReport, FinalReport
from harness.trial.records import Count, Metrics, Record, TrialId, problem_of, record_of


def _finite(point: dict[str, Any]) -> dict[str, Any]:
    for key, value in point.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} is {value}, which it cannot be")
    return point


def _whole(setting: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for section in ("data", "model", "pretrain", "defense"):
        if section not in setting:
            raise ValueError(f"no section {section}")
    if not isinstance(setting["defense"].get("method"), str):
        raise ValueError("defense.method is no text")
    if type(setting["defense"].get("epochs", 0)) is not int:
        raise ValueError("defense.epochs is no whole number")
    return setting


Point = Annotated[dict[str, str | bool | int | float | None], AfterValidator(_finite)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Event(Record):
    """Fields of every event."""

    seq: int
    time: Annotated[float, Field(ge=0, allow_inf_nan=False)]


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


class _Trial(Record):
    """See :meth:`harness.trial.interface.TrialSpec.dump`."""

    trial_id: TrialId
    phase: Literal["explore", "confirm", "train"]
    role: str
    number: int
    seed: Count
    setting: Annotated[dict[str, dict[str, Any]], AfterValidator(_whole)]


class _Suggestion(Record):
    trial: _Trial
    config_hash: str
    point: Point
    notes: dict[str, Any]


class _WarmTrial(_Suggestion):
    metrics: Metrics


class _Suggested(_Event, _Suggestion):
    pass


class _WarmStarted(_Event):
    runs: dict[str, str]
    trials: list[_WarmTrial]


class _OfTrial(_Event):
    trial_id: TrialId


class _Epoch(_OfTrial, record_of(EpochReport)):  # type: ignore[misc]
    stop_reason: str = ""


class _Completed(_OfTrial, record_of(FinalReport)):  # type: ignore[misc]
    pass


class _Failed(_OfTrial):
    stop_reason: str


class _Lost(_OfTrial):
    node: bool
    reason: str


class _Recommended(_Event):
    trial_ids: list[TrialId]


class _StoppedExploring(_Event):
    reason: str


KINDS: Mapping[str, type[Record]] = {
    "started": _Started,
    "warm_started": _WarmStarted,
    "suggested": _Suggested,
    "epoch": _Epoch,
    "completed": _Completed,
    "failed": _Failed,
    "lost": _Lost,
    "stopped_exploring": _StoppedExploring,
    "recommended": _Recommended,
    "finished": _Event,
    "reported": _Event,
}


def problem_with(event: Mapping[str, Any]) -> str:
    """What is wrong with an event, in one line; empty if nothing is."""
    kind = event.get("event")
    if not isinstance(kind, str) or kind not in KINDS:
        return f"event: none of {', '.join(KINDS)}"
    try:
        KINDS[kind].model_validate(event)
    except ValidationError as error:
        return problem_of(error)
    return ""
