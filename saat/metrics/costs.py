"""What a model and its training cost: length of the codes, seconds of work."""

from typing import TYPE_CHECKING

from saat.metrics.interface import FULL_PROTOCOL, Phase, Unit, metric

if TYPE_CHECKING:
    from saat.evaluation import Evaluation

_EVERY_PHASE = FULL_PROTOCOL | {Phase.VALIDATION}


@metric(
    "code length",
    unit=Unit.COUNT,
    higher_is_better=False,
    phases=_EVERY_PHASE,
    in_tables=False,
    objective=True,
    constraint=True,
    key="model.bits",
)
def code_length(evaluation: "Evaluation") -> int:
    """Bits of a code: what an item of the database takes."""
    return evaluation.database_codes.shape[1]


@metric(
    "device seconds",
    unit=Unit.SECONDS,
    higher_is_better=False,
    phases=_EVERY_PHASE,
    from_images=False,
    in_tables=False,
    objective=True,
    constraint=True,
    of_trial=True,
)
def device_seconds(cost_s: float) -> float:
    """Seconds of work on a trial so far, as ``cost_s`` of ``trials.parquet`` counts them."""
    return cost_s
