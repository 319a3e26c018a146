"""Images in memory, their labels and the rows of every split."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from saat.labels import check_labels
from saat.seeding import derive_seed, numpy_generator

# Part of every fingerprint and of every cache key. Raise it when the meaning of the stored pixels
# or of the splits changes, so that old cache entries and results are not taken for new ones.
FORMAT_VERSION = 1

SPLITS = ("train", "database", "validation", "test")

Rows = np.ndarray | torch.Tensor | Sequence[int]


@dataclass(frozen=True, eq=False, repr=False)
class LabelledImages:
    """Images, labels and splits of one data set: what a loader of :data:`DATASETS` returns.

    Every array is read-only. Splits are int64 rows of ``images`` and ``labels``; a row that a list
    names twice is in its split twice.

    Attributes:
        name: The name of the set, or of the folder of its lists.
        images: uint8 (M, 3, H, W); a memory map if loaded from files.
        labels: uint8 (M, C) of 0 and 1, C at least 2.
        train: Training rows, usually a subset of ``database``.
        database: Rows that test queries retrieve from.
        validation: Validation queries, in random order.
        test: Test queries, disjoint from all other splits.
        fingerprint: SHA-256 (hex) of everything that determines images, labels and splits; equal
            on every node.
        lists_sha256: SHA-256 (hex) per list file.
        label: Which lists these are, for results and reports
            (:func:`saat.data.identity.set_label`); the name if there are no lists.

    Raises:
        InputError: Labels of another shape or with other values.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    database: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    fingerprint: str
    lists_sha256: Mapping[str, str]
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name)
        check_labels(f"{self.name}: labels", self.labels)
        for array in (self.labels, self.train, self.database, self.validation, self.test):
            array.setflags(write=False)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, split))} {split}" for split in SPLITS)
        return f"{self.label}: {self.classes} classes, {self.image_size} px; {counts}"

    @property
    def validation_database(self) -> np.ndarray:
        """Database rows without the validation queries, int64."""
        return self.database[~np.isin(self.database, self.validation)]

    def validation_part(self, count: int) -> np.ndarray:
        """``count`` rows of :attr:`validation_database` in its order, int64; all if it has fewer.

        The draw has a seed of its own: it is the same for every model, epoch and training seed,
        and a larger part contains every smaller one.
        """
        rows = self.validation_database
        rng = numpy_generator(derive_seed("validation part"))
        return rows[np.sort(rng.permutation(len(rows))[:count])]

    @property
    def classes(self) -> int:
        """C, the width of a label vector."""
        return int(self.labels.shape[1])

    @property
    def image_size(self) -> int:
        """H = W in pixels."""
        return int(self.images.shape[2])

    def batch(self, rows: Rows, pinned: bool = False) -> torch.Tensor:
        """Copy ``rows`` of the images: uint8 (n, 3, H, W) on the CPU.

        ``pinned`` memory can be copied to a GPU asynchronously; it needs one.
        """
        index = np.asarray(rows, dtype=np.int64)
        if not pinned:
            return torch.from_numpy(self.images[index])
        out = torch.empty(len(index), *self.images.shape[1:], dtype=torch.uint8, pin_memory=True)
        gather(self.images, index, out.numpy())
        return out

    def label_tensor(self, rows: Rows) -> torch.Tensor:
        """Copy ``rows`` of the labels: uint8 (n, C) on the CPU."""
        return torch.from_numpy(self.labels[np.asarray(rows, dtype=np.int64)])


def gather(images: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    """Copy rows (n,) of images (M, …) into ``out`` (n, …), without a buffer between them.

    A row below 0 or from M on is an ``IndexError``.
    """
    if len(index) and not 0 <= index.min() <= index.max() < len(images):
        raise IndexError(f"rows outside 0 to {len(images) - 1}")
    np.take(images, index, axis=0, out=out, mode="clip")  # other modes fill a buffer first


def fingerprint(recipe: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) of a JSON-able recipe and of named arrays, independent of the machine."""
    digest = hashlib.sha256()
    digest.update(json.dumps({"format": FORMAT_VERSION, **recipe}, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"\n{name} {array.shape} {array.dtype.name}\n".encode())
        digest.update(little_endian.data)
    return digest.hexdigest()
