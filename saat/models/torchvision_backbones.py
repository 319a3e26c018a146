"""torchvision's classifiers up to their last hidden layer, as the deep hashing papers use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.models.reference_weights import TORCHVISION_NAMES


@dataclass(frozen=True)
class Architecture:
    """A row of :data:`ARCHITECTURES`.

    Attributes:
        head: name of the classification layer, which the hash layer replaces.
        features_out: inputs of that layer.
    """

    head: str
    features_out: int


# By torchvision's own names.
ARCHITECTURES: Mapping[str, Architecture] = {
    "alexnet": Architecture("classifier.6", 4096),
    "vgg11": Architecture("classifier.6", 4096),
    "vgg16": Architecture("classifier.6", 4096),
    "vgg19": Architecture("classifier.6", 4096),
    "resnet18": Architecture("fc", 512),
    "resnet50": Architecture("fc", 2048),
}


def _torchvision() -> Any:
    """Torchvision's models; importing them takes as long as importing torch."""
    import torchvision.models

    return torchvision.models


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
        self.net: nn.Module = _torchvision().get_model(name, weights=None)
        parent, _, last = architecture.head.rpartition(".")
        setattr(self.net.get_submodule(parent), last, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, features_out)."""
        out: Tensor = self.net(images)
        return out


def published_weights(name: str) -> dict[str, Tensor]:
    """Torchvision's first ImageNet weights, which the papers start from (``pretrained=True``).

    Downloaded once, then from torch's cache.

    Raises:
        InputError: the download failed.
    """
    weights = _torchvision().get_model_weights(name).IMAGENET1K_V1
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
