"""Small files, replaced as a whole; folders that are checked before anything is written there."""

import json
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from saat.atomic_files import replacing
from saat.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``; afterwards it is on the disk, or as it was."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as JSON."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def existing_parent(folder: Path, option: str = "") -> Path:
    """The folder itself, or the nearest one above it that is there; a file raises InputError.

    The line begins with the ``option`` by which the folder was given.
    """
    absolute = folder.absolute()
    # Path.exists raises for names that are too long, and in folders that may not be looked into.
    existing = next(p for p in (absolute, *absolute.parents) if os.path.exists(p))  # noqa: PTH110
    if not existing.is_dir():
        raise InputError(f"{option} {folder}: {existing} is not a folder".lstrip())
    return existing


def writable_parent(folder: Path, option: str = "") -> Path:
    """:func:`existing_parent`, in which a file can be made; InputError where none can."""
    existing = existing_parent(folder, option)
    try:
        tempfile.TemporaryFile(dir=existing).close()  # permissions alone do not tell
    except OSError as error:
        fault = f"{option} {folder}: {existing} is not writable ({error.strerror})"
        raise InputError(fault.lstrip()) from None
    return existing


def check_output(folder: Path, own: Collection[str]) -> None:
    """Refuse a folder for results that cannot be written, or has files but none named ``own``."""
    writable_parent(folder, "-o")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found and not found & set(own):
        raise InputError(f"-o {folder}: exists, and holds something else; take another folder")
