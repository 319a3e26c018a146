"""Values, tags and parameters that MLflow gets besides the journal's own metrics."""

import json
from collections.abc import Iterator
from typing import Any

from harness.experiment.config import Experiment
from harness.journal.state import SearchState, TrialRecord
from harness.search.recommendation import eligible
from harness.search.space_edges import space_notices
from reports.frontier import hypervolume
from saat.feasibility import objective_values, validation_values
from saat.metrics import OBJECTIVES, final_metrics
from saat.sanity import at_chance, warnings_of

_TAG_LIMIT = 8000


def best_so_far(record: TrialRecord, epoch: int) -> dict[str, float]:
    """Largest validation MAPs over the epochs up to ``epoch``; none if it was not validated."""
    known = {e["epoch"]: validation_values(e["metrics"]) for e in record.epochs}
    if known.get(epoch) is None:
        return {}
    points = [values for at, values in known.items() if at <= epoch and values is not None]
    columns = zip(OBJECTIVES, zip(*points, strict=True), strict=True)
    return {f"best/{name}": max(values) for name, values in columns}


def explored_hypervolume(experiment: Experiment, state: SearchState) -> tuple[int, float]:
    """Number of completed explore trials, and the hypervolume of the eligible ones."""
    done = [r for r in state.of_phase("explore") if r.status == "completed"]
    points = [objective_values(r.metrics) for r in done if eligible(experiment, r)]
    return len(done), hypervolume(points)


def space_edges_tag(experiment: Experiment, state: SearchState) -> str:
    """Where settings of the front gather at ends of the space; ``none`` if nowhere."""
    return "; ".join(space_notices(experiment, state))[:_TAG_LIMIT] or "none"


def stage_metrics(record: TrialRecord) -> dict[str, float]:
    """Seconds by stage: ``seconds/validation``, …."""
    return {f"seconds/{name}": seconds for name, seconds in record.stages.items()}


def end_tags(record: TrialRecord) -> dict[str, str]:
    """Tags that say how a trial ended, cut to the length that MLflow takes.

    ``saat.at_chance`` names the MAPs that are not above chance, ``saat.warnings`` every warning.
    """
    found = final_metrics(record.metrics) if record.status == "completed" else {}
    warned = [f"{phrase}: {why}" if why else phrase for phrase, why in warnings_of(found).items()]
    tags = {
        "saat.at_chance": ", ".join(at_chance(found)),
        "saat.warnings": "; ".join(warned),
        "saat.status": record.status,
        "saat.stop_reason": record.stop_reason,
        "saat.unreliable": "; ".join(record.unreliable),
        "saat.out_of_memory": "; ".join(record.out_of_memory),
        "saat.precision": record.precision,
        "saat.compile": record.compile,
    }
    return {key: text[:_TAG_LIMIT] for key, text in tags.items() if text}


def experiment_params(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment, flattened: ``{"search.num_samples": 12, …}``."""
    dump = experiment.dump()
    # Names that a user gives to settings may have characters that MLflow refuses in a key.
    dump["compare"] = json.dumps(dump["compare"], ensure_ascii=False)
    return dict(_flat(dump))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f"{prefix}.{key}".lstrip("."))
    else:
        yield prefix, value
