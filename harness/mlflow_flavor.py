"""The flavour ``saat`` of MLflow's models: networks that this project trained, without pickle.

A model of this flavour is a ``model.safetensors`` beside MLflow's own files. Besides
``python_function``, which maps arrays to arrays, the flavour gives the network itself:

>>> from harness import mlflow_flavor
>>> network = mlflow_flavor.load_model("models:/m-27ed…")  # doctest: +SKIP
>>> network.train()  # doctest: +SKIP
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import saat
from saat.errors import InputError, one_line
from saat.trained_model import load, read_trained

FLAVOR_NAME = "saat"
_LOADER = "saat.pyfunc"
_PACKAGES = ("saat-harness", "torch", "torchvision", "numpy")


def load_model(
    model_uri: str, dst_path: str | None = None, device: str | torch.device = "cpu"
) -> nn.Module:
    """The network of a logged model, in evaluation mode; it can be trained further.

    Args:
        model_uri: ``models:/ID``, ``runs:/RUN/…``, or the folder of a model.
        dst_path: an existing folder to download to; a temporary one by default.
        device: where the network is put.

    Returns:
        The same as :func:`saat.load` of the trial that it was logged from: float images in [0, 1]
        ``(B, 3, H, W)`` to features before tanh ``(B, K)``. No code of the model's is run.

    Raises:
        InputError: a model of another flavour, or damaged weights.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    folder = Path(download_artifacts(artifact_uri=model_uri, dst_path=dst_path))
    flavor = Model.load(str(folder)).flavors.get(FLAVOR_NAME)
    name = flavor.get("data") if isinstance(flavor, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{one_line(model_uri, 200)}: not a model of the flavour {FLAVOR_NAME}")
    weights = (folder / name).resolve()
    if not weights.is_relative_to(folder.resolve()):
        raise InputError(f"{one_line(model_uri, 200)}: its weights are not in its own folder")
    return load(weights, device)


def save_model(path: Path, weights: Path, run_id: str = "", model_id: str = "") -> None:
    """Write a model of MLflow's to a new folder.

    It has the flavours ``saat`` and ``python_function``, a signature, an input example and the
    versions of the packages that loading needs.

    Args:
        path: the folder.
        weights: a ``model.safetensors``, of which a copy is made.
        run_id: MLflow's run that trained it, if any.
        model_id: the logged model that the folder is for, if any.
    """
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    setting = read_trained(weights).meta["setting"]
    size, bits = int(setting["data"]["image_size"]), int(setting["model"]["bits"])
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 3, size, size), "images")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, bits))]),
    )
    model = Model(run_id=run_id or None, model_id=model_id or None)
    model.add_flavor(FLAVOR_NAME, data=f"data/{weights.name}", saat_version=saat.__version__)
    mlflow.pyfunc.save_model(
        str(path),
        loader_module=_LOADER,
        data_path=str(weights),
        mlflow_model=model,
        signature=signature,
        input_example={"images": np.full((1, 3, size, size), 0.5, dtype=np.float32)},
        pip_requirements=_requirements(),
    )


def usage(model_id: str) -> str:
    """How a model is loaded, in Markdown: its network, and the function of arrays."""
    lines = (
        "import mlflow",
        "from harness import mlflow_flavor",
        'mlflow.set_tracking_uri("…")  # this server, or the database of this UI',
        "# the network, a torch.nn.Module, to evaluate or to train further",
        f'network = mlflow_flavor.load_model("models:/{model_id}")',
        "# a function of arrays",
        f'model = mlflow.pyfunc.load_model("models:/{model_id}")',
        'features = model.predict({"images": images})  # (B, 3, H, W) in [0, 1] → (B, K)',
    )
    return "\n".join(("```python", *lines, "```"))


def _requirements() -> list[str]:
    """What loading needs, at the versions that are installed where the model is logged."""
    from harness.provenance import versions  # loading needs none of what it imports

    found = versions()
    return [f"{name}=={found[name]}" for name in _PACKAGES if name in found]
