"""Write the tables of results from the journal, and what the search's model says of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord
from reports.explanation import read_explanation
from reports.explanation import write_explanation as write
from reports.results import TRIAL_COLUMNS, metric_cells, stage_cells, write_epochs, write_trials
from saat.errors import InputError


def write_tables(run_dir: Path, started: Event, state: SearchState) -> None:
    """Write ``trials.parquet`` and ``epochs.parquet`` from what ``load_state`` returned."""
    # Old journals have no label of the data set.
    common = {"dataset": started.get("dataset"), "protocol_hash": started["protocol_hash"]}
    write_trials(run_dir, (_trial_row(record) | common for record in state.trials.values()))
    write_epochs(run_dir, (row for record in state.trials.values() for row in _epochs(record)))


def write_explanation(run_dir: Path, experiment: Experiment, state: SearchState) -> None:
    """Write ``explanation.json`` unless the one there is of the same trials."""
    # Here, not above: the model's libraries take a second to import.
    from harness.search.explanation import learned_from, search_explanation

    try:
        stored = read_explanation(run_dir)
    except InputError:  # damaged; it is derived from the journal, as the tables are
        stored = None
    if stored is None or list(stored.trials) != learned_from(state):
        write(run_dir, search_explanation(experiment, state))


def _trial_row(record: TrialRecord) -> dict[str, Any]:
    """What the trial and its record have under the name of a column, and what is made of it."""
    known = {**vars(record), **vars(record.spec)}
    return {
        **{column: known[column] for column in TRIAL_COLUMNS if column in known},
        "unreliable": " ".join(f"{sentence}." for sentence in record.unreliable),
        "out_of_memory": " ".join(f"{sentence}." for sentence in record.out_of_memory),
        "epochs": len(record.epochs),
        **{f"param.{key}": value for key, value in record.config.flat().items()},
        **stage_cells(record.stages),
        **metric_cells(record.metrics),
    }


def _epochs(record: TrialRecord) -> Iterator[dict[str, Any]]:
    for event in record.epochs:
        yield {
            "trial_id": record.spec.trial_id,
            "epoch": event["epoch"],
            "seconds": event["seconds"],
            "finished_at": event["time"],
            "host": event.get("host", ""),
            **metric_cells(event["metrics"]),
        }
