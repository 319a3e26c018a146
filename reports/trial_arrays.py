"""Read the arrays that a trial stores (``docs/architecture.md``), and check them.

No code in a file is run. An array cannot be larger than its file says, and has the type and the
shape of the schema. Each reader raises InputError if the file is missing or damaged.
"""

import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.run_folder import check_file
from saat.errors import InputError, one_line

Arrays = dict[str, NDArray]
# Zip, deflate and NumPy raise these: KeyError for an unknown version of .npy, RuntimeError for an
# unknown compression or encryption.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, RuntimeError,
               ValueError, MemoryError)  # fmt: skip
_LARGEST_RATIO = 1032  # of deflate; no real file is compressed more


class Form(NamedTuple):
    """The type and shape that an array must have."""

    kind: str  # of its dtype, as NumPy has it: ``u`` is uint8 here, ``i`` any signed integer
    # A number is a length. Axes of one name have equal lengths in a file, and "" has any length.
    axes: tuple[str | int, ...]


_IMAGE = (3, "height", "width")
# Name of an array, or pattern of names → its form. The first that matches is used. Every array that
# is named in full must be in the file.
_HISTOGRAMS = {f"*_{of}": Form("i", ("queries", "distances")) for of in ("total", "relevant")}
_EXAMPLES = {
    "query": Form("u", ("shown", *_IMAGE)),
    "adversarial": Form("u", ("shown", *_IMAGE)),
    "attack": Form("U", ()),
    **{f"{when}_top": Form("u", ("shown", "retrieved", *_IMAGE)) for when in ("clean", "attacked")},
    **{f"{when}_relevant": Form("b", ("shown", "retrieved")) for when in ("clean", "attacked")},
}
_ADVERSARIAL = {
    "rows": Form("i", ("queries",)),
    "*_target": Form("u", ("queries", "classes")),
    "*_queries": Form("i", ("",)),
    "*_taken": Form("i", ("",)),  # of an older format
    "*": Form("u", ("queries", *_IMAGE)),
}


def read_histograms(path: Path) -> Arrays:
    """Histograms ``ATTACK_total`` and ``ATTACK_relevant``, integers ``(Q, K+1)``."""
    arrays = _read(path, _HISTOGRAMS)
    for name in arrays:
        attack, _, _ = name.rpartition("_")
        _require(path, arrays, f"{attack}_relevant", f"{attack}_total")
    return arrays


def read_examples(path: Path) -> Arrays:
    """Thumbnails of queries and of what they retrieve."""
    return _read(path, _EXAMPLES)


def read_adversarial(path: Path) -> Arrays:
    """Attacked queries by attack, uint8 ``(Q, 3, H, W)``, with their rows and targets."""
    found = _read(path, _ADVERSARIAL)
    # An older format said ATTACK_taken.
    arrays = {re.sub("_taken$", "_queries", name): array for name, array in found.items()}
    queries = len(arrays["rows"])
    for name, array in arrays.items():
        if name.endswith("_queries") and not ((array >= 0) & (array < queries)).all():
            raise InputError(f"{path}: array {name!r}: not positions of {queries} queries")
    return arrays


def attacks_with_images(path: Path) -> list[str]:
    """Names of the untargeted attacks in an ``adversarial.npz``, without reading its arrays.

    Raises:
        InputError: the file cannot be read.
    """
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except _UNREADABLE as error:
        raise InputError(f"{path}: not readable as arrays: {one_line(error)}") from error
    others = ("_queries", "_taken", "_target")
    attacks = [name for name in names if name != "rows" and not name.endswith(others)]
    return [name for name in attacks if f"{name}_target" not in names]


def _read(path: Path, forms: Mapping[str, Form]) -> Arrays:
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    _check_size(path, info, member)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}: not readable as arrays: {one_line(error)}") from error
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        _check_form(path, name, array, forms, lengths)
    _require(path, arrays, *(name for name in forms if "*" not in name))
    return arrays


def _check_size(path: Path, info: zipfile.ZipInfo, member: IO[bytes]) -> None:
    """Refuse an array whose header gives another size than the archive has."""
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(member)]
    shape, _, dtype = read_header(member)
    size = math.prod(shape) * dtype.itemsize
    fault = ""
    if dtype.hasobject or min(shape, default=0) < 0:
        fault = "has no numbers or text"
    elif (
        member.tell() + size != info.file_size or size > _LARGEST_RATIO * info.compress_size + 4096
    ):
        fault = "is not as large as it says"
    if fault:
        name = one_line(info.filename, 60)
        raise InputError(f"{path}: not readable as arrays: {name} {fault}")


def _check_form(
    path: Path, name: str, array: NDArray, forms: Mapping[str, Form], lengths: dict[str, int]
) -> None:
    described = f"{path}: array {one_line(name, 60)!r}"
    form = next((form for pattern, form in forms.items() if fnmatchcase(name, pattern)), None)
    if form is None:
        raise InputError(f"{described}: not of this file")
    is_kind = array.dtype == np.uint8 if form.kind == "u" else array.dtype.kind == form.kind
    fits = len(form.axes) == array.ndim and all(
        length == (axis if isinstance(axis, int) else lengths.setdefault(axis or name, length))
        for axis, length in zip(form.axes, array.shape, strict=False)
    )
    if not (is_kind and fits):
        kind = {"u": "uint8", "i": "integers", "b": "bool", "U": "text"}[form.kind]
        axes = ", ".join(str(axis or f"{name} queries") for axis in form.axes)
        raise InputError(f"{described}: {array.dtype} {array.shape}, where {kind} ({axes}) belongs")


def _require(path: Path, arrays: Arrays, *names: str) -> None:
    for name in names:
        if name not in arrays:
            raise InputError(f"{path}: array {name!r} is missing")
