"""The hashing network: normalisation, backbone, and one linear layer to K pre-tanh features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from saat.codes import sign
from saat.memory import shrinking
from saat.precision import autocast
from saat.seeding import derive_seed


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


class HashingNetwork(nn.Module):
    """Images in [0, 1] → pre-tanh features f (B, K); codes are sign(f).

    A backbone that is trained from scratch gets batch norm before the code: without it the
    pairwise objectives keep it at their saddle u = 0, where every code bit is noise.

    Args:
        backbone: module that maps normalised images to (B, features_out), with the attributes of
            :class:`Backbone`.
        bits: code length K.

    Attributes:
        hash_layer_imported: whether the hash layer came with the weights and is no new one.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, bits: int) -> None:
        super().__init__()
        facts = cast(Backbone, backbone)
        self.bits = bits
        self.hash_layer_imported = False
        self.backbone = backbone
        self.hash_layer = nn.Linear(facts.features_out, bits)
        self.code_norm = nn.BatchNorm1d(bits) if facts.from_scratch else nn.Identity()
        self.register_buffer("mean", torch.tensor(facts.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(facts.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, 3, H, W) in [0, 1] → float features (B, K), before tanh and sign."""
        with autocast(images.device):
            # (x − mean)/std in one pass: in two it costs a seventh of small_cnn.
            normalised = torch.addcmul(-self.mean / self.std, images, 1 / self.std)
            features = self.backbone(normalised)
            out: Tensor = self.code_norm(self.hash_layer(features))
        # In bfloat16 tanh(f) would be 1, and its slope 0, from |f| = 3.5 on.
        return out.float() if out.dtype == torch.bfloat16 else out


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


def seeded_pass(network: nn.Module, images: Tensor, *seed: int | str) -> Tensor:
    """A forward pass whose random draws come from ``seed``; the global states are left alone.

    Args:
        network: in the mode it is to have.
        images: float (B, 3, H, W) in [0, 1].
        seed: parts of the seed.

    Returns:
        Features (B, K).
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
    """Pre-tanh features of ``count`` images, in evaluation mode.

    Where memory runs out, fewer images pass the network at once.

    Args:
        network: float images in [0, 1] → features (B, K).
        batches: a slice of 0…count → its uint8 images.
        count: number of images.
        batch_size: images per forward pass.

    Returns:
        float32 (count, K) on the network's device.
    """
    device = device_of(network)

    def features(size: int) -> Tensor:
        parts = [
            # A network may switch gradients on by itself.
            network(to_float(batches(slice(start, min(start + size, count))), device)).detach()
            for start in range(0, count, size)
        ]
        return torch.cat(parts) if parts else torch.empty(0, 0, device=device)

    with evaluating(network):
        return shrinking(features, max(1, min(batch_size, count)))[0]


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
