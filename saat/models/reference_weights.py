"""Weights trained elsewhere: state dicts of published backbones and of the reference repositories.

``docs/backbones.md`` lists the layouts that are known, by the names of their layers, and which
networks take images without normalisation.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.model_source import check_weights_file
from saat.models.network import Backbone, Names

_HEAD = "classification or hash layer"
TORCHVISION_NAMES: Names = (
    (r"classifier\.6\.(weight|bias)", rf"{_HEAD}.\1"),
    (r"hash_layer\.(?:6\.)?(weight|bias)", r"hash_layer.\1"),
    (r"hash_layer\.(\d+\..+)", r"backbone.net.classifier.\1"),
    (r"classifier\.(?:classifier)?(\d+\..+)", r"backbone.net.classifier.\1"),
    (r"(features\..+|conv1\..+|bn1\..+|layer[1-4]\..+)", r"backbone.net.\1"),
    (r"(mean|std)", r"\1"),
    (r"fc\..+|feature_layers\..+|cl1\..+", None),  # ImageNet's classes; the others are copies
    (r"hash_targets|random_center|codebook|batchnorm\..+", None),  # of losses
)
_WRAPPERS = re.compile(r"^(?:(?:module|model|0)\.)+")
_IMAGENET_CLASSES = 1000
# Only networks without normalisation have this layer: ``AlexNetFc`` of CgAT and ProS-GAN. HashNet's
# is inside a ``Sequential`` (``0``).
_UNNORMALISED = re.compile(r"(?:module\.)*classifier\.classifier1\.weight")


def read_weights(weights: str, name: str, backbone: nn.Module) -> dict[str, Tensor]:
    """:func:`convert` of a file that ``torch.save(module.state_dict(), path)`` wrote.

    Nothing in the file is run. ``name`` is that of the backbone, for errors.

    Raises:
        InputError: no such file, a pickled module, or not a state dict of this backbone.
    """
    path = check_weights_file(weights)
    try:
        return convert(torch.load(path, map_location="cpu", weights_only=True), backbone)
    except Exception as error:  # torch raises any exception for damaged files
        problem = f"not a state dict of {name} ({one_line(error, 160)})"
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            problem = (
                "a pickled module or other object, whose code is never run; where it was trained, "
                "torch.save(module.state_dict(), FILE) and give FILE"
            )
        raise InputError(f"model.weights {weights}: {problem}") from error


def convert(state: Any, backbone: nn.Module) -> dict[str, Tensor]:
    """Convert the state dict of a file to the state of a :class:`saat.models.HashingNetwork`.

    The state must fit the backbone, which may be on any device, ``meta`` included.

    Returns:
        float32 tensors of the whole backbone (``backbone.…``); of ``hash_layer`` where the file
        has one; ``mean`` and ``std`` (1, 3, 1, 1) where the file has them, or its layout tells.

    Raises:
        ValueError: no state dict, unknown or missing layers, other shapes; one line.
    """
    facts = cast(Backbone, backbone)
    tensors = _tensors(state)
    named = _renamed(tensors, facts.names)
    if any(_UNNORMALISED.fullmatch(key) for key in tensors):
        named = {"mean": torch.zeros(3), "std": torch.ones(3), **named}
    head = {key: named.pop(f"{_HEAD}.{key}", None) for key in ("weight", "bias")}
    if head["weight"] is not None and head["weight"].shape[:1] != (_IMAGENET_CLASSES,):
        named |= {f"hash_layer.{key}": part for key, part in head.items() if part is not None}
    for key in ("mean", "std"):
        if key in named:
            named[key] = named[key].reshape(1, -1, 1, 1)
    _check(named, backbone, facts.features_out)
    return named


def _tensors(state: Any) -> Mapping[str, Tensor]:
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"a {type(state).__name__}, not a state dict")
    for key, value in state.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise ValueError(f"{key!r} holds a {type(value).__name__}, not a tensor")
    return state


def _renamed(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    unknown = []
    for key, tensor in state.items():
        bare = _WRAPPERS.sub("", key)
        matches = ((re.fullmatch(pattern, bare), target) for pattern, target in names)
        match, target = next(((m, target) for m, target in matches if m), (None, None))
        if match is None:
            unknown.append(key)
        elif target is not None:
            name = match.expand(target)
            if name in out:
                raise ValueError(f"{key} is there twice, by different names")
            # Training must not continue in half precision, or with gradients of a saved tensor.
            out[name] = tensor.detach().float() if tensor.is_floating_point() else tensor
    if unknown:
        raise ValueError(f"it has {_some(unknown)}")
    return out


def _check(named: dict[str, Tensor], backbone: nn.Module, features_out: int) -> None:
    """Refuse missing, unknown and misshapen tensors; counters that old files lack start at zero."""
    shapes = {f"backbone.{key}": tuple(part.shape) for key, part in backbone.state_dict().items()}
    for key in shapes:
        if key.endswith(".num_batches_tracked"):
            named.setdefault(key, torch.tensor(0))
    if hash_layer := [key for key in named if key.startswith("hash_layer.")]:
        bits = named[hash_layer[0]].shape[:1]
        shapes |= {"hash_layer.weight": (*bits, features_out), "hash_layer.bias": (*bits,)}
    shapes |= {key: (1, 3, 1, 1) for key in ("mean", "std") if key in named}
    if missing := [key for key in shapes if key not in named]:
        raise ValueError(f"it lacks {_some(missing)}")
    if extra := [key for key in named if key not in shapes]:
        raise ValueError(f"it has {_some(extra)}")
    for key, shape in shapes.items():
        if tuple(named[key].shape) != shape:
            raise ValueError(f"{key} is {tuple(named[key].shape)}, not {shape}")


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return f"{keys[0]}{more}"
