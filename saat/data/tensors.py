"""Convert images and labels in memory to the bytes that a data set stores."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from saat.errors import InputError
from saat.labels import check_labels
from saat.wording import counted

Array = Tensor | np.ndarray
# Images (N, 3, H, W) and labels (N, C) of one split.
Pair = tuple[Array, Array]


def image_bytes(name: str, images: Array) -> np.ndarray:
    """Convert images (N, 3, H, W) with H = W, uint8 or float in [0, 1], to uint8.

    Floats are rounded to the nearest of the 256 levels.

    Raises:
        InputError: the shape, dtype or range is wrong; the message begins with ``name``.
    """
    array = _on_cpu(name, images)
    if array.ndim != 4 or array.shape[1] != 3 or array.shape[2] != array.shape[3]:
        hint = "; channels come second: permute(0, 3, 1, 2)" if array.shape[-1:] == (3,) else ""
        raise InputError(f"{name}: shape {array.shape}; must be (N, 3, H, W) with H = W{hint}")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise InputError(f"{name}: {array.dtype}; must be uint8, or float in [0, 1]")
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
        raise InputError(
            f"{name}: values from {array.min():.4g} to {array.max():.4g}; floats must be in "
            "[0, 1], without normalisation, which belongs in the model"
        )
    return np.rint(array.astype(np.float32, copy=False) * 255).astype(np.uint8)


def label_bytes(name: str, labels: Array) -> np.ndarray:
    """Convert labels (N, C) of 0 and 1, of any dtype and on any device, to uint8.

    Others are an ``InputError``.
    """
    array = _on_cpu(name, labels)
    check_labels(name, array)
    return array.astype(np.uint8)


def joined(splits: Mapping[str, Pair]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Join splits to all images, all labels, and the rows of every split, in order.

    An ``InputError`` for a split that is no pair of them, and where splits do not fit together.
    """
    images, labels = [], []
    first = next(iter(splits))
    for split, pair in splits.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError(f"{split}: must be a pair of images and labels")
        images.append(image_bytes(f"{split} images", pair[0]))
        labels.append(label_bytes(f"{split} labels", pair[1]))
        count = len(images[-1])
        if count != len(labels[-1]) or not count:
            raise InputError(
                f"{split}: {counted(count, 'image')} and {counted(len(labels[-1]), 'label row')}; "
                "must be as many, at least 1"
            )
        for what, parts in (("images", images), ("labels", labels)):
            here, there = (", ".join(map(str, part.shape[1:])) for part in (parts[-1], parts[0]))
            if here != there:
                raise InputError(
                    f"{split} {what}: shape (N, {here}); {first} {what} have (N, {there})"
                )
    ends = np.cumsum([len(part) for part in images])
    rows = np.split(np.arange(ends[-1]), ends[:-1])
    return np.concatenate(images), np.concatenate(labels), dict(zip(splits, rows, strict=True))


def _on_cpu(name: str, values: Array) -> np.ndarray:
    if isinstance(values, Tensor):
        if values.is_meta:
            raise InputError(f"{name}: on the device meta, which holds no values")
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, np.ndarray):
        return values
    raise InputError(f"{name}: {type(values).__name__}; must be a torch tensor or a NumPy array")
