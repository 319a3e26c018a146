"""A data set from a folder of image lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saat.data import store
from saat.data.decode import RESIZES, decode_rows, is_current
from saat.data.identity import set_label
from saat.data.image_files import cache_key
from saat.data.labelled_images import LabelledImages, fingerprint
from saat.data.layouts import Lists, read_lists
from saat.data.splits import draw_validation
from saat.errors import InputError, printable
from saat.wording import counted


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder of image lists that was read and checked, but not decoded.

    Attributes:
        splits: int64 rows per split, the validation queries drawn.
        fingerprint: Fingerprint of everything but the pixels.
        key: Name of the decoded images in the store.
        shape: (M, 3, H, W) of the decoded images, one byte each.
        source_bytes: Bytes of all image files together.
    """

    name: str
    lists: Lists
    splits: Mapping[str, np.ndarray]
    fingerprint: str
    key: str
    shape: tuple[int, int, int, int]
    source_bytes: int


def load_folder(
    *, resize: str, cache_dir: Path, progress: store.Progress | None, **settings: Any
) -> LabelledImages:
    """Decode the images of a folder, or open them from the cache.

    ``resize`` and ``settings`` are the arguments of :func:`read_folder`, the others those of
    :meth:`saat.data.RetrievalData.from_folder`.
    """
    found = read_folder(resize=resize, **settings)
    lists = found.lists
    entry = store.open_or_build(
        cache_dir,
        found.key,
        found.shape,
        lambda rows: decode_rows(lists, rows, found.shape[-1], resize),
        progress,
        lambda images: is_current(images, lists, resize),
    )
    return LabelledImages(
        name=found.name,
        images=entry.images,
        labels=lists.labels,
        fingerprint=fingerprint({"set": found.fingerprint, "pixels": entry.checksum}, {}),
        lists_sha256=lists.sha256,
        label=set_label(found.name, lists.content_sha256),
        **found.splits,
    )


def read_folder(
    *,
    root: Path,
    name: str | None = None,
    classes: int | None = None,
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
) -> Folder:
    """Read the lists in ``root``, and check that every image exists.

    Arguments are those of :meth:`saat.data.RetrievalData.from_folder`. A named set also has its
    ``name``, and the number of ``classes`` that its labels must have.
    """
    if resize not in RESIZES:
        raise InputError(f"data: resize {resize!r}: must be one of {', '.join(RESIZES)}")
    lists = read_named(root, name, classes)
    train, validation = draw_validation(
        lists.rows["train"], lists.rows["database"], val_queries, seed, str(root)
    )
    key, source_bytes = cache_key(lists, image_size, resize)
    splits = {**lists.rows, "train": train, "validation": validation}
    recipe = {
        "lists": dict(lists.content_sha256),
        "image_size": image_size,
        "resize": resize,
        "val_queries": val_queries,
    }
    return Folder(
        name=printable(name or root.resolve().name),
        lists=lists,
        splits=splits,
        fingerprint=fingerprint(recipe, {"labels": lists.labels, **splits}),
        key=key,
        shape=(len(lists.paths), 3, image_size, image_size),
        source_bytes=source_bytes,
    )


def read_named(root: Path, name: str | None, classes: int | None) -> Lists:
    """Read the lists in ``root``, and check that their labels have the width of the named set."""
    lists = read_lists(root)
    width = lists.labels.shape[1]
    if classes is not None and width != classes:
        raise InputError(
            f"{root}: its lists have {counted(width, 'label')} per image; {name} has {classes}"
        )
    return lists
