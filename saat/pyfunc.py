"""Trained networks as MLflow's generic Python functions; it needs no MLflow itself.

MLflow stores the name of this module in a model, and calls :func:`_load_pyfunc` to load it. Only
safetensors are read, so loading runs no code that a file brings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from saat.errors import InputError
from saat.trained_model import load

Images = NDArray[np.float32]


class HashingFunction:
    """A network that maps images as arrays to features as arrays."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def get_raw_model(self) -> nn.Module:
        """The network itself, as MLflow's ``get_raw_model`` returns it."""
        return self._network

    def predict(
        self, model_input: Images | Mapping[str, Images], params: Mapping[str, Any] | None = None
    ) -> Images:
        """Features before tanh, ``(B, K)`` float32; their signs are the codes.

        ``model_input`` are images ``(B, 3, H, W)`` float32 in [0, 1], or such an array as the entry
        ``images`` of a mapping. There are no ``params``, MLflow's parameters of an inference.

        Raises:
            InputError: another shape.
        """
        found = model_input["images"] if isinstance(model_input, Mapping) else model_input
        images = torch.from_numpy(np.asarray(found, dtype=np.float32))
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(f"images: (B, 3, H, W) is needed, not {tuple(images.shape)}")
        with torch.inference_mode():
            return self._network(images).numpy()  # type: ignore[no-any-return]


def _load_pyfunc(path: str) -> HashingFunction:
    """The function of a ``model.safetensors``, or of a folder that has one."""
    return HashingFunction(load(Path(path)))
