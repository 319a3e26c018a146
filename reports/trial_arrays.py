"""The arrays that a trial keeps (``docs/architecture.md``), checked before anybody computes.

Nothing in a file is run, no array larger than its file says is made, and types and shapes are
those of the schema.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.run_folder import check_file
from saat.errors import InputError, one_line

Arrays = dict[str, NDArray]
_LARGEST_RATIO = 1032  # of deflate; what claims more is no file that was written


class Form(NamedTuple):
    """What an array must be.

    Attributes:
        kind: of its dtype, as NumPy has it: ``u`` is uint8 here, ``i`` any signed integer.
        axes: its axes; equal names in a file are equal lengths, and a number is itself.
    """

    kind: str
    axes: tuple[str | int, ...]


_IMAGE = (3, "height", "width")
_EXAMPLES: Mapping[str, Form] = {
    "query": Form("u", ("shown", *_IMAGE)),
    "adversarial": Form("u", ("shown", *_IMAGE)),
    "attack": Form("U", ()),
    **{f"{when}_top": Form("u", ("shown", "retrieved", *_IMAGE)) for when in ("clean", "attacked")},
    **{f"{when}_relevant": Form("b", ("shown", "retrieved")) for when in ("clean", "attacked")},
}


def read_histograms(path: Path) -> Arrays:
    """``ATTACK_total`` and ``ATTACK_relevant``, integers ``(Q, K+1)``.

    Raises:
        InputError: the file is missing or damaged.
    """
    arrays = _read(path, _histogram_form)
    for name in arrays:
        attack, _, _ = name.rpartition("_")
        _require(path, arrays, f"{attack}_relevant")
        _require(path, arrays, f"{attack}_total")
    return arrays


def read_examples(path: Path) -> Arrays:
    """Thumbnails of queries and of what they retrieve.

    Raises:
        InputError: the file is missing or damaged.
    """
    arrays = _read(path, _EXAMPLES.get)
    for name in _EXAMPLES:
        _require(path, arrays, name)
    return arrays


def read_adversarial(path: Path) -> Arrays:
    """Attacked queries by attack, uint8 ``(Q, 3, H, W)``, with their rows and targets.

    Raises:
        InputError: the file is missing or damaged.
    """
    arrays = _read(path, _adversarial_form)
    _require(path, arrays, "rows")
    queries = len(arrays["rows"])
    for name, array in arrays.items():
        if name.endswith("_taken") and not ((array >= 0) & (array < queries)).all():
            raise InputError(f"{path}: array {name!r}: not positions of {queries} queries")
    return arrays


def _histogram_form(name: str) -> Form | None:
    known = name.endswith(("_total", "_relevant"))
    return Form("i", ("queries", "distances")) if known else None


def _adversarial_form(name: str) -> Form:
    if name == "rows":
        return Form("i", ("queries",))
    if name.endswith("_target"):
        return Form("u", ("queries", "classes"))
    if name.endswith("_taken"):
        return Form("i", (f"{name} queries",))
    return Form("u", ("queries", *_IMAGE))


def _read(path: Path, form_of: Callable[[str], Form | None]) -> Arrays:
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
    except (OSError, EOFError, RuntimeError, ValueError, MemoryError, NotImplementedError) as error:
        raise InputError(f"{path}: not readable as arrays: {one_line(error)}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not readable as arrays: {one_line(error)}") from error
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        _check_form(path, name, array, form_of(name), lengths)
    return arrays


def _check_size(path: Path, info: zipfile.ZipInfo, member: IO[bytes]) -> None:
    """Refuse an array whose header promises another size than the archive has."""
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(member)]
    shape, _, dtype = read_header(member)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0:
        raise InputError(
            f"{path}: not readable as arrays: {one_line(info.filename, 60)} has no numbers or text"
        )
    if member.tell() + size != info.file_size or size > _LARGEST_RATIO * info.compress_size + 4096:
        raise InputError(
            f"{path}: not readable as arrays: {one_line(info.filename, 60)} is not as "
            "large as it says"
        )


def _check_form(
    path: Path, name: str, array: NDArray, form: Form | None, lengths: dict[str, int]
) -> None:
    if form is None:
        raise InputError(f"{path}: array {one_line(name, 60)!r}: not of this file")
    is_kind = array.dtype == np.uint8 if form.kind == "u" else array.dtype.kind == form.kind
    fits = len(form.axes) == array.ndim and all(
        length == (axis if isinstance(axis, int) else lengths.setdefault(axis, length))
        for axis, length in zip(form.axes, array.shape, strict=False)
    )
    if not (is_kind and fits):
        axes = ", ".join(str(axis) for axis in form.axes)
        raise InputError(
            f"{path}: array {one_line(name, 60)!r}: {array.dtype} {array.shape}, where "
            f"{ {'u': 'uint8', 'i': 'integers', 'b': 'bool', 'U': 'text'}[form.kind] } ({axes}) "
            "belongs"
        )


def _require(path: Path, arrays: Arrays, name: str) -> None:
    if name not in arrays:
        raise InputError(f"{path}: array {name!r} is missing")
