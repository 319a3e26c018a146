"""An explicit map from the classes of one data set to those of another.

A model trained on set A can retrieve from set B. Relevance in B, and mainstay codes too, are
defined by labels, and class 3 of one set is not class 3 of another (not even of another list of the
same set). A label map says which class of B is which class of A. :func:`relabelled` turns B into a
data set with A's labels. The content of a map file::

    source: [aeroplane, bicycle, bird, …]   # B's classes in order, or their number
    target: 80                              # A's classes in order, or their number
    map: {bird: 14, aeroplane: 4, …}        # from a class of B to a class of A

Classes are given by number from 0, or by name if ``source`` or ``target`` lists names. Several
classes of B may be one class of A. A class of B that is not in ``map``, or is mapped to null, is
dropped.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saat.data.dataset import RetrievalData
from saat.data.labelled_images import SPLITS, fingerprint
from saat.errors import InputError, one_line, repeated
from saat.wording import counted

_KEYS = ("source", "target", "map")


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A map from the classes of a source set to those of a target set.

    ``target_of``, int64 (C_source,), is the target class of every source class, −1 if it has none.
    ``source`` and ``target`` are the names of classes, or their numbers as text.
    """

    target_of: np.ndarray
    source: tuple[str, ...]
    target: tuple[str, ...]


def relabelled(data: RetrievalData, label_map: LabelMap) -> tuple[RetrievalData, str]:
    """Replace the labels of a data set by the target's labels.

    No row is left out. Rows without any label have no relevant items.

    Returns:
        The data set, and a sentence. The sentence names the classes without counterpart. It tells
        how many rows of every split have no label now, and how many of them (new) had one before.

    Raises:
        InputError: the map is for another number of classes than ``data`` has.
    """
    if data.classes != len(label_map.source):
        raise InputError(
            f"label map: source has {counted(len(label_map.source), 'class', 'classes')}; "
            f"{data.label} has {data.classes}"
        )
    # An image has a target class if it has at least one of the source classes mapped to it.
    labels = np.zeros((len(data.labels), len(label_map.target)), dtype=np.uint8)
    for source in np.flatnonzero(label_map.target_of >= 0):
        labels[:, label_map.target_of[source]] |= data.labels[:, source] > 0
    unlabelled = labels.max(axis=1) == 0
    emptied = unlabelled & (data.labels.max(axis=1) > 0)
    dropped = [label_map.source[i] for i in np.flatnonzero(label_map.target_of < 0)]
    counts = ", ".join(
        f"{split} {unlabelled[rows].sum()} of {len(rows)} ({emptied[rows].sum()} new)"
        for split in SPLITS
        for rows in [getattr(data, split)]
    )
    sentence = (
        f"classes without counterpart: {', '.join(dropped) or 'none'}; "
        f"rows without any label: {counts}"
    )
    identity = fingerprint(
        {"source": data.fingerprint, "classes": len(label_map.target)},
        {"target_of": label_map.target_of},
    )
    changed = dataclasses.replace(
        data, labels=labels, fingerprint=identity, label=f"{data.label}+map-{identity[:8]}"
    )
    return changed, sentence


def parse_label_map(content: Any, file: str) -> LabelMap:
    """Check a label map read from YAML or JSON; ``file`` names it in errors.

    Raises:
        InputError: A key is unknown or missing, a class does not exist or is mapped twice, or no
            class has a counterpart.
    """
    if not isinstance(content, Mapping) or set(content) != set(_KEYS):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else content
        raise InputError(
            f"{file}: a label map has the keys {', '.join(_KEYS)}, not {one_line(found, 80)}"
        )
    source = _classes(content["source"], f"{file}: source")
    target = _classes(content["target"], f"{file}: target")
    source_index, target_index = (
        {name: i for i, name in enumerate(own)} for own in (source, target)
    )
    pairs = content["map"]
    if not isinstance(pairs, Mapping):
        raise InputError(f"{file}: map: {one_line(pairs, 60)}: must be class: class pairs")
    target_of = np.full(len(source), -1, dtype=np.int64)
    seen: set[int] = set()
    for key, value in pairs.items():
        where = f"{file}: map: {one_line(key, 40)}"
        index = _index(key, source_index, where)
        if index in seen:
            raise InputError(f"{where}: this class is mapped twice")
        seen.add(index)
        if value is not None:
            target_of[index] = _index(value, target_index, f"{where}: {one_line(value, 40)}")
    if (target_of < 0).all():
        raise InputError(f"{file}: map: no class has a counterpart; map at least one")
    return LabelMap(target_of, source, target)


def _classes(value: Any, where: str) -> tuple[str, ...]:
    """Class names in order; the numbers from 0 if only their count is given."""
    if type(value) is int and value > 1:
        return tuple(map(str, range(value)))
    is_names = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1
    if not is_names or not all(isinstance(name, str) for name in value):
        raise InputError(
            f"{where}: {one_line(value, 60)}: must be a number of classes, or names; at least 2"
        )
    numbers = [name for i, name in enumerate(value) if name.isdecimal() and name != str(i)]
    twice = repeated(value)
    if numbers or twice:
        problem = "a name twice" if twice else "a number that is not the position of its class"
        raise InputError(f"{where}: {one_line((twice or numbers)[0], 40)}: {problem}")
    return tuple(value)


def _index(key: Any, classes: Mapping[str, int], where: str) -> int:
    """Find a class by name or number; ``"3"`` means 3, because keys in JSON are text."""
    if isinstance(key, str) and key in classes:
        return classes[key]
    number = int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else key
    if type(number) is int and 0 <= number < len(classes):
        return number
    raise InputError(f"{where}: no such class; a name, or 0 to {len(classes) - 1}")
