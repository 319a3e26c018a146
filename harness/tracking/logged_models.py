"""Models of tested trials in MLflow, of the flavour :mod:`harness.mlflow_flavor`."""

import re
import tempfile
from pathlib import Path
from typing import Any

from harness.journal.state import TrialRecord
from harness.mlflow_flavor import save_model, usage

_TYPE = "hashing network"
_TAG = "saat.model_of"
NOTE = "mlflow.note.content"  # MLflow's tag of a description


def log_network(
    client: Any, experiment_id: str, run_id: str, record: TrialRecord, weights: Path
) -> str:
    """Log the network of a trial that has ended, once, and return the id of MLflow's model.

    A model that an earlier try left unfinished is continued.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    wanted = f"tags.`{_TAG}` = '{run_id}'"
    found = client.search_logged_models([experiment_id], filter_string=wanted, max_results=1)
    if found:
        model_id = str(found[0].model_id)
        if found[0].status == LoggedModelStatus.READY:
            return model_id
    else:
        tags = {_TAG: run_id, "saat.trial_id": record.spec.trial_id, "saat.role": record.spec.role}
        params = {key: str(value) for key, value in record.config.flat().items()}
        made = client.create_logged_model(
            experiment_id,
            _name(record),
            source_run_id=run_id,
            tags=tags,
            params=params,
            model_type=_TYPE,
        )
        model_id = str(made.model_id)
    client.set_logged_model_tags(model_id, {NOTE: usage(model_id)})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "model")
        save_model(place, weights, run_id, model_id)
        client.log_model_artifacts(model_id, str(place))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=len(record.epochs))])
    client.finalize_logged_model(model_id, "READY")
    return model_id


def _name(record: TrialRecord) -> str:
    """A name with no character that MLflow refuses: ``recommended-32bits-seed2``."""
    role = re.sub(r"[^\w-]", "_", record.spec.role)
    return f"{role}-{record.config.model.bits}bits-seed{record.spec.seed}"
