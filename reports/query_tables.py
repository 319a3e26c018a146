"""Read tables of AP per query, and check them (``docs/architecture.md``).

Each reader raises InputError if the file is missing or damaged.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pandas.api.types import is_float_dtype, is_integer_dtype, is_string_dtype

from reports.run_folder import check_file
from saat.errors import InputError, one_line

_ROUNDING = 1e-6  # by which rounding may raise an average precision above 1
_STRONGEST = 1e12  # radius or number of iterations


def read_per_query(path: Path) -> pd.DataFrame:
    """Columns query, attack, restart, ap of ``per_query.parquet``."""
    frame = _typed(
        path, {"query": is_integer_dtype, "attack": is_string_dtype, "restart": is_integer_dtype}
    )
    if (frame["query"] < 0).any():
        raise InputError(f"{path}: queries below 0; damaged")
    return frame


def read_strengths(path: Path) -> pd.DataFrame:
    """Columns along, strength, query, ap of ``strength.parquet``."""
    frame = _typed(
        path, {"along": is_string_dtype, "strength": is_float_dtype, "query": is_integer_dtype}
    )
    if not frame["strength"].between(0, _STRONGEST).all():
        raise InputError(f"{path}: strengths outside their range; damaged")
    return frame


def _typed(path: Path, kinds: Mapping[str, Callable[[pd.Series], bool]]) -> pd.DataFrame:
    """A table of average precisions ``ap``, with further columns of the given kinds."""
    kinds = {**kinds, "ap": is_float_dtype}
    frame = read_parquet(path, tuple(kinds))
    for name, is_kind in kinds.items():
        if not is_kind(frame[name]) or frame[name].isna().any():
            raise InputError(f"{path}: column {name!r} has values of another type; damaged")
    if not frame["ap"].between(-_ROUNDING, 1 + _ROUNDING).all():
        raise InputError(f"{path}: average precisions outside 0 to 1; damaged")
    return frame


def read_parquet(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """A table with at least the ``required`` columns, its pages' checksums verified."""
    check_file(path)
    try:
        frame = pd.read_parquet(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise InputError(f"{path}: missing; was the search interrupted before it began?") from None
    except (OSError, ValueError, TypeError, KeyError, MemoryError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as Parquet: {one_line(error)}") from error
    absent = [name for name in required if name not in frame.columns]
    if absent:
        raise InputError(f"{path}: column {absent[0]!r} is missing; needed: {', '.join(required)}")
    return frame
