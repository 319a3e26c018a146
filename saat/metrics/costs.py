"""What a model and its training cost: length of the codes, seconds of work."""

from typing import TYPE_CHECKING, Any

from saat.metrics.interface import AIM, EVERY_PHASE, Unit, metric

if TYPE_CHECKING:
    from saat.evaluation import Evaluation

_COST: dict[str, Any] = {"higher_is_better": False, "phases": EVERY_PHASE, "in_tables": False}


@metric("code length", unit=Unit.COUNT, key="model.bits", **_COST, **AIM)
def code_length(evaluation: "Evaluation") -> int:
    """Bits of a code: what an item of the database takes."""
    return evaluation.database_codes.shape[1]


@metric("device seconds", unit=Unit.SECONDS, from_images=False, of_trial=True, **_COST, **AIM)
def device_seconds(cost_s: float) -> float:
    """Seconds of work on a trial so far, as ``cost_s`` of ``trials.parquet`` counts them."""
    return cost_s
