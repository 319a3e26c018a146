"""Reading a file of weights without running anything in it."""

import pickle

import torch
from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.model_source import check_weights_file
from saat.models.reference_weights import convert


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
