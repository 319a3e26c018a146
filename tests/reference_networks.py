"""Hashing networks as the reference repositories arrange them: layer names, order, outputs.

Written from the names in their state dicts. Every network shares the layers of a torchvision
classifier, maps normalised images to K features, and has a hash layer ``layer``.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn, rand, randn, zeros


class LastOfClassifier(nn.Module):
    """SAAT, CgAT and ProS-GAN, AlexNet and VGG: the hash layer takes the classes' place."""

    def __init__(self, net: nn.Module, layer: nn.Linear) -> None:
        super().__init__()
        self.features = net.features
        hidden = list(net.classifier)[:-1]  # type: ignore[arg-type]
        if isinstance(hidden[0], nn.Linear):  # VGG
            self.cl1 = hidden[0]
        self.classifier = nn.Sequential(*hidden, layer)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(images).flatten(1))  # type: ignore[operator]
        return out


class NamedClassifier(nn.Module):
    """HashNet's AlexNet and VGG: ``classifier.classifier0`` …, everything twice."""

    def __init__(self, net: nn.Module, layer: nn.Linear) -> None:
        super().__init__()
        self.features = net.features
        self.classifier = nn.Sequential()
        for i, part in enumerate(list(net.classifier)[:-1]):  # type: ignore[arg-type]
            self.classifier.add_module(f"classifier{i}", part)
        self.feature_layers = nn.Sequential(self.features, self.classifier)  # type: ignore[arg-type]
        self.hash_layer = layer

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.classifier(self.features(images).flatten(1))  # type: ignore[operator]
        out: Tensor = self.hash_layer(hidden)
        return out


class HiddenInHashLayer(nn.Module):
    """DeepHash-pytorch's AlexNet: both hidden layers belong to ``hash_layer``."""

    def __init__(self, net: nn.Module, layer: nn.Linear) -> None:
        super().__init__()
        self.features = net.features
        self.hash_layer = nn.Sequential(*list(net.classifier)[:-1], layer)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.hash_layer(self.features(images).flatten(1))  # type: ignore[operator]
        return out


class ResNetTwice(nn.Module):
    """All repositories' ResNet: every layer by its name and again in ``feature_layers``."""

    PARTS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")

    def __init__(self, net: nn.Module, layer: nn.Linear) -> None:
        super().__init__()
        for name in self.PARTS:
            setattr(self, name, getattr(net, name))
        self.feature_layers = nn.Sequential(*(getattr(net, name) for name in self.PARTS))
        self.hash_layer = layer

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.hash_layer(self.feature_layers(images).flatten(1))
        return out


class Wrapped(nn.Module):
    """SAAT's methods hold the network as ``model``; CSQ adds its hash centres."""

    def __init__(self, model: nn.Module, bits: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("hash_targets", zeros(5, bits))
        self.register_buffer("random_center", zeros(bits))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(images)
        return out


class CosineToCodebook(nn.Module):
    """The last layer of OrthoHash's loss."""

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.centroids = nn.Parameter(codebook.clone(), requires_grad=False)


class WithOrthoHashLoss(nn.Module):
    """SAAT's OrthoHash: batch norm and codebook belong to the loss, the code is sign(model)."""

    def __init__(self, model: nn.Module, bits: int) -> None:
        super().__init__()
        self.model = model
        codebook = randn(5, bits).sign()
        self.register_buffer("codebook", codebook)
        self.batchnorm = nn.BatchNorm1d(bits)
        self.batchnorm.running_mean = randn(bits)
        self.batchnorm.running_var = rand(bits) + 0.5
        self.fc = CosineToCodebook(codebook)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(images)
        return out


LAYOUTS: Mapping[str, tuple[str, Callable[[nn.Module, nn.Linear], nn.Module]]] = {
    "SAAT AlexNet": ("alexnet", lambda n, h: Wrapped(LastOfClassifier(n, h), h.out_features)),
    "CgAT AlexNet": ("alexnet", LastOfClassifier),
    "HashNet AlexNet": ("alexnet", lambda n, h: nn.Sequential(NamedClassifier(n, h))),
    "DeepHash-pytorch AlexNet": ("alexnet", HiddenInHashLayer),
    "SAAT ResNet18": ("resnet18", lambda n, h: Wrapped(ResNetTwice(n, h), h.out_features)),
    "HashNet ResNet18": ("resnet18", lambda n, h: nn.Sequential(ResNetTwice(n, h))),
    "ResNet18 on several GPUs": ("resnet18", lambda n, h: nn.DataParallel(ResNetTwice(n, h))),
    "SAAT VGG11": ("vgg11", lambda n, h: Wrapped(LastOfClassifier(n, h), h.out_features)),
    "SAAT OrthoHash ResNet18": (
        "resnet18",
        lambda n, h: WithOrthoHashLoss(ResNetTwice(n, h), h.out_features),
    ),
    "CgAT AlexNetFc": ("alexnet", NamedClassifier),
    "HashNet VGG11": ("vgg11", lambda n, h: nn.Sequential(NamedClassifier(n, h))),
}

# Fed images in [0, 1] as they are; the others subtract ImageNet's mean, inside or before.
UNNORMALISED = {"CgAT AlexNetFc"}
