"""Arrays out of a pickled file, without running anything that the file names.

A pickle is a program: it may name any function and call it. Here three names are known, those of a
pickled NumPy array, and each stands for a class of this module that only stores what it is given.
Every other name is refused. NumPy takes no part until the shapes, types and bytes are checked.
"""

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Types of the arrays that are read, as NumPy pickles them: byte order and code.
_TYPES: dict[tuple[str, str], np.dtype] = {
    ("<", "f4"): np.dtype("<f4"),
    ("<", "f8"): np.dtype("<f8"),
}


def read_arrays(path: Path) -> dict[str, list[np.ndarray]]:
    """Read a pickled dict of lists of NumPy arrays.

    Returns:
        name → its arrays, float32 or float64, each a copy of the file's bytes.

    Raises:
        ValueError: anything else than such arrays; one line. No code of the file is run.
    """
    with path.open("rb") as file:
        try:
            content = _OnlyArrays(file).load()
        except Exception as error:  # damaged files raise any exception
            raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"a {type(content).__name__}, not a dict of arrays")
    return {str(name): _arrays(name, parts) for name, parts in content.items()}


def _arrays(name: object, parts: object) -> list[np.ndarray]:
    if not isinstance(parts, list) or not all(isinstance(part, _Array) for part in parts):
        raise ValueError(f"{name!r} holds a {type(parts).__name__}, not a list of arrays")
    return [part.array() for part in parts]


class _Type:
    """What a pickle says of an array's type."""

    def __init__(self, code: str, *flags: object) -> None:
        self.code, self.order = code, ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """What a pickle says of an array: version, shape, type, order of the axes, bytes."""

    def __init__(self, *empty: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """The array itself."""
        kind: np.dtype | None = None
        match self.state:
            case (
                _,
                tuple(shape),
                _Type(order=str(order), code=str(code)),
                fortran,
                bytes(content),
            ):
                kind = _TYPES.get((order, code))
        if kind is None:
            raise ValueError("an array of another type than float32 or float64")
        sized = all(isinstance(size, int) and size >= 0 for size in shape)
        if not sized or len(content) != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{len(content)} bytes for an array of another size")
        flat: np.ndarray = np.frombuffer(content, kind)
        return flat.reshape(shape, order="F" if fortran else "C").copy()


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


class _OnlyArrays(pickle.Unpickler):
    """An unpickler that knows no names but :data:`_NAMES`."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name in the file."""
        if (module, name) not in _NAMES:
            raise ValueError(f"it names {module}.{name}; only arrays are read")
        return _NAMES[module, name]
