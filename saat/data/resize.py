"""The ways of resizing an image to a square."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from PIL import Image

Size = tuple[int, int]  # width, height


class Resize(NamedTuple):
    """A way of resizing; both functions also take ``image_size``, the side of the square.

    Attributes:
        canvas: Size of an image → size of the largest image made on the way.
        apply: RGB image → RGB square.
    """

    canvas: Callable[[Size, int], Size]
    apply: Callable[[Image.Image, int], Image.Image]


def _square(size: Size, image_size: int) -> Size:
    del size
    return image_size, image_size


def _squash(image: Image.Image, image_size: int) -> Image.Image:
    # Pillow's always antialiases.
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def _short_side_resized(size: Size, image_size: int) -> Size:
    short = round(image_size * 256 / 224)
    scale = min(size)
    width, height = (int(short * side / scale) for side in size)
    return width, height


def _crop(image: Image.Image, image_size: int) -> Image.Image:
    """Resize(image_size * 256 / 224) and CenterCrop(image_size), pixel for pixel torchvision's."""
    width, height = _short_side_resized(image.size, image_size)
    left, top = round((width - image_size) / 2), round((height - image_size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + image_size, top + image_size))


RESIZES: Mapping[str, Resize] = {
    "squash": Resize(_square, _squash),
    "crop": Resize(_short_side_resized, _crop),
}
