"""What ``saat list datasets`` says of every set: what is here, and where the rest comes from."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalogue import Dataset, Entry
from saat.data_source import dataset_folder
from saat.errors import InputError
from saat.wording import counted

if TYPE_CHECKING:  # imports torch, which only a set that is here needs
    from saat.data.layouts import Lists


def dataset_line(name: str, entry: Entry[Dataset], data_root: Path | None) -> str:
    """A sentence about a named set. Lists are read, no image is.

    ``data_root`` contains the folders of the sets; ``SAAT_DATA`` where None.
    """
    facts = entry.usable()
    about = f"{entry.description}, {counted(facts.classes, 'class', 'classes')}"
    if facts.folder is None:
        return f"{about}; {facts.obtain}"
    try:
        folder = dataset_folder(name, facts.folder, facts.obtain, data_root)
    except InputError as error:
        return f"{about}; {str(error).removeprefix(f'data: {name} ')}"
    from saat.data.folder import read_named
    from saat.data.identity import set_label

    try:
        lists = read_named(folder, name, facts.classes)
    except InputError as error:
        return f"{about}; not usable: {error}; {facts.obtain}"
    return f"{about}; {set_label(name, lists.content_sha256)} in {folder}: {_sizes(lists)}"


def _sizes(lists: "Lists") -> str:
    """Rows per split, and how many of them have no label."""
    unlabelled = lists.labels.max(axis=1) == 0
    parts = []
    for split in ("train", "database", "test"):
        rows = lists.rows[split]
        without = int(unlabelled[rows].sum())
        parts.append(f"{len(rows)} {split}" + (f" ({without} without a label)" if without else ""))
    return ", ".join(parts)
