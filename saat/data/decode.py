"""From image files to uint8 pixels, in parallel and in the order of the lists."""

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from saat.data.dataset import FORMAT_VERSION
from saat.data.lists import Lists, Origin
from saat.data.prefix import prefix_hint
from saat.errors import InputError, one_line

# Images decoded between two writes: enough to keep the pool busy, 38 MB at 224 px.
BLOCK = 256


def cache_key(lists: Lists, image_size: int, resize: str) -> tuple[str, int]:
    """Name the decoded images: SHA-256 of the ordered paths, sizes, mtimes and how to decode.

    Returns:
        The name, and the bytes of all image files together.

    Raises:
        InputError: An image is missing, is not a file, or is a link that leaves the folder.
    """
    digest = hashlib.sha256(f"images {FORMAT_VERSION} {image_size} {resize}\n".encode())
    total = 0
    for path, status in zip(lists.paths, _locate(lists), strict=True):
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        total += status.st_size
    return digest.hexdigest(), total


def _locate(lists: Lists) -> Iterator[os.stat_result]:
    root = lists.root.resolve()

    @cache  # many images, few folders
    def is_inside(folder: Path) -> bool:
        return folder.resolve().is_relative_to(root)

    for path, origin in zip(lists.paths, lists.origins, strict=True):
        file = lists.root / path
        try:
            status = file.lstat()
            is_link = stat.S_ISLNK(status.st_mode)
            status = file.stat() if is_link else status
        except FileNotFoundError as error:
            hint = prefix_hint(origin.file, path)
            raise InputError(f"{origin}: image {file}: no such file{hint}") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
            raise InputError(f"{origin}: image {one_line(file)}: {one_line(error)}") from error
        if not (is_inside(file.parent) and (not is_link or is_inside(file))):
            raise InputError(
                f"{origin}: image {file}: a link leads to {file.resolve()}, outside the folder; "
                "images must lie inside it"
            )
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{origin}: image {file}: not a file")
        yield status


def decode_blocks(lists: Lists, image_size: int, resize: str) -> Iterator[np.ndarray]:
    """Yield uint8 (n, 3, H, W) blocks that together hold every image of ``lists`` in order.

    Raises:
        InputError: The first image in that order that cannot be decoded.
    """
    with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes without the GIL
        for start in range(0, len(lists.paths), BLOCK):
            files = [lists.root / path for path in lists.paths[start : start + BLOCK]]
            origins = lists.origins[start : start + BLOCK]
            # map() raises the error of the first image that has one, whoever failed earliest.
            yield np.stack(
                list(pool.map(_decode, files, origins, repeat(image_size), repeat(resize)))
            )


def _decode(file: Path, origin: Origin, image_size: int, resize: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            # The EXIF orientation stays unapplied: the reference code opens its images like
            # this, and turned images would no longer be the published data set.
            rgb = image.convert("RGB")
    except UnidentifiedImageError as error:
        raise InputError(f"{origin}: image {file}: not an image that Pillow can read") from error
    except _BROKEN as error:
        raise InputError(f"{origin}: image {file}: damaged: {one_line(error)}") from error
    return np.asarray(RESIZES[resize](rgb, image_size)).transpose(2, 0, 1)


# What Pillow's decoders raise on damaged files.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


def _squash(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR)  # Pillow's always antialiases


def _crop(image: Image.Image, size: int) -> Image.Image:
    """Resize(size * 256 / 224) and CenterCrop(size), pixel for pixel torchvision's."""
    short = round(size * 256 / 224)
    scale = min(image.size)
    width, height = (int(short * side / scale) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


RESIZES = {"squash": _squash, "crop": _crop}
