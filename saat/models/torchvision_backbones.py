"""torchvision's classifiers up to their last hidden layer, as the deep hashing papers use them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torchvision.models as tv
from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.models.reference_weights import TORCHVISION_NAMES


@dataclass(frozen=True)
class Architecture:
    """A row of :data:`ARCHITECTURES`.

    Attributes:
        build: torchvision's constructor.
        weights: the published weights that the papers start from (``pretrained=True``).
        head: name of the classification layer, which the hash layer replaces.
        features_out: inputs of that layer.
    """

    build: Callable[..., nn.Module]
    weights: Any
    head: str
    features_out: int


ARCHITECTURES: Mapping[str, Architecture] = {
    "alexnet": Architecture(tv.alexnet, tv.AlexNet_Weights.IMAGENET1K_V1, "classifier.6", 4096),
    "vgg11": Architecture(tv.vgg11, tv.VGG11_Weights.IMAGENET1K_V1, "classifier.6", 4096),
    "vgg16": Architecture(tv.vgg16, tv.VGG16_Weights.IMAGENET1K_V1, "classifier.6", 4096),
    "vgg19": Architecture(tv.vgg19, tv.VGG19_Weights.IMAGENET1K_V1, "classifier.6", 4096),
    "resnet18": Architecture(tv.resnet18, tv.ResNet18_Weights.IMAGENET1K_V1, "fc", 512),
    "resnet50": Architecture(tv.resnet50, tv.ResNet50_Weights.IMAGENET1K_V1, "fc", 2048),
}


class TorchvisionBackbone(nn.Module):
    """Everything before the classification layer, dropout included: images → features.

    Args:
        name: key of :data:`ARCHITECTURES`.
        from_scratch: whether it is trained from random weights.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    names = TORCHVISION_NAMES

    def __init__(self, name: str, from_scratch: bool) -> None:
        super().__init__()
        architecture = ARCHITECTURES[name]
        self.features_out = architecture.features_out
        self.from_scratch = from_scratch
        self.net = architecture.build(weights=None)
        parent, _, last = architecture.head.rpartition(".")
        setattr(self.net.get_submodule(parent), last, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, features_out)."""
        out: Tensor = self.net(images)
        return out


def published_weights(name: str) -> dict[str, Tensor]:
    """ImageNet weights of torchvision; downloaded once, then from torch's cache.

    Raises:
        InputError: the download failed.
    """
    weights = ARCHITECTURES[name].weights
    try:
        state = weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
        return dict(state)
    except Exception as error:
        raise InputError(
            f"model.weights imagenet: the download of {weights.url} failed "
            f"({one_line(error, 120)}); give the path of that file, or none"
        ) from error
