"""The hashing network: normalisation, backbone, and one linear layer to K pre-tanh features."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from saat.codes import sign
from saat.memory import shrinking
from saat.precision import autocast
from saat.reading import batches_for
from saat.seeding import derive_seed
from saat.stopwatch import Stage, stage

# Pattern of a layer's name in a file of weights → its name in the hashing network, or None if the
# layer is not used.
Names = Sequence[tuple[str, str | None]]


class Backbone(Protocol):
    """The attributes of a backbone. Without published weights it needs no ``names``."""

    features_out: int
    mean: tuple[float, float, float]  # normalises its input, as does std
    std: tuple[float, float, float]
    from_scratch: bool  # it is trained from random weights
    names: Names  # of layers in published weights
    folds: bool  # saat.models.folding may rewrite it; False if it is not there


class HashingNetwork(nn.Module):
    """Images in [0, 1] → pre-tanh features f (B, K); codes are sign(f).

    A backbone that is trained from scratch gets batch norm before the code. Without it, pairwise
    objectives would stay at their saddle u = 0, where every code bit is noise.

    ``backbone`` maps normalised images to (B, features_out) and has the attributes of
    :class:`Backbone`. ``hash_layer_imported`` tells whether the hash layer came with the weights,
    ``normalises`` whether images still have to be normalised (the first layer may do it).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, bits: int) -> None:
        super().__init__()
        facts = cast(Backbone, backbone)
        self.bits = bits
        self.hash_layer_imported = False
        self.normalises = True
        self.backbone = backbone
        self.hash_layer = nn.Linear(facts.features_out, bits)
        self.code_norm = nn.BatchNorm1d(bits) if facts.from_scratch else nn.Identity()
        self.register_buffer("mean", torch.tensor(facts.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(facts.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, 3, H, W) in [0, 1] → float features (B, K), before tanh and sign."""
        with autocast(images.device):
            # Without normalisation, images do not take on the type of the network by themselves.
            inputs = self._normalised(images) if self.normalises else images.to(self.mean.dtype)
            features = self.backbone(inputs)
            out: Tensor = self.code_norm(self.hash_layer(features))
        # In bfloat16 tanh(f) would be 1, with slope 0, for |f| ≥ 3.5.
        return out.float() if out.dtype == torch.bfloat16 else out

    def _normalised(self, images: Tensor) -> Tensor:
        """(x − mean)/std in one pass, along whole rows: channels-last, a pixel has three values."""
        width = images.shape[3]
        shift, scale = (
            values.expand(1, -1, 1, width).contiguous(memory_format=torch.channels_last)
            for values in (-self.mean / self.std, 1 / self.std)
        )
        return torch.addcmul(shift, images, scale)


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """uint8 images (B, 3, H, W) → float32 in [0, 1] on ``device``, channels-last.

    Images are transferred as bytes, a quarter of the size of floats.
    """
    moved = images.to(device, non_blocking=True)
    return (moved.float() / 255).contiguous(memory_format=torch.channels_last)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every module has its former mode (frozen batch norm stays)."""
    trained = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True


def seeded_pass(network: nn.Module, images: Tensor, *seed: int | str) -> Tensor:
    """Features (B, K) of float images (B, 3, H, W) in [0, 1]; random draws come from ``seed``.

    The mode of the network and the global random states are left alone.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed("draw", *seed))
        features: Tensor = network(images)
    return features


@torch.no_grad()
def encode(
    network: nn.Module, batches: Callable[[slice], Tensor], count: int, batch_size: int = 250
) -> Tensor:
    """Pre-tanh features of images in evaluation mode: float32 (count, K) on the network's device.

    ``batches`` gives the uint8 images of a slice of 0…count; for a network on a GPU a thread calls
    it (:mod:`saat.reading`). If memory runs out, batches are smaller than ``batch_size``.
    """
    device = device_of(network)

    def features(size: int) -> Tensor:
        slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        with closing(batches_for(device, batches, slices)) as images:
            # A network may switch gradients on by itself.
            parts = [network(to_float(batch, device)).detach() for batch in images]
        return torch.cat(parts) if parts else torch.empty(0, 0, device=device)

    with stage(Stage.ENCODE), evaluating(network):
        return shrinking(features, max(1, min(batch_size, count)))[0]


def codes_of(features: Tensor) -> Tensor:
    """Hash codes of pre-tanh features (N, K): int8 ±1."""
    return sign(features).to(torch.int8)


def device_of(network: nn.Module) -> torch.device:
    """The device of the network's first parameter or buffer (the CPU if it has neither)."""
    tensors = chain(network.parameters(), network.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))
