"""A data set in memory: uint8 images, 0/1 labels and the rows of every split."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saat.data.store import Progress, default_cache_dir
from saat.data.tensors import Pair, joined
from saat.errors import InputError
from saat.labels import check_labels
from saat.paths import user_path

# Part of every fingerprint and of every cache key: raise it when the meaning of the stored
# pixels or of the splits changes, and old cache entries and results stop being taken for new.
FORMAT_VERSION = 1

Rows = np.ndarray | torch.Tensor | Sequence[int]

# A square of this side, and the larger one that it is cropped from, fit in memory in every thread.
MAX_IMAGE_SIZE = 4096
# Sides in pixels where none is given: of composed sets, and of photographs.
_EMBEDDED_SIZE, _PHOTOGRAPH_SIZE = 32, 224


@dataclass(frozen=True, eq=False, repr=False)
class RetrievalData:
    """Images, labels and splits of one data set.

    Made by :meth:`from_tensors`, :meth:`from_folder` and :meth:`named`. Every array is read-only.
    Splits are int64 rows of ``images`` and ``labels``; a row that a list names twice is in its
    split twice (FLICKR-25K's published train list has 504 such).

    Attributes:
        name: The set's name (``"digits"``, ``"flickr25k"``), or that of its lists' folder.
        images: uint8 (M, 3, H, W), a read-only memory map.
        labels: uint8 (M, C) of 0 and 1, C at least 2.
        train: Training rows, usually a subset of ``database``.
        database: Rows that test queries retrieve from.
        validation: Validation queries, in random order.
        test: Test queries, disjoint from all other splits.
        fingerprint: SHA-256 (hex) of the lists or recipe, labels, split membership, image size
            and way of resizing, validation queries, format version, and of the decoded images of
            a folder; equal on every node.
        lists_sha256: SHA-256 (hex) per list file; empty for embedded sets.
        label: Which split this is, for results and reports (:func:`saat.data.identity.set_label`);
            the name where there are no lists.

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

    @classmethod
    def from_tensors(
        cls,
        *,
        train: Pair,
        test: Pair,
        database: Pair | None = None,
        validation: Pair | None = None,
        name: str = "tensors",
    ) -> "RetrievalData":
        """A data set from images and labels in memory.

        >>> import saat, torch
        >>> images, labels = torch.rand(30, 3, 16, 16), torch.eye(3).repeat(10, 1)
        >>> data = saat.RetrievalData.from_tensors(
        ...     train=(images[:10], labels[:10]),
        ...     database=(images[:20], labels[:20]),
        ...     test=(images[20:], labels[20:]),
        ... )
        >>> data
        tensors: 3 classes, 16 px; 10 train, 20 database, 0 validation, 10 test

        Args:
            train: images (N, 3, H, W) with H = W, uint8 or float in [0, 1], and 0/1 labels
                (N, C); tensors on any device, or NumPy arrays. As of all pairs.
            test: queries of the final numbers.
            database: what queries retrieve from; the training images where None.
            validation: queries for decisions while training; none where None.
            name: of the set, in messages and results.

        Returns:
            A copy as bytes: floats are rounded to the nearest of 256 levels. Its fingerprint is
            that of all images, labels and splits.

        Raises:
            InputError: images or labels that are not such, or splits that do not fit together.
        """
        pairs = {"train": train, "database": database, "validation": validation, "test": test}
        given = {split: pair for split, pair in pairs.items() if pair is not None}
        images, labels, rows = joined(given)
        splits = {split: rows.get(split, np.arange(0)) for split in pairs}
        if database is None:
            splits["database"] = splits["train"]
        images.setflags(write=False)
        arrays = {"images": images, "labels": labels, **splits}
        return cls(
            name=name,
            label=name,
            fingerprint=fingerprint({"tensors": 1}, arrays),
            lists_sha256={},
            **arrays,
        )

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        *,
        image_size: int = _PHOTOGRAPH_SIZE,
        val_queries: int = 0,
        seed: int = 0,
        resize: str = "squash",
        cache_dir: str | Path | None = None,
        progress: Progress | None = None,
    ) -> "RetrievalData":
        """A folder of image lists (:mod:`saat.data.lists`); images are decoded once per node.

        Args:
            path: the folder.
            image_size: height and width of the stored images in pixels, at most 4096.
            val_queries: number of validation queries, drawn from database or training images; 0
                for none.
            seed: decides which rows become validation queries.
            resize: ``"squash"`` resizes the whole image to a square, as in the paper; ``"crop"``
                resizes the short side to ``image_size * 256 / 224`` and crops the centre, as the
                reference repositories do.
            cache_dir: node-local folder of decoded images; ``SAAT_CACHE`` or
                ``~/.cache/saat-harness`` where None.
            progress: called with (images done, images in all) while images are decoded.

        Returns:
            The data set, its images a read-only memory map.

        Raises:
            InputError: one line that names the list file and line, the value and what is allowed.
            OSError: the cache cannot be written, a full disk for example; it names the file.
        """
        # Not above: whoever decodes a folder makes a data set of this class.
        from saat.data.folder import load_folder

        root = user_path(path, "data.path:")
        return _loaded(
            load_folder, image_size, val_queries, seed, resize, cache_dir, progress, root=root
        )

    @classmethod
    def named(
        cls,
        name: str,
        *,
        image_size: int | None = None,
        val_queries: int = 0,
        seed: int = 0,
        resize: str = "squash",
        root: str | Path | None = None,
        cache_dir: str | Path | None = None,
        progress: Progress | None = None,
    ) -> "RetrievalData":
        """A set of :data:`saat.data.DATASETS`; ``saat list datasets`` shows them.

        >>> import saat
        >>> saat.RetrievalData.named("digits_mini", image_size=16)
        digits_mini: 10 classes, 16 px; 400 train, 800 database, 0 validation, 100 test

        Args:
            name: its name.
            image_size: see :meth:`from_folder`; 32 for embedded sets, 224 for photographs where
                None.
            val_queries: number of validation queries; 0 for none.
            seed: decides which rows become validation queries, and how embedded sets are composed.
            resize: see :meth:`from_folder`; embedded sets know only ``"squash"``.
            root: the folder that contains the set's own folder (``FLICKR-25K``, …); where None,
                the environment variable ``SAAT_DATA`` names it. Not for embedded sets.
            cache_dir: see :meth:`from_folder`.
            progress: see :meth:`from_folder`.

        Raises:
            InputError: see :meth:`from_folder`; an unknown name, or no folder of that set.
            OSError: see :meth:`from_folder`.
        """
        # Not above: whoever loads a named set makes a data set of this class.
        from saat.data.registry import DATASETS, locate, source_problem

        problem = source_problem(name, None, root)
        if problem is not None:
            raise InputError(f"data: {problem}")
        entry = DATASETS[name]
        is_embedded = entry.folder is None
        if image_size is None:
            image_size = _EMBEDDED_SIZE if is_embedded else _PHOTOGRAPH_SIZE
        source = {} if is_embedded else {"root": locate(name, root)}
        return _loaded(
            entry.load, image_size, val_queries, seed, resize, cache_dir, progress, **source
        )

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{len(getattr(self, split))} {split}"
            for split in ("train", "database", "validation", "test")
        )
        return f"{self.label}: {self.classes} classes, {self.image_size} px; {counts}"

    @property
    def validation_database(self) -> np.ndarray:
        """Database rows without the validation queries, int64."""
        return self.database[~np.isin(self.database, self.validation)]

    @property
    def classes(self) -> int:
        """C, the width of a label vector."""
        return int(self.labels.shape[1])

    @property
    def image_size(self) -> int:
        """H = W in pixels."""
        return int(self.images.shape[2])

    def batch(self, rows: Rows) -> torch.Tensor:
        """Copy ``rows`` of the images: uint8 (n, 3, H, W) on the CPU."""
        return torch.from_numpy(self.images[np.asarray(rows, dtype=np.int64)])

    def label_tensor(self, rows: Rows) -> torch.Tensor:
        """Copy ``rows`` of the labels: uint8 (n, C) on the CPU."""
        return torch.from_numpy(self.labels[np.asarray(rows, dtype=np.int64)])


def _loaded(
    load: Callable[..., RetrievalData],
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
    cache_dir: str | Path | None,
    progress: Progress | None,
    **source: Any,
) -> RetrievalData:
    """What a loader gives, once the numbers are known to be in range."""
    if not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise InputError(f"data: image_size {image_size}: must be 1 to {MAX_IMAGE_SIZE} pixels")
    if val_queries < 0:
        raise InputError(f"data: val_queries {val_queries}: must be 0 or more")
    return load(
        **source,
        image_size=image_size,
        val_queries=val_queries,
        seed=seed,
        resize=resize,
        cache_dir=default_cache_dir() if cache_dir is None else user_path(cache_dir, "cache_dir"),
        progress=progress,
    )


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
