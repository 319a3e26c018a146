"""Random crops and flips of a batch of training images."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def crop_and_flip(images: Tensor, shift: int) -> Tensor:
    """Shift every image by up to ``shift`` pixels in both directions and mirror every other one.

    Stored images have their final size, so the crop is taken out of the image extended by its own
    mirror image, where the papers crop 224 pixels out of 256. Draws come from torch's global CPU
    generator, which every epoch seeds, so all devices see the same crops.

    Args:
        images: float (B, 3, H, W).
        shift: in pixels, from 0 to H − 1.

    Returns:
        float (B, 3, H, W), channels-last.
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
