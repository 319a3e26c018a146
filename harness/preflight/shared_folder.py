"""Checks that driver and nodes share the folder of runs, and that file locks hold between them.

The driver makes a folder with a token in it and holds a lock there. Every node reads the token,
must fail to get the lock, and writes a file of its own, which the driver reads. The folder is
deleted afterwards.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from saat.errors import InputError, one_line

_TOKEN, _LOCK = ".token", ".lock"  # no name of a node


@dataclass(frozen=True)
class SharedFolder:
    """A folder that driver and nodes write into, and the token that the driver wrote there."""

    folder: str
    token: str


@contextmanager
def shared_folder_check(runs_dir: Path) -> Iterator[SharedFolder]:
    """Make the folder, and delete it at the end of the block."""
    absent = [path for path in (runs_dir, *runs_dir.parents) if not path.exists()]
    folder = runs_dir / f".preflight-{secrets.token_hex(8)}"
    shared = SharedFolder(str(folder), secrets.token_hex(16))
    try:
        folder.mkdir(parents=True)
        (folder / _TOKEN).write_text(shared.token)
        with FileLock(folder / _LOCK, timeout=0):
            yield shared
    except NotImplementedError as error:
        raise InputError(f"{runs_dir}: no file locks there ({one_line(error)})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another process may use it by now
            for path in absent:
                path.rmdir()


def leave_token(shared: SharedFolder, name: str) -> None:
    """Check the folder from a node, and leave the node's file there.

    Raises:
        InputError: the node sees another folder, or the driver's lock does not hold.
        OSError: the folder cannot be written.
    """
    folder = Path(shared.folder)
    if not folder.is_dir():
        raise InputError(f"{folder.parent} does not show what the driver wrote there")
    if (folder / _TOKEN).read_text() != shared.token:
        raise InputError(f"{folder.parent} shows something else than the driver wrote there")
    with suppress(Timeout):
        with FileLock(folder / _LOCK, timeout=0):
            pass
        raise InputError(f"{folder.parent}: a file lock of the driver does not hold here")
    with FileLock(folder / f"{name}.lock", timeout=0):
        (folder / name).write_text(shared.token)


def check_token(shared: SharedFolder, name: str) -> list[str]:
    """Check the file of a node from the driver; returns what is wrong."""
    try:
        content = (Path(shared.folder) / name).read_text()
    except OSError as error:
        return [f"runs: the driver does not see what the node wrote ({one_line(error, 120)})"]
    wrong = content != shared.token
    return ["runs: the driver sees something else than the node wrote"] if wrong else []
