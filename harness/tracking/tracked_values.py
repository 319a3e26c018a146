"""Values, tags and parameters that MLflow gets besides the journal's own metrics."""

import json
from collections.abc import Iterator
from typing import Any

from harness.experiment.config import Experiment
from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord, metrics_of
from harness.search.recommendation import eligible_values
from harness.search.space_edges import space_notices
from reports.frontier import hypervolume
from saat.feasibility import Aims
from saat.metrics import final_metrics
from saat.sanity import at_chance, warnings_of

_TAG_LIMIT = 8000


def event_metrics(aims: Aims, event: Event) -> dict[str, float]:
    """The metrics of an event, and those of the trial itself that are objectives."""
    measured = event.get("metrics", {})
    return {
        key: value
        for key, value in metrics_of(event).items()
        if key in measured or key.partition("/")[2] in aims.names
    }


def best_so_far(aims: Aims, record: TrialRecord, epoch: int) -> dict[str, float]:
    """Best validated objectives over the epochs up to ``epoch``; none if it was not validated.

    An objective that validation does not measure is left out.
    """
    known = {e["epoch"]: aims.validation_values(metrics_of(e)) for e in record.epochs}
    if known.get(epoch) is None:
        return {}
    points = [values for at, values in known.items() if at <= epoch and values is not None]
    columns = list(zip(*points, strict=True))
    return {
        f"best/{aims.names[i]}": (max if aims.objectives[i].maximise else min)(columns[i])
        for i in aims.validated
    }


def explored_hypervolume(aims: Aims, state: SearchState) -> tuple[int, float]:
    """Number of completed explore trials, and the hypervolume of the eligible ones."""
    done = [r for r in state.of_phase("explore") if r.status == "completed"]
    return len(done), hypervolume(eligible_values(aims, done), aims.corner)


def space_edges_tag(experiment: Experiment, state: SearchState) -> str:
    """Where settings of the front gather at ends of the space; ``none`` if nowhere."""
    return "; ".join(space_notices(experiment, state))[:_TAG_LIMIT] or "none"


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
