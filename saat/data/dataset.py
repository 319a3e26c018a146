"""A data set for retrieval, from tensors, from a folder, or by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saat.data.folder import load_folder
from saat.data.labelled_images import LabelledImages, fingerprint
from saat.data.registry import DATASETS, locate
from saat.data.store import Progress
from saat.data.tensors import Pair, joined
from saat.data_source import default_cache_dir, source_problem
from saat.errors import InputError
from saat.paths import user_path

# Every thread has memory for a square of this side, and for the larger one it is cropped from.
MAX_IMAGE_SIZE = 4096
# Default sides in pixels, of composed sets and of photographs.
_EMBEDDED_SIZE, _PHOTOGRAPH_SIZE = 32, 224


class RetrievalData(LabelledImages):
    """Images, labels and splits for retrieval.

    Created by :meth:`from_tensors`, :meth:`from_folder` and :meth:`named`.
    """

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

        Every pair is images (N, 3, H, W) with H = W, uint8 or float in [0, 1], and 0/1 labels
        (N, C): tensors on any device, or NumPy arrays. Images are copied as bytes; floats are
        rounded to the nearest of 256 levels. Without a ``database``, queries retrieve from the
        training images. ``name`` is the name of the set in messages and results.

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
        identity = fingerprint({"tensors": 1}, arrays)
        return cls(name=name, label=name, fingerprint=identity, lists_sha256={}, **arrays)

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
        """Open a folder of image lists (:mod:`saat.data.layouts`); each node decodes images once.

        Args:
            path: the folder.
            image_size: height and width of the stored images in pixels, at most 4096.
            val_queries: number of validation queries (:mod:`saat.data.splits`).
            seed: decides which rows become validation queries.
            resize: ``"squash"`` makes the whole image a square, as in the paper; ``"crop"`` resizes
                the short side to ``image_size * 256 / 224`` and crops the centre, as the
                reference repositories do.
            cache_dir: node-local folder of decoded images; the default is ``SAAT_CACHE`` or
                ``~/.cache/saat-harness``.
            progress: called with (images done, images in all) while images are decoded.

        Raises:
            InputError: one line that names the list file and line, the value and what is allowed.
            OSError: the cache cannot be written, a full disk for example; it names the file.
        """
        load = partial(load_folder, root=user_path(path, "data.path:"))
        settings = {"seed": seed, "resize": resize, "progress": progress}
        return cls._load(load, image_size, val_queries, cache_dir, **settings)

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
        """Open a set of :data:`saat.data.DATASETS`; ``saat list datasets`` shows them.

        >>> import saat
        >>> saat.RetrievalData.named("digits_mini", image_size=16)
        digits_mini: 10 classes, 16 px; 400 train, 800 database, 0 validation, 100 test

        Arguments are those of :meth:`from_folder`, with these differences. ``root`` is the folder
        that contains the set's own folder (``FLICKR-25K``, …); None stands for the environment
        variable ``SAAT_DATA``. An embedded set has no root, is resized by ``"squash"`` only, and
        is composed with ``seed``. An ``image_size`` of None stands for 32 for embedded sets and
        224 for photographs.

        Raises:
            InputError: see :meth:`from_folder`; an unknown name, or no folder of that set.
            OSError: see :meth:`from_folder`.
        """
        problem = source_problem(name, None, root, DATASETS)
        if problem is not None:
            raise InputError(f"data: {problem}")
        load, size = DATASETS[name].load, _EMBEDDED_SIZE
        if DATASETS[name].folder is not None:
            load, size = partial(load, root=locate(name, root)), _PHOTOGRAPH_SIZE
        size = size if image_size is None else image_size
        settings = {"seed": seed, "resize": resize, "progress": progress}
        return cls._load(load, size, val_queries, cache_dir, **settings)

    @classmethod
    def _load(
        cls,
        load: Callable[..., LabelledImages],
        image_size: int,
        val_queries: int,
        cache_dir: str | Path | None,
        **settings: Any,
    ) -> "RetrievalData":
        if not 1 <= image_size <= MAX_IMAGE_SIZE:
            raise InputError(f"data: image_size {image_size}: must be 1 to {MAX_IMAGE_SIZE} pixels")
        if val_queries < 0:
            raise InputError(f"data: val_queries {val_queries}: must be 0 or more")
        cache = default_cache_dir() if cache_dir is None else user_path(cache_dir, "cache_dir")
        found = load(image_size=image_size, val_queries=val_queries, cache_dir=cache, **settings)
        return cls(**vars(found))
