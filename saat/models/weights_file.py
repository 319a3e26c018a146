"""Reading a file of weights without running anything in it."""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.models.reference_weights import convert
from saat.paths import user_path

_NO_FILE = "no such file; none, imagenet or a path"


def check_weights_file(weights: str) -> Path:
    """The path ``model.weights`` names.

    Raises:
        InputError: no such file, or a path that none can have.
    """
    path = user_path(weights, "model.weights")
    if not path.is_file():
        raise InputError(f"model.weights {one_line(weights, 200)}: {_NO_FILE}")
    return path


def read_weights(weights: str, name: str, backbone: nn.Module) -> dict[str, Tensor]:
    """State of a hashing network from a file; see :func:`saat.models.reference_weights.convert`.

    Args:
        weights: a path to what ``torch.save(module.state_dict(), path)`` wrote.
        name: of the backbone, for errors.
        backbone: what the file has to fit.

    Raises:
        InputError: no such file, a pickled module, or not a state dict of this backbone.
    """
    path = check_weights_file(weights)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise InputError(
                f"model.weights {weights}: a pickled module or other object, whose code is never "
                "run; where it was trained, torch.save(module.state_dict(), FILE) and give FILE"
            ) from error
        raise _refused(weights, name, error) from error
    except Exception as error:
        raise _refused(weights, name, error) from error
    try:
        return convert(state, backbone)
    except ValueError as error:
        raise _refused(weights, name, error) from error


def _refused(weights: str, name: str, error: Exception) -> InputError:
    return InputError(
        f"model.weights {weights}: not a state dict of {name} ({one_line(error, 160)})"
    )
