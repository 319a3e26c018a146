"""Decode image files to uint8 pixels, in parallel and in the order of the lists.

Every image is converted to 8-bit RGB by Pillow's ``convert("RGB")``, as in the reference
repositories. ``docs/datasets.md`` says what that means for alpha, palettes and colour profiles.
Images that Pillow would silently convert wrongly are converted here or refused.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from saat.data.layouts import Lists
from saat.errors import InputError, one_line

# Stricter than Pillow's own limits, which allow images that do not fit in memory when a pool of
# threads decodes them. A JPEG cannot have a longer side.
MAX_SIDE = 65_535
MAX_PIXELS = 2**26

# Modes with 8 bits a channel that Pillow can convert to RGB.
_CONVERTIBLE = frozenset(
    ["1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA"]
)
# Formats whose 16-bit grey values fill 0…65535; some Pillow versions open them in mode I.
_GREY_16 = {"PNG": ("I;16", "I"), "PPM": ("I;16", "I"), "JPEG2000": ("I;16",), "TIFF": ("I;16",)}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _BLACK_IS_ZERO = 258, 262, 1  # tags of a TIFF
# Pillow passes these to Ghostscript or Windows, which run code in the file.
_DRAWN = ("EPS", "WMF")
_CHECKED = 16  # images compared by `is_current`

Size = tuple[int, int]  # width, height


def _short_side(size: Size, image_size: int) -> Size:
    """As torchvision's ``Resize(image_size * 256 / 224)``, to the pixel."""
    short = round(image_size * 256 / 224)
    width, height = (int(short * side / min(size)) for side in size)
    return width, height


# Way of resizing → function (size of an image, side of the square) → size of the image before the
# square is cut from its centre.
RESIZES: Mapping[str, Callable[[Size, int], Size]] = {
    "squash": lambda size, image_size: (image_size, image_size),
    "crop": _short_side,
}


def is_current(images: np.ndarray, lists: Lists, resize: str) -> bool:
    """Whether a few images, spread over the lists, decode to their rows of uint8 ``images``.

    On file systems that are mounted from a packed image, files can change while their times stay.
    Usually all of them have changed then.
    """
    count = len(lists.paths)
    rows = np.unique(np.linspace(0, count - 1, min(count, _CHECKED)).astype(np.int64))
    found = decode_rows(lists, rows.tolist(), images.shape[-1], resize)
    return bool(np.array_equal(found, images[rows]))


def decode_rows(lists: Lists, rows: Sequence[int], image_size: int, resize: str) -> np.ndarray:
    """Images of some rows of the lists, uint8 (n, 3, ``image_size``, ``image_size``).

    The first one in that order that cannot be decoded is an ``InputError``.
    """
    files = [lists.root / lists.paths[row] for row in rows]
    origins = [lists.origins[row] for row in rows]
    # Pillow warns of sizes that are refused here, and of metadata that are not used. Its decoders
    # release the GIL. map() raises the error of the first bad image in the list.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        return np.stack(list(pool.map(_decode, files, origins, repeat(image_size), repeat(resize))))


def _decode(file: Path, origin: str, image_size: int, resize: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.format in _DRAWN:
                raise InputError(f"{image.format} is drawn by another program; save it as PNG")
            _check_size(image.size, image_size, resize)
            rgb = _rgb(image)
    except Exception as error:  # Pillow raises any exception for damaged files
        raise InputError(f"{origin}: image {file}: {_problem(error)}") from error
    width, height = RESIZES[resize](rgb.size, image_size)
    left, top = round((width - image_size) / 2), round((height - image_size) / 2)
    # Pillow's resize always antialiases.
    resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
    square = resized.crop((left, top, left + image_size, top + image_size))
    return np.asarray(square).transpose(2, 0, 1)


def _problem(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return f"too large; {_ALLOWED}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    return f"damaged: {one_line(error) or type(error).__name__}"


_ALLOWED = f"at most {MAX_SIDE} pixels a side and {MAX_PIXELS} in all"


def _check_size(size: Size, image_size: int, resize: str) -> None:
    """Refuse an image that would not fit in memory, before any pixel is decoded."""
    width, height = size
    if max(size) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(f"{width} × {height} pixels; {_ALLOWED}")
    wide, high = RESIZES[resize](size, image_size)
    if wide * high > MAX_PIXELS:
        raise InputError(
            f"{width} × {height} pixels; too elongated for data.resize {resize}, which makes it "
            f"{wide} × {high}, more than {MAX_PIXELS} pixels"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """The first frame as 8-bit RGB; the EXIF orientation stays unapplied.

    The reference code opens its images like this. Rotated images would not be the published data
    set.
    """
    if image.mode in _CONVERTIBLE:
        return image.convert("RGB")
    if _is_grey_16(image):
        # The high byte, which is what Pillow keeps of 16-bit colours.
        high = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return Image.fromarray(high).convert("RGB")
    raise InputError(
        f"{image.format} of mode {image.mode}, whose values have no fixed meaning as 8-bit RGB; "
        "save it with 8 bits a channel as grey or RGB"
    )


def _is_grey_16(image: Image.Image) -> bool:
    """Whether the values are grey from 0 (black) to 65535 (white)."""
    kind = "I;16" if image.mode.startswith("I;16") else image.mode
    if kind not in _GREY_16.get(image.format or "", ()):
        return False
    if image.format != "TIFF":
        return True
    tags = image.getexif()
    return tags.get(_BITS_PER_SAMPLE) == 16 and tags.get(_PHOTOMETRIC) == _BLACK_IS_ZERO
