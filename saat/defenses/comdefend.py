"""ComDefend: images pass a noisy compression before the network (Jia et al., CVPR 2019).

The network itself stays as pretrained. What is deployed, and attacked, is codec and network
together.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from saat.models import HashingNetwork, device_of
from saat.optimiser_settings import AdamSettings, OptimiserSettings
from saat.seeding import drawing_from, generator
from saat.settings import option
from saat.training import Training

_ENCODER = (16, 32, 64, 128, 256, 128, 64, 32)
_CODE = 12


@dataclass(frozen=True)
class ComDefendSettings(AdamSettings):
    """The settings of the implementation that the SAAT paper compares with.

    The original's first learning rate is 1e-2, over 10 epochs of batches of 128.
    """

    epochs: int = option(50, ge=1, le=100_000, help="passes over the training set")
    noise: float = option(20.0, ge=0, le=1e4, help="standard deviation of the noise on the code")
    penalty: float = option(1e-4, ge=0, le=1e6, help="weight of the mean squared code")
    binarise: bool = option(True, help="round the code to 0/1 at evaluation")
    test_noise: bool = option(True, help="keep the noise at evaluation, one fixed draw")
    width: float = option(1.0, ge=0.01, le=1, help="hidden channels, fraction of the published")

    decay_at = ()
    published = ("noise", "penalty", "binarise", "test_noise")


class Codec(nn.Module):
    """Encoder 3-16-32-64-128-256-128-64-32-12 and decoder back, 3×3 convolutions with ELU.

    Works at any image size. ``width`` is the fraction of hidden channels; at least 1 remains.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        hidden = [max(1, round(width * channels)) for channels in _ENCODER]
        self.encoder = _convolutions([3, *hidden, _CODE])
        self.decoder = _convolutions([_CODE, *reversed(hidden), 3])

    def decode(self, code: Tensor) -> Tensor:
        """Codes (B, 12, H, W) in [0, 1] → float images (B, 3, H, W) in [0, 1]."""
        return torch.sigmoid(self.decoder(code))

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, 3, H, W) in [0, 1] → logits of the code (B, 12, H, W)."""
        logits: Tensor = self.encoder(images)
        return logits


def _convolutions(channels: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ELU(inplace=True)]
    return nn.Sequential(*layers[:-1])


class Preprocessed(nn.Module):
    """Codec and network as one: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).

    An image always has the same code: the noise at evaluation is one fixed draw, the same for
    every image and known to the attacker. (The reference implementations draw it anew.) The
    gradient passes the rounding as if the noise were random: in its mean a bit is Φ(z/σ), of which
    the derivative is used. So no attack is blind by accident.
    """

    def __init__(self, network: HashingNetwork, codec: Codec, settings: ComDefendSettings) -> None:
        super().__init__()
        self.network, self.codec = network, codec
        self._settings = settings
        self._drawn = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = self.network(self.reconstruct(images))
        return features

    def reconstruct(self, images: Tensor) -> Tensor:
        """What reaches the network of float images (B, 3, H, W)."""
        logits = self.codec(images)
        noisy = logits - self.noise(logits) if self._settings.test_noise else logits
        if not self._settings.binarise:
            return self.codec.decode(torch.sigmoid(noisy))
        smooth = self.mean_code(logits)
        rounded = (noisy.detach() > 0).to(logits.dtype)
        return self.codec.decode(rounded + (smooth - smooth.detach()))  # the bracket is exactly 0

    def noise(self, logits: Tensor) -> Tensor:
        """The fixed draw for images of this size, (12, H, W)."""
        if self._drawn.shape != logits.shape[1:] or self._drawn.device != logits.device:
            draw = torch.randn(logits.shape[1:], generator=generator("comdefend", "test noise"))
            self._drawn = (self._settings.noise * draw).to(logits.device)
        return self._drawn

    def surrogate(self) -> nn.Module:
        """A differentiable stand-in that shares all weights: the code in its mean over noise."""
        return _MeanCode(self.network, self.codec, self._settings)

    def mean_code(self, logits: Tensor) -> Tensor:
        """Φ(z/σ) of logits z, as a logistic function, whose tails are heavier: underflows later."""
        return torch.sigmoid(logits * (1.702 / max(self._settings.noise, 1.0)))


class _MeanCode(Preprocessed):
    """Gradients for an attack on :class:`Preprocessed` (BPDA, Athalye et al., ICML 2018)."""

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.codec.decode(self.mean_code(self.codec(images)))


class ComDefendTraining(Training):
    """min of MSE(decoder(c), x) + penalty·mean(c²), c = sigmoid(encoder(x) − n), n ~ N(0, σ²).

    The noise makes the encoder's logits large, so that the code is nearly binary. Without it at
    evaluation (``test_noise``) the decoder sees codes unlike those it was trained on, until the
    logits are much larger than σ.
    """

    stage = "comdefend"
    settings: ComDefendSettings

    def prepare(self) -> None:
        """Codec and network as one."""
        with drawing_from("codec", self.stage, self.seed):
            self._defended = preprocessed(self.network, self.settings)

    @property
    def defended(self) -> nn.Module:
        """Codec and network."""
        return self._defended

    def modules(self) -> dict[str, nn.Module]:
        """The codec too; network and objective get no gradients, so they stay as they are."""
        return {**super().modules(), "codec": self._defended.codec}

    def set_mode(self) -> None:
        """The network never runs here."""
        super().set_mode()
        self.network.eval()

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The codec's loss on a batch."""
        codec = self._defended.codec
        logits = self.in_parts(codec, images)
        code = torch.sigmoid(logits - self.settings.noise * torch.randn_like(logits))
        error = (self.in_parts(codec.decode, code) - images).square().mean()
        return error + self.settings.penalty * code.square().mean()


def preprocessed(network: HashingNetwork, settings: OptimiserSettings) -> Preprocessed:
    """An untrained codec in front of ``network``, on its device."""
    assert isinstance(settings, ComDefendSettings)
    codec = Codec(settings.width).to(memory_format=torch.channels_last).to(device_of(network))
    return Preprocessed(network, codec, settings)
