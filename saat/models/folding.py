"""Frozen batch norm inside the layers before it, for passes that need no parameter gradients.

In evaluation mode batch norm is one multiplication and addition a channel, and so is the
normalisation of images. Both are linear, and so is the layer beside them: its weights can do the
same. An attack passes the network many times with equal weights, so it pays to do that first.
"""

from copy import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from saat.models.efficientnet import SameConv
from saat.models.network import HashingNetwork
from saat.models.small_cnn import PatchConv
from saat.models.strided_conv import StridedConv, is_strided

Module = TypeVar("Module", bound=nn.Module)

_CONVOLUTIONS = (nn.Conv2d, PatchConv, SameConv)


@torch.no_grad()
def folded(network: nn.Module) -> nn.Module:
    """A network with the features and input gradients of ``network``, up to rounding, but faster.

    Batch norm in evaluation mode moves into the layer that is registered right before it, and the
    normalisation of images into a first layer without padding. On a CPU a first layer with a stride
    becomes a :class:`StridedConv`. The weights that change are copies of the present ones without
    gradients; everything else, modes too, is shared with ``network``.

    Only hashing networks whose backbone ``folds`` are rewritten: in these every batch norm takes
    its input from the layer registered before it, and from nothing else. Any other network is
    returned as it is.
    """
    if type(network) is not HashingNetwork or not getattr(network.backbone, "folds", False):
        return network
    if network._compiled_call_impl is not None:  # a copy would call the compiled original
        return network
    twin = _twin(network)
    for parent in list(twin.modules()):
        for (_, layer), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(norm, nn.modules.batchnorm._BatchNorm) and _fold(layer, norm):
                setattr(parent, name, nn.Identity())
    convolutions = (item for item in twin.named_modules() if isinstance(item[1], nn.Conv2d))
    path, first = next(convolutions, ("", None))
    if isinstance(first, PatchConv):
        _fold_normalisation(first, twin)
    elif first is not None and is_strided(first):
        parent_path, _, last = path.rpartition(".")
        setattr(twin.get_submodule(parent_path), last, StridedConv(first))
    return twin


def _twin(module: Module) -> Module:
    """Modules of its own over the same parameters and buffers."""
    twin = copy(module)
    twin._parameters, twin._buffers = dict(module._parameters), dict(module._buffers)
    twin._modules = {name: child and _twin(child) for name, child in module._modules.items()}
    return twin


def _fold(layer: nn.Module, norm: nn.modules.batchnorm._BatchNorm) -> bool:
    """Give the layer the weights of both; False where it stays as it is."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return False
    frozen = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    if type(layer) in _CONVOLUTIONS:
        assert isinstance(layer, nn.Conv2d)
        weight, bias = fuse_conv_bn_weights(layer.weight, layer.bias, *frozen)
    elif type(layer) is nn.Linear:
        weight, bias = fuse_linear_bn_weights(layer.weight, layer.bias, *frozen)
    else:
        return False
    layer.weight, layer.bias = weight.requires_grad_(False), bias.requires_grad_(False)
    return True


def _fold_normalisation(first: nn.Conv2d, network: HashingNetwork) -> None:
    """W·(x − mean)/std + b as (W/std)·x + (b − Σ W·mean/std)."""
    weight = first.weight / network.std
    shift = -(weight * network.mean).sum((1, 2, 3))
    first.weight = nn.Parameter(weight, requires_grad=False)
    first.bias = nn.Parameter(shift if first.bias is None else first.bias + shift, False)
    network.normalises = False
