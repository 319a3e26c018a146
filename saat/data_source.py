"""Where data sets are looked for and their decoded images kept; torch is not imported for it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saat.errors import InputError, did_you_mean, one_line
from saat.paths import user_path

ROOT_VARIABLE = "SAAT_DATA"


def default_cache_dir() -> Path:
    """Node-local cache: the environment variable SAAT_CACHE, or ``~/.cache/saat-harness``."""
    chosen = os.environ.get("SAAT_CACHE")
    return user_path(chosen or "~/.cache/saat-harness", "SAAT_CACHE" if chosen else "")


def source_problem(
    name: str | None,
    path: str | Path | None,
    root: str | Path | None,
    datasets: Mapping[str, Any],
) -> str | None:
    """What is wrong with a choice of ``name``, ``path`` and ``root``; None where nothing is.

    ``datasets`` are by name; ``folder`` of each is None where it is embedded.

    Raises:
        InputError: another package brings the data set, and it cannot be used.
    """
    if (name is None) == (path is None):
        return f"give exactly one of name and path, not name={name!r}, path={path!r}"
    if name is None:
        return None if root is None else f"root {str(root)!r}: only with name; path says it all"
    if name not in datasets:
        return (
            f"unknown name {one_line(name, 60)!r}: one of {', '.join(datasets)}, or the path of a "
            f"folder of image lists{did_you_mean(name, datasets)}"
        )
    if root is not None and datasets[name].folder is None:
        return f"root {str(root)!r}: {name} is embedded and takes none"
    return None


def dataset_folder(name: str, folder: str, obtain: str, root: str | Path | None) -> Path:
    """The folder ``folder`` of a named data set below ``root``, or below ``SAAT_DATA`` where None.

    Raises:
        InputError: no root, a relative ``SAAT_DATA``, or no such folder; says where was looked
            and how to obtain the set.
    """
    place = root if root is not None else os.environ.get(ROOT_VARIABLE)
    source = "" if root is not None else f" ({ROOT_VARIABLE})"
    if not place:
        raise InputError(
            f"data: {name} not found: neither data.root nor the environment variable "
            f"{ROOT_VARIABLE} names the folder that contains {folder}; {obtain}"
        )
    expanded = user_path(place, "data.root:" if root is not None else f"data: {ROOT_VARIABLE}")
    # Workers of a search have working folders of their own.
    if root is None and not expanded.is_absolute():
        raise InputError(f"data: {ROOT_VARIABLE}={place}: must be an absolute path")
    found = expanded / folder
    if not found.is_dir():
        raise InputError(f"data: {name} not found: looked in {found}{source}; {obtain}")
    return found
