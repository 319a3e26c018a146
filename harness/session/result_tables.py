"""Write the tables of results from the journal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord
from reports.results import metric_cells, stage_cells, write_epochs, write_trials


def write_tables(run_dir: Path, started: Event, state: SearchState) -> None:
    """Write ``trials.parquet`` and ``epochs.parquet`` from what ``load_state`` returned."""
    # Old journals have no label of the data set.
    common = {"dataset": started.get("dataset"), "protocol_hash": started["protocol_hash"]}
    write_trials(run_dir, (_trial_row(record) | common for record in state.trials.values()))
    write_epochs(run_dir, (row for record in state.trials.values() for row in _epochs(record)))


def _trial_row(record: TrialRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        "trial_id": spec.trial_id,
        "number": spec.number,
        "config_hash": record.config_hash,
        "phase": spec.phase,
        "role": spec.role,
        "seed": spec.seed,
        "status": record.status,
        "stop_reason": record.stop_reason,
        "unreliable": " ".join(f"{sentence}." for sentence in record.unreliable),
        "out_of_memory": " ".join(f"{sentence}." for sentence in record.out_of_memory),
        "precision": record.precision,
        "compile": record.compile,
        "epochs": len(record.epochs),
        "cost_s": record.cost_s,
        "finished_at": record.finished_at,
        "host": record.host,
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
            "host": event.get("host", ""),
            **metric_cells(event["metrics"]),
        }
