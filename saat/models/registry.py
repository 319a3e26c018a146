"""The registry of backbones, and hashing networks built from them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from saat.errors import InputError
from saat.model_source import BackboneLimits, WeightsPackage
from saat.models import efficientnet, squeezenet
from saat.models.efficientnet import EfficientNetLite0
from saat.models.network import HashingNetwork
from saat.models.reference_weights import convert, read_weights
from saat.models.small_cnn import SmallCNN
from saat.models.squeezenet import SqueezeNet
from saat.models.torchvision_backbones import TorchvisionBackbone, published_weights
from saat.registry import Registry, instance_of
from saat.seeding import seed_torch
from saat.wording import counted


@dataclass(frozen=True)
class BackboneEntry:
    """A row of :data:`BACKBONES`."""

    # Whether it is trained from scratch → backbone with random weights.
    build: Callable[[bool], nn.Module]
    min_image_size: int  # smallest side of the input in pixels
    # Backbone → state of a hashing network with the published weights. Without it, files of weights
    # are refused too.
    imagenet: Callable[[nn.Module], dict[str, Tensor]] | None
    description: str  # one line for ``saat list backbones``
    weights_package: WeightsPackage | None = None  # brings the published weights

    @property
    def limits(self) -> BackboneLimits:
        """The image sizes and weights that the backbone accepts."""
        return BackboneLimits(self.min_image_size, self.imagenet is not None, self.weights_package)


def _torchvision(name: str, min_image_size: int, description: str) -> BackboneEntry:
    return BackboneEntry(
        partial(TorchvisionBackbone, name),
        min_image_size,
        lambda backbone: convert(published_weights(name), backbone),
        description,
    )


BACKBONES: Registry[BackboneEntry] = Registry(
    "backbone",
    "saat.backbones",
    {
        "small_cnn": BackboneEntry(
            lambda from_scratch: SmallCNN(),
            16,
            None,
            "patches and 1 convolution, for CPUs and small images",
        ),
        "alexnet": _torchvision("alexnet", 63, "torchvision's AlexNet, 4096 features, 224 px"),
        "vgg11": _torchvision("vgg11", 32, "torchvision's VGG11, 4096 features, 224 px"),
        "vgg16": _torchvision("vgg16", 32, "torchvision's VGG16, 4096 features, 224 px"),
        "vgg19": _torchvision("vgg19", 32, "torchvision's VGG19, 4096 features, 224 px"),
        "resnet18": _torchvision("resnet18", 16, "torchvision's ResNet18, 512 features, 224 px"),
        "resnet50": _torchvision("resnet50", 16, "torchvision's ResNet50, 2048 features, 224 px"),
        "efficientnet_lite0": BackboneEntry(
            EfficientNetLite0,
            16,
            lambda backbone: read_weights(
                str(efficientnet.WEIGHTS.path("efficientnet_lite0")), "efficientnet_lite0", backbone
            ),
            "ImageNet weights without a download (extra efficientnet), 1280 features, 224 px",
            efficientnet.WEIGHTS,
        ),
        "squeezenet1_1": BackboneEntry(
            SqueezeNet,
            16,
            lambda backbone: convert(squeezenet.published_weights(), backbone),
            "ImageNet weights without a download (extra squeezenet), 512 features, for CPUs, 64 px",
            squeezenet.WEIGHTS,
        ),
    },
    problem=instance_of(BackboneEntry),
    describe=lambda entry: entry.description,
)


def build_network(
    backbone: str, weights: str, bits: int, image_size: int, seed: int
) -> HashingNetwork:
    """Build a hashing network with seeded initial weights, channels-last, on the CPU.

    ``weights`` are ``none`` (trained from scratch), ``imagenet`` (the published ones), or the path
    of a state dict. A state dict of a reference repository (:mod:`saat.models.reference_weights`)
    may contain the hash layer; ``hash_layer_imported`` of the result says whether it did. ``seed``
    decides all values that the weights leave open.

    Raises:
        InputError: images too small for the backbone, weights it does not have, a file that does
            not fit, or a hash layer of another code length.
    """
    entry = BACKBONES[backbone]
    entry.limits.check(backbone, weights, image_size)
    seed_torch("network", seed)
    if weights == "none" or entry.imagenet is None:
        network = HashingNetwork(entry.build(True), bits)
        return network.to(memory_format=torch.channels_last)
    with torch.device("meta"):  # half a gigabyte of random VGG weights would be thrown away
        module = entry.build(False)
    if weights == "imagenet":
        state = entry.imagenet(module)
    else:
        state = read_weights(weights, backbone, module)
    network = HashingNetwork(module, bits)
    if "hash_layer.weight" in state:
        network.hash_layer_imported = True
        if (found := len(state["hash_layer.weight"])) != bits:
            raise InputError(
                f"model.weights {weights}: its hash layer has {counted(found, 'bit')}, "
                f"model.bits is {bits}"
            )
    network.load_state_dict(state, strict=False, assign=True)
    return network.to(memory_format=torch.channels_last)


def blank_network(backbone: str, weights: str, bits: int, image_size: int) -> HashingNetwork:
    """Build the structure of :func:`build_network`, to load a checkpoint into it: no values yet.

    A file of weights is not read, and need not exist. Images too small for the backbone are an
    ``InputError``.
    """
    BACKBONES[backbone].limits.check(backbone, "none", image_size)
    network = network_structure(backbone, weights, bits)
    return network.to_empty(device="cpu").to(memory_format=torch.channels_last)


def network_structure(backbone: str, weights: str, bits: int) -> HashingNetwork:
    """Build the modules of :func:`build_network` in training mode, without any values."""
    with torch.device("meta"):
        return HashingNetwork(BACKBONES[backbone].build(weights == "none"), bits)
