"""torchvision's classifiers up to their last hidden layer, as the deep hashing papers use them."""

from torch import Tensor, nn

from saat.errors import InputError, one_line
from saat.models.reference_weights import TORCHVISION_NAMES

# The classification layer, which the hash layer replaces, by torchvision's names.
HEADS = {
    **dict.fromkeys(("alexnet", "vgg11", "vgg16", "vgg19"), "classifier.6"),
    **dict.fromkeys(("resnet18", "resnet50"), "fc"),
}


class TorchvisionBackbone(nn.Module):
    """Everything before the classification layer, dropout included: images → features.

    ``name`` is a key of :data:`HEADS`.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    names = TORCHVISION_NAMES
    folds = True

    def __init__(self, name: str, from_scratch: bool) -> None:
        from torchvision.models import get_model  # takes as long as importing torch

        super().__init__()
        self.from_scratch = from_scratch
        self.net: nn.Module = get_model(name, weights=None)
        parent, _, last = HEADS[name].rpartition(".")
        self.features_out: int = self.net.get_submodule(HEADS[name]).in_features
        setattr(self.net.get_submodule(parent), last, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, features_out)."""
        out: Tensor = self.net(images)
        return out


def published_weights(name: str) -> dict[str, Tensor]:
    """Download torchvision's first ImageNet weights, as the papers use (``pretrained=True``).

    They are downloaded once, and later read from torch's cache.

    Raises:
        InputError: the download failed.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).IMAGENET1K_V1
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
