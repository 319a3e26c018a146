"""CgAT: center-guided adversarial training (Wang et al., WWW 2023, arXiv:2204.10779)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from saat.defenses.saat import GuidedSettings, GuidedTraining
from saat.settings import option

# The reference crops 224 pixels out of 256: a shift of at most 16 pixels of 224.
_SHIFT = 16 / 224


@dataclass(frozen=True)
class CgatSettings(GuidedSettings):
    """The settings of the reference implementation (xunguangwang/CgAT, central_adv_train.py).

    Its loss adds the adversarial term as it is, so λ is 1 here; the λ of the paper's own
    experiments could not be verified.
    """

    epochs: int = option(30, ge=1, le=100_000, help="passes over the training set")
    augment: bool = option(True, help="random crops and horizontal flips")

    published = ("lambda", "eps", "steps", "step_size", "augment")

    def decays(self, iterations: int) -> list[int]:
        """At ½ and ¾ of the iterations, where those are whole numbers.

        The reference implementation's scheduler waits for exactly these numbers. After 22.5 epochs
        of an odd number of batches there is no such iteration, and the rate falls once.
        """
        shares = [share * iterations for share in self.decay_at]
        return [int(share) for share in shares if share.is_integer()]


class CgatTraining(GuidedTraining):
    """min_θ λ·L_adv + L_ori around center codes: mainstay codes with binary weights.

    Where a label has no positives or no negatives the reference's center code is zero; here the
    missing term is dropped (:mod:`saat.mainstay`).
    """

    stage = "cgat"
    loop_relaxes_codes = True
    settings: CgatSettings

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """That of :class:`GuidedTraining`, of random crops and flips."""
        if self.settings.augment:
            images = crop_and_flip(images, round(_SHIFT * images.shape[-1]))
        return super().batch_loss(images, labels, index)


def crop_and_flip(images: Tensor, shift: int) -> Tensor:
    """Shift every image by up to ``shift`` pixels in both directions and mirror every other one.

    Stored images have their final size, so the crop is taken out of the image extended by its own
    mirror image, where the papers crop 224 pixels out of 256. Draws come from torch's global CPU
    generator, so all devices see the same crops. Float (B, 3, H, W), channels-last; ``shift`` is
    from 0 to H − 1.
    """
    count, _, height, width = images.shape
    top, left = torch.randint(2 * shift + 1, (2, count)).to(images.device)
    mirrored = (torch.rand(count) < 0.5).to(images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    extended = pad(images, [shift] * 4, mode="reflect")
    image = torch.arange(count, device=images.device)[:, None, None]
    picked = extended[image, :, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
    return picked.permute(0, 3, 1, 2)
