"""What the catalogue of the registries depends on, told without importing any of it."""

import hashlib
import json
import sys
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import saat


def code_key() -> str:
    """A digest of all that decides what the registries offer.

    It covers the versions of Python, of this package and of those that bring entries, and the sizes
    and times of their source files, so that no edit goes unnoticed.
    """
    known = entry_points()
    groups = [group for group in known.groups if group.startswith("saat.")]
    entries = [entry for group in groups for entry in known.select(group=group)]
    parts: list[Any] = [sys.version, saat.__version__, sorted(map(_identity, entries))]
    places = [Path(saat.__file__).parent, Path(__file__).with_name("catalogue.py")]
    for package in sorted({entry.module.partition(".")[0] for entry in entries}):
        if spec := find_spec(package):  # which imports nothing
            places += map(Path, spec.submodule_search_locations or [str(spec.origin)])
    for place in places:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            with suppress(OSError):
                status = path.stat()
                parts.append((str(path), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _identity(entry: EntryPoint) -> tuple[str, ...]:
    distribution = (entry.dist.name, entry.dist.version) if entry.dist else ()
    return (entry.group, entry.name, entry.value, *distribution)
