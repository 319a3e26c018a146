"""Image lists: the two layouts in which hashing papers publish their splits.

The reference layout has two files per split, one line per image in each::

    {root}/{train,test,database}_img.txt       a path relative to root
    {root}/{train,test,database}_label.txt     0 1 0 0 …

HashNet's and DeepHash's layout has one file per split, ``path 0 1 0 0 …``::

    {root}/{train,test,database}.txt

Where a folder holds both, the reference layout is read. Trailing spaces, CRLF or CR and empty
lines at the end are allowed. A path may occur twice in one list, because FLICKR-25K's published
train list repeats 504. It then counts twice, as in the reference code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saat.data.identity import content_sha256
from saat.data.list_files import SplitList, read_pair, read_single
from saat.errors import InputError
from saat.wording import counted

# The order in which images get their rows.
SPLITS = ("database", "train", "test")
# For each layout: its file names for messages, the ends of its file names, and its reader.
_LAYOUTS: tuple[tuple[str, tuple[str, ...], Callable[..., SplitList]], ...] = (
    ("{train,test,database}_{img,label}.txt", ("_img", "_label"), read_pair),
    ("{train,test,database}.txt", ("",), read_single),
)


@dataclass(frozen=True, eq=False)
class Lists:
    """The distinct images of a folder of lists, and the rows of every split."""

    root: Path
    paths: list[str]  # M distinct image paths relative to ``root``
    origins: list[str]  # first line that names each path, ``FILE:LINE`` with lines from 1
    labels: np.ndarray  # uint8 (M, C) of 0 and 1
    rows: Mapping[str, np.ndarray]  # by split, int64 rows of ``paths`` in the order of its list
    sha256: Mapping[str, str]  # SHA-256 (hex) of the bytes of each list file, by name
    content_sha256: Mapping[str, str]  # content hash by split, see saat.data.identity


def read_lists(root: Path) -> Lists:
    """Read the lists in ``root``, without opening the images.

    Raises:
        InputError: A list is missing, damaged or contradicts another list, names a path outside
            ``root``, or no image has any label.
    """
    if not root.is_dir():
        raise InputError(f"{root}: not a folder; expected a folder of image lists")
    looked_for = []
    for names, ends, read in _LAYOUTS:
        files = {split: [root / f"{split}{end}.txt" for end in ends] for split in SPLITS}
        missing = [file.name for own in files.values() for file in own if not file.is_file()]
        if not missing:
            return _merge(root, {split: read(*own) for split, own in files.items()})
        looked_for.append(f"{names} (missing: {', '.join(missing)})")
    raise InputError(f"{root}: list files are missing; looked for {' and for '.join(looked_for)}")


def _merge(root: Path, splits: Mapping[str, SplitList]) -> Lists:
    paths = [path for split in splits.values() for path in split.paths]
    lines = [f"{s.file}:{i}" for s in splits.values() for i in range(1, len(s.paths) + 1)]
    row_of: dict[str, int] = {}
    row_of_line = np.array([row_of.setdefault(path, len(row_of)) for path in paths])
    first_lines = np.unique(row_of_line, return_index=True)[1]
    starts = np.cumsum([len(split.paths) for split in splits.values()])[:-1]
    rows = dict(zip(splits, np.split(row_of_line, starts), strict=True))
    origins = [lines[i] for i in first_lines]
    shared = np.flatnonzero(np.isin(rows["test"], np.union1d(rows["database"], rows["train"])))
    if shared.size:
        first = int(starts[-1] + shared[0])
        raise InputError(
            f"{lines[first]}: test image {paths[first]!r} is also at "
            f"{origins[row_of_line[first]]} ({shared.size} such in all); "
            "test queries must not be in the database or in train"
        )
    labels = _all_labels(splits)
    conflict = np.flatnonzero((labels != labels[first_lines][row_of_line]).any(axis=1))
    if conflict.size:
        first = int(conflict[0])
        raise InputError(
            f"{lines[first]}: image {paths[first]!r} has another label than at "
            f"{origins[row_of_line[first]]}; one image has one label"
        )
    if not labels.any():
        raise InputError(f"{root}: no image of any list has a label; every 1 is missing")
    sha256 = {file: sha for split in splits.values() for file, sha in split.sha256.items()}
    content = {name: content_sha256(split.paths, split.labels) for name, split in splits.items()}
    return Lists(root, list(row_of), origins, labels[first_lines], rows, sha256, content)


def _all_labels(splits: Mapping[str, SplitList]) -> np.ndarray:
    first, *others = splits.values()
    width = first.labels.shape[1]
    for split in others:
        if split.labels.shape[1] != width:
            raise InputError(
                f"{split.file}:1: {counted(split.labels.shape[1], 'label')} per image; "
                f"{first.file.name} has {width}"
            )
    return np.concatenate([split.labels for split in splits.values()])
