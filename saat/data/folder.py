"""A data set from a folder of image lists."""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from saat.data import store
from saat.data.decode import RESIZES, decode_rows, is_current
from saat.data.identity import set_label
from saat.data.labelled_images import LabelledImages, fingerprint
from saat.data.layouts import Lists, read_lists
from saat.data.list_files import prefix_hint
from saat.data.splits import draw_validation
from saat.errors import InputError, one_line, printable
from saat.wording import counted


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder of image lists that was read and checked, but not decoded."""

    name: str
    lists: Lists
    splits: Mapping[str, np.ndarray]  # int64 rows per split, the validation queries drawn
    fingerprint: str  # of everything but the pixels
    key: str  # name of the decoded images in the store
    shape: tuple[int, int, int, int]  # (M, 3, H, W) of the decoded images, one byte each
    source_bytes: int  # of all image files together


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


def cache_key(lists: Lists, image_size: int, resize: str) -> tuple[str, int]:
    """The cache key of decoded images, and the bytes of all files; none is opened.

    The key is the SHA-256 of the folder's real path and, per image in order, of path, size,
    ``mtime`` and ``ctime``. No program can set ``ctime``, so files that were replaced under an old
    ``mtime`` get another key. Inode and device numbers are left out, because they change with every
    mount of network and user-space file systems.

    Raises:
        InputError: An image is missing, is not a file, or is a link that leaves the folder.
    """
    root = lists.root.resolve()

    @cache  # many images, few folders
    def is_inside(folder: Path) -> bool:
        return folder.resolve().is_relative_to(root)

    digest = hashlib.sha256(b"files %d %s %s\0" % (image_size, resize.encode(), os.fsencode(root)))
    total = 0
    for path, origin in zip(lists.paths, lists.origins, strict=True):
        file = lists.root / path
        try:
            status = file.lstat()
            is_link = stat.S_ISLNK(status.st_mode)
            status = file.stat() if is_link else status
        except OSError as error:  # no such file, a name too long, links in a circle
            problem = one_line(error)
            if isinstance(error, FileNotFoundError):
                problem = f"no such file{prefix_hint(lists.root, path)}"
            raise InputError(f"{origin}: image {one_line(file)}: {problem}") from error
        if not (is_inside(file.parent) and (not is_link or is_inside(file))):
            raise InputError(
                f"{origin}: image {file}: a link leads to {file.resolve()}, outside the folder; "
                "images must lie inside it"
            )
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{origin}: image {file}: not a file")
        facts = (path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, "")
        digest.update("\0".join(map(str, facts)).encode())
        total += status.st_size
    return digest.hexdigest(), total
