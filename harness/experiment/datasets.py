"""What ``saat list datasets`` says of every set: what is here, and where the rest comes from."""

from pathlib import Path

import numpy as np

from saat.data import DATASETS, locate
from saat.data.folder import read_named
from saat.data.identity import set_label
from saat.data.layouts import Lists
from saat.errors import InputError
from saat.wording import counted


def dataset_line(name: str, data_root: Path | None) -> str:
    """A sentence about a named set. Lists are read, no image is.

    Args:
        name: A key of :data:`saat.data.DATASETS`.
        data_root: The folder that contains the sets' folders; ``SAAT_DATA`` where None.
    """
    entry = DATASETS[name]
    about = f"{entry.description}, {counted(entry.classes, 'class', 'classes')}"
    if entry.folder is None:
        return f"{about}; {entry.obtain}"
    try:
        folder = locate(name, data_root)
    except InputError as error:
        return f"{about}; {str(error).removeprefix(f'data: {name} ')}"
    try:
        lists = read_named(folder, name, entry.classes)
    except InputError as error:
        return f"{about}; not usable: {error}; {entry.obtain}"
    return f"{about}; {set_label(name, lists.content_sha256)} in {folder}: {_sizes(lists)}"


def _sizes(lists: Lists) -> str:
    """Rows per split, and how many of them have no label."""
    unlabelled = lists.labels.max(axis=1) == 0
    parts = []
    for split in ("train", "database", "test"):
        rows = lists.rows[split]
        without = int(np.count_nonzero(unlabelled[rows]))
        parts.append(f"{len(rows)} {split}" + (f" ({without} without a label)" if without else ""))
    return ", ".join(parts)
