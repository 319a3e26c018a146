"""Values, tags and parameters that MLflow gets besides the journal's own metrics."""

import json
from collections.abc import Mapping
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import headline_metrics, varied_keys
from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord, metrics_of
from harness.search.space_edges import space_notices
from saat.feasibility import Aims
from saat.metrics import OBJECTIVES, final_metrics
from saat.sanity import at_chance, warnings_of

_TAG_LIMIT = 8000
_HOW = ("num_samples", "sampler", "scheduler")  # of the section search


def event_metrics(aims: Aims, event: Event) -> dict[str, float]:
    """The metrics of an event, and those of the trial itself that are objectives."""
    measured = event.get("metrics", {})
    logged = {
        key: value
        for key, value in metrics_of(event).items()
        if key in measured or key.partition("/")[2] in aims.names
    }
    # MLflow lists metrics in the order of their arrival.
    first = [key for key in logged if key.partition("/")[2] in (*OBJECTIVES, *aims.names)]
    return {key: logged[key] for key in (*first, *logged)}


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


def space_edges_tag(experiment: Experiment, state: SearchState) -> str:
    """Where settings of the front gather at ends of the space; ``none`` if nowhere."""
    return "; ".join(space_notices(experiment, state))[:_TAG_LIMIT] or "none"


def end_metrics(record: TrialRecord) -> dict[str, float]:
    """The final metrics of a trial that has completed, by their plain names."""
    return final_metrics(record.metrics) if record.status == "completed" else {}


def warned(found: Mapping[str, float]) -> list[str]:
    """A line for every warning that final metrics give rise to."""
    return [f"{phrase}: {why}" if why else phrase for phrase, why in warnings_of(found).items()]


def end_tags(record: TrialRecord) -> dict[str, str]:
    """Tags that say how a trial ended, cut to the length that MLflow takes.

    ``saat.at_chance`` names the MAPs that are not above chance, ``saat.warnings`` every warning.
    """
    found = end_metrics(record)
    tags = {
        "saat.at_chance": ", ".join(at_chance(found)),
        "saat.warnings": "; ".join(warned(found)),
        "saat.status": record.status,
        "saat.stop_reason": record.stop_reason,
        "saat.unreliable": "; ".join(record.unreliable),
        "saat.out_of_memory": "; ".join(record.out_of_memory),
        "saat.precision": record.precision,
        "saat.compile": record.compile,
    }
    return {key: text[:_TAG_LIMIT] for key, text in tags.items() if text}


def experiment_params(experiment: Experiment) -> dict[str, str]:
    """What a search varies: ``space.KEY``, settings under ``compare``, and how it searches.

    Everything else is in the artifact ``experiment.yaml``.
    """
    dump = experiment.dump()
    params = {f"space.{key}": _range_text(text) for key, text in dump["space"].items()}
    if dump["compare"]:
        # Names that a user gives to settings may have characters that MLflow refuses in a key.
        params["compare"] = json.dumps(dump["compare"], ensure_ascii=False)
    if params.keys() - {"compare"}:
        params |= {f"search.{key}": str(dump["search"][key]) for key in _HOW}
    return params | {"seed": str(experiment.seed)}


def _range_text(distribution: dict[str, Any]) -> str:
    """A range of the space in a line: ``float [0.1, 10.0] log``, ``choice [16, 32]``."""
    flags = [key for key, value in distribution.items() if value is True]
    kinds = [f"{key} {value}" for key, value in distribution.items() if not isinstance(value, bool)]
    return " ".join([*kinds, *flags])


def trial_params(experiment: Experiment, record: TrialRecord) -> dict[str, Any]:
    """The setting of a trial; searched keys and the seed first, because MLflow keeps the order."""
    values = record.config.flat()
    first = {key: values[key] for key in varied_keys(experiment) if key in values}
    return {**first, "seed": record.spec.seed, **values}


def headline(experiment: Experiment, metrics: Mapping[str, float]) -> dict[str, float]:
    """Of a trial's metrics the final ones that its run has under their plain names."""
    found = final_metrics(metrics)
    return {name: found[name] for name in headline_metrics(experiment) if name in found}
