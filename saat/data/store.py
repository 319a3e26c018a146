"""The store of decoded images: one folder per set of images, built once per node.

``{cache_dir}/images/{key}/`` holds ``images.npy``, uint8 (M, 3, H, W), and ``entry.json`` with
its key, shape, size in bytes and checksum. The checksum is part of a folder's fingerprint.

An entry is built in ``{key}.building`` under a file lock and renamed into place when it is
durable, so every visible entry is complete. The kernel releases the lock of a killed builder, and
the next builder deletes its files. Images that changed get another key. Old entries are never
deleted.
"""

import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from saat.atomic_files import fsync

Progress = Callable[[int, int], None]
# Function: rows of an entry → their images, uint8 (n, 3, H, W).
Render = Callable[[range], np.ndarray]

# Below this many bytes every load reads everything and compares the checksum (a fraction of a
# second); above, it checks sizes only.
CHECKED_ON_LOAD = 256 * 2**20
# Images and bytes decoded between two writes: enough to keep a pool of threads busy.
BLOCK_IMAGES, BLOCK_BYTES = 256, 2**26

_ARRAY, _SIDECAR = "images.npy", "entry.json"


class Entry(NamedTuple):
    """A read-only memory map, uint8 (M, 3, H, W), and the BLAKE2b (hex) of its file."""

    images: np.ndarray
    checksum: str


def open_or_build(
    cache_dir: Path,
    key: str,
    shape: tuple[int, int, int, int],
    render: Render,
    progress: Progress | None = None,
    is_current: Callable[[np.ndarray], bool] = lambda images: True,
) -> Entry:
    """Open the entry ``key``, building it where it is absent, damaged or not current.

    Args:
        cache_dir: Node-local folder; created if absent.
        key: A hash of everything that the pixels depend on.
        shape: (M, 3, H, W) of the entry.
        render: Returns the images of some rows; called block by block, in order.
        progress: Called with (images done, M) after every block.
        is_current: Tells whether the images of an older entry are still right.

    Raises:
        OSError: The entry cannot be written; it names the file, and no half entry stays.
    """

    def usable() -> Entry | None:
        found = _open(folder, key, shape)
        return found if found is not None and is_current(found.images) else None

    folder = cache_dir / "images" / key
    if (entry := usable()) is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{key}.lock")):
            entry = usable()  # another process may have built it meanwhile
            if entry is None:
                _build(folder, key, shape, render, progress)
                entry = _open(folder, key, shape)
    if entry is None:
        raise OSError(f"{folder}: damaged right after it was written; check the disk")
    return entry


def checksum_of(cache_dir: Path, key: str) -> str:
    """The recorded checksum of an entry; empty if there is none."""
    return str(_sidecar(cache_dir / "images" / key).get("blake2b", ""))


def _sidecar(folder: Path) -> dict[str, Any]:
    """The record of an entry; empty if it is absent or damaged."""
    try:
        content = json.loads((folder / _SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _open(folder: Path, key: str, shape: tuple[int, ...]) -> Entry | None:
    """Open the entry; None if it is absent, damaged or of another shape."""
    array = folder / _ARRAY
    sidecar = _sidecar(folder)
    try:
        size = array.stat().st_size
        if not {"key": key, "shape": list(shape), "bytes": size}.items() <= sidecar.items():
            return None
        if size < CHECKED_ON_LOAD and _checksum(array) != sidecar.get("blake2b"):
            return None
        images: np.ndarray = np.load(array, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError):
        return None
    if images.shape != shape or images.dtype != np.uint8:
        return None
    return Entry(images, str(sidecar.get("blake2b")))


def _build(
    folder: Path, key: str, shape: tuple[int, ...], render: Render, progress: Progress | None
) -> None:
    # All builders use one name, so the holder of the lock can clear the files of a dead one.
    building = folder.with_name(f"{key}.building")
    array, sidecar = building / _ARRAY, building / _SIDECAR
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        needed, free = math.prod(shape), shutil.disk_usage(building).free
        if needed > free:  # otherwise hours of decoding would be lost
            why = f"{needed} bytes of decoded images do not fit, {free} are free"
            raise OSError(errno.ENOSPC, why, str(building))
        _write_array(array, shape, render, progress)
        record = {"key": key, "shape": list(shape), "bytes": array.stat().st_size}
        sidecar.write_text(json.dumps({**record, "blake2b": _checksum(array)}, indent=1))
        for path in (array, sidecar, building):
            fsync(path)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged entry: the name must be free
        building.replace(folder)
        fsync(folder.parent)
    except BaseException as error:
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:  # write() does not know its file
            raise OSError(error.errno, error.strerror, str(array)) from error
        raise


def _write_array(
    array: Path, shape: tuple[int, ...], render: Render, progress: Progress | None
) -> None:
    step = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // math.prod(shape[1:])))
    # Written, not mapped: a write to a full disk raises, but a store into a mapped page kills
    # the process.
    with array.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, shape[0], step):
            rows = range(start, min(start + step, shape[0]))
            file.write(np.ascontiguousarray(render(rows)).data)
            if progress is not None:
                progress(rows.stop, shape[0])


def _checksum(array: Path) -> str:
    with array.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
