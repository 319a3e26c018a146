"""Do driver and nodes see one folder of runs, and does a lock of one hold for the other?

The driver makes a folder with a token in it and holds a lock there. Every node reads the token,
must not get the lock, and leaves a file of its own, which the driver reads. Afterwards nothing of
it is left.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from saat.errors import InputError, one_line

_TOKEN, _LOCK = ".token", ".lock"  # no node is called so


@dataclass(frozen=True)
class SharedFolder:
    """Where driver and nodes meet.

    Attributes:
        folder: made by the driver in the folder of runs.
        token: what the driver wrote there.
    """

    folder: str
    token: str


@contextmanager
def shared_folder_check(runs_dir: Path) -> Iterator[SharedFolder]:
    """A place in the folder of runs for as long as the block lasts.

    Raises:
        OSError: it cannot be made.
        InputError: no lock can be taken there.
    """
    absent = [path for path in (runs_dir, *runs_dir.parents) if not path.exists()]
    folder = runs_dir / f".preflight-{secrets.token_hex(8)}"
    place = SharedFolder(str(folder), secrets.token_hex(16))
    try:
        folder.mkdir(parents=True)
        (folder / _TOKEN).write_text(place.token)
        with _lock(folder / _LOCK):
            yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # somebody else may have come to need it
            for path in absent:
                path.rmdir()


def leave_token(place: SharedFolder, name: str) -> None:
    """A node's part.

    Raises:
        InputError: it is not the same folder, or locks do not hold.
        OSError: the folder cannot be written.
    """
    folder = Path(place.folder)
    if not folder.is_dir():
        raise InputError(f"{folder.parent} does not show what the driver wrote there")
    if (folder / _TOKEN).read_text() != place.token:
        raise InputError(f"{folder.parent} shows something else than the driver wrote there")
    with suppress(Timeout):
        with _lock(folder / _LOCK):
            pass
        raise InputError(f"{folder.parent}: a file lock of the driver does not hold here")
    with _lock(folder / f"{name}.lock"):
        (folder / name).write_text(place.token)


def check_token(place: SharedFolder, name: str) -> str:
    """What is wrong with what the driver sees of a node; empty if nothing is."""
    try:
        seen = (Path(place.folder) / name).read_text()
    except OSError as error:
        return f"the driver does not see what the node wrote ({one_line(error, 120)})"
    return "" if seen == place.token else "the driver sees something else than the node wrote"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock.

    Raises:
        InputError: the file system has no locks.
        Timeout: somebody else holds it.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except NotImplementedError as error:
        raise InputError(f"{path.parent.parent}: no file locks there ({one_line(error)})") from None
    try:
        yield
    finally:
        lock.release()
