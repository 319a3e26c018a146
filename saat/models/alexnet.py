"""AlexNet from torchvision up to the last hidden layer, as the deep hashing papers use it."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, alexnet

from saat.errors import InputError, one_line

WEIGHTS = ("none", "imagenet")


class AlexNet(nn.Module):
    """Convolutions and both hidden layers (dropout included): images → features (B, 4096).

    Args:
        weights: ``"none"`` (random), ``"imagenet"`` (torchvision downloads them once), or the
            path of a state dict of torchvision's ``alexnet``.
    """

    features_out = 4096
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    from_scratch = False

    def __init__(self, weights: str = "none") -> None:
        super().__init__()
        net = alexnet(weights=None)
        if weights != "none":
            net.load_state_dict(_state_dict(weights))
        self.features = net.features
        self.pool = net.avgpool
        self.classifier = nn.Sequential(*list(net.classifier)[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W), H and W ≥ 63, → features (B, 4096)."""
        hidden = torch.flatten(self.pool(self.features(images)), 1)
        out: Tensor = self.classifier(hidden)
        return out


def _state_dict(weights: str) -> dict[str, Tensor]:
    if weights == "imagenet":
        try:
            return dict(AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=False))
        except Exception as error:
            url = AlexNet_Weights.IMAGENET1K_V1.url
            raise InputError(
                f"model.weights imagenet: the download of {url} failed ({one_line(error, 120)}); "
                "give the path of that file, or none"
            ) from error
    path = Path(weights).expanduser()
    if not path.is_file():
        raise InputError(f"model.weights {weights}: no such file; none, imagenet or a path")
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        # Shape and key problems surface here, as the user's mistake, not inside a trial.
        alexnet(weights=None).load_state_dict(state)
    except Exception as error:
        raise InputError(
            f"model.weights {weights}: not a state dict of torchvision's alexnet "
            f"({one_line(error, 160)})"
        ) from error
    return state
