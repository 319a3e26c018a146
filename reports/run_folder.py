"""Checks of a run's folder, which somebody else may have made: trial ids and links."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from saat.errors import InputError, printable

_TRIAL_ID = re.compile(r"[0-9a-f]{10}-(explore|confirm|train)-[0-9]{1,16}")


def is_trial_id(text: object) -> bool:
    """Whether ``text`` is of the form ``HASH-PHASE-SEED``, and so the name of a folder."""
    return isinstance(text, str) and _TRIAL_ID.fullmatch(text) is not None


def trial_folder(run_dir: Path, trial_id: str) -> Path:
    """The folder of a trial.

    Raises:
        InputError: not the form of an id, so the path may lead out of the run's folder.
    """
    if not is_trial_id(trial_id):
        raise InputError(
            f"{run_dir}: {printable(repr(trial_id))[:80]}: not a trial id, which is HASH-PHASE-SEED"
        )
    return run_dir / "trials" / trial_id


def check_run_folder(run_dir: Path) -> None:
    """Refuse a folder with links that lead out of it, or with entries that block a reader.

    Raises:
        InputError: a link that leads out of the folder, or an entry that is neither file, folder
            nor link.
    """
    inside = os.path.realpath(run_dir)
    for entry in _entries(run_dir):
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if os.path.commonpath([inside, target]) != inside:
                raise InputError(
                    f"{entry.path}: a link that leads out of the run's folder; put a copy there"
                )
        elif not (entry.is_file() or entry.is_dir()):
            raise InputError(f"{entry.path}: neither a file nor a folder; remove it")


def check_file(path: Path) -> None:
    """Refuse a path that exists and is not a regular file; a missing file is accepted.

    Raises:
        InputError: a folder, a link, a pipe or a device.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "device"
        raise InputError(f"{path}: a {kind}, not a file")


def _entries(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    """Everything below a folder; links are not followed, entries deleted meanwhile left out."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except FileNotFoundError:
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)
