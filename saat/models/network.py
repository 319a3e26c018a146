"""The hashing network: normalisation, backbone, and one linear layer to K pre-tanh features."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from saat.codes import sign
from saat.errors import InputError
from saat.models.alexnet import AlexNet
from saat.models.small_cnn import SmallCNN
from saat.seeding import seed_torch


class Backbone(Protocol):
    """What a backbone offers.

    Attributes:
        features_out: its width.
        mean: per channel, subtracted from its input.
        std: per channel, its input is divided by it.
        from_scratch: whether it is trained from random weights.
    """

    features_out: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    from_scratch: bool


@dataclass(frozen=True)
class BackboneEntry:
    """A row of :data:`BACKBONES`.

    Attributes:
        build: weights (``none``, ``imagenet`` or a path) → backbone module.
        min_image_size: smallest side of the input in pixels.
        pretrained: whether ``imagenet`` and paths are possible.
        description: one line for ``saat list backbones``.
    """

    build: Callable[[str], nn.Module]
    min_image_size: int
    pretrained: bool
    description: str


BACKBONES: Mapping[str, BackboneEntry] = {
    "small_cnn": BackboneEntry(
        lambda weights: SmallCNN(),
        16,
        False,
        "patches and 1 convolution, for CPUs and small images",
    ),
    "alexnet": BackboneEntry(AlexNet, 63, True, "torchvision's AlexNet, 4096 features, 224 px"),
}


class HashingNetwork(nn.Module):
    """Images in [0, 1] → pre-tanh features f (B, K); codes are sign(f).

    A backbone that is trained from scratch gets batch norm before the code: without it the
    pairwise objectives keep it at their saddle u = 0, where every code bit is noise.

    Args:
        backbone: module that maps normalised images to (B, features_out), with the attributes of
            :class:`Backbone`.
        bits: code length K.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, bits: int) -> None:
        super().__init__()
        facts = cast(Backbone, backbone)
        self.bits = bits
        self.backbone = backbone
        self.hash_layer = nn.Linear(facts.features_out, bits)
        self.code_norm = nn.BatchNorm1d(bits) if facts.from_scratch else nn.Identity()
        self.register_buffer("mean", torch.tensor(facts.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(facts.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, 3, H, W) in [0, 1] → float features (B, K), before tanh and sign."""
        # (x − mean)/std in one pass: in two it costs a seventh of small_cnn.
        normalised = torch.addcmul(-self.mean / self.std, images, 1 / self.std)
        features = self.backbone(normalised)
        out: Tensor = self.code_norm(self.hash_layer(features))
        return out


def build_network(
    backbone: str, weights: str, bits: int, image_size: int, seed: int
) -> HashingNetwork:
    """A hashing network with seeded initial weights, channels-last, on the CPU.

    Raises:
        InputError: images too small for the backbone, or weights it does not have.
    """
    check_backbone(backbone, weights, image_size)
    seed_torch("network", seed)
    network = HashingNetwork(BACKBONES[backbone].build(weights), bits)
    return network.to(memory_format=torch.channels_last)


def check_backbone(backbone: str, weights: str, image_size: int) -> None:
    """Refuse what :func:`build_network` could not build, before any work starts."""
    entry = BACKBONES[backbone]
    if image_size < entry.min_image_size:
        raise InputError(
            f"data.image_size {image_size}: {backbone} needs at least {entry.min_image_size}"
        )
    if weights != "none" and not entry.pretrained:
        raise InputError(f"model.weights {weights}: {backbone} has no published weights; none")
    if weights not in ("none", "imagenet") and not Path(weights).expanduser().is_file():
        raise InputError(f"model.weights {weights}: no such file; none, imagenet or a path")


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """uint8 images (B, 3, H, W) → float32 in [0, 1] on ``device``, channels-last.

    The transfer happens as bytes, a quarter of the floats.
    """
    moved = images.to(device, non_blocking=True)
    return (moved.float() / 255).contiguous(memory_format=torch.channels_last)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every module is in its own mode again (frozen batch norm)."""
    trained = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True


@torch.no_grad()
def encode(
    network: nn.Module, batches: Callable[[slice], Tensor], count: int, batch_size: int = 250
) -> Tensor:
    """Pre-tanh features of ``count`` images, in evaluation mode.

    Args:
        network: float images in [0, 1] → features (B, K).
        batches: a slice of 0…count → its uint8 images.
        count: number of images.
        batch_size: images per forward pass.

    Returns:
        float32 (count, K) on the network's device.
    """
    device = device_of(network)
    with evaluating(network):
        parts = [
            network(to_float(batches(slice(start, min(start + batch_size, count))), device))
            for start in range(0, count, batch_size)
        ]
    return torch.cat(parts) if parts else torch.empty(0, 0, device=device)


def codes_of(features: Tensor) -> Tensor:
    """Hash codes of pre-tanh features (N, K): int8 ±1."""
    return sign(features).to(torch.int8)


def device_of(network: nn.Module) -> torch.device:
    """The device of the network's first parameter or buffer (the CPU if it has neither)."""
    for parameter in network.parameters():
        return parameter.device
    for buffer in network.buffers():
        return buffer.device
    return torch.device("cpu")
