"""Models of tested trials in MLflow: safetensors inside, loaded by :mod:`saat.pyfunc`.

``mlflow.pyfunc.load_model(uri)`` gives a function of images, and its ``get_raw_model()`` the
network itself.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness.journal.state import TrialRecord
from harness.provenance import versions

LOADER = "saat.pyfunc"
_PACKAGES = ("saat-harness", "torch", "torchvision", "numpy")
_TYPE = "hashing network"
_TAG = "saat.model_of"


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
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "model")
        save_network(place, weights, record, run_id, model_id)
        client.log_model_artifacts(model_id, str(place))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=len(record.epochs))])
    client.finalize_logged_model(model_id, "READY")
    return model_id


def save_network(
    place: Path, weights: Path, record: TrialRecord, run_id: str = "", model_id: str = ""
) -> None:
    """Write an MLflow model to a new folder ``place``; ``weights`` is a ``model.safetensors``."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    size, bits = record.config.data.image_size, record.config.model.bits
    pixels, features = (-1, 3, size, size), (-1, bits)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), pixels, "images")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), features)]),
    )
    mlflow.pyfunc.save_model(
        str(place),
        loader_module=LOADER,
        data_path=str(weights),
        mlflow_model=Model(run_id=run_id or None, model_id=model_id or None),
        signature=signature,
        input_example={"images": np.full((1, 3, size, size), 0.5, dtype=np.float32)},
        pip_requirements=_requirements(),
    )


def _name(record: TrialRecord) -> str:
    """A name with no character that MLflow refuses: ``recommended-32bits-seed2``."""
    role = re.sub(r"[^\w-]", "_", record.spec.role)
    return f"{role}-{record.config.model.bits}bits-seed{record.spec.seed}"


def _requirements() -> list[str]:
    """What loading needs, at the versions that are installed where the model is logged."""
    found = versions()
    return [f"{name}=={found[name]}" for name in _PACKAGES if name in found]
