"""CSV files from which a spreadsheet runs no formula."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd

# A spreadsheet takes a cell that begins like this for a formula, or splits it into cells that may
# be formulas. An apostrophe in front makes it text. A leading apostrophe gets another one, so that
# reading a cell back can remove exactly one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def csv_text(frame: pd.DataFrame) -> str:
    """Write all columns with full precision; missing values are empty, numbers stay numbers.

    Text, in headers too, that a spreadsheet would take for a formula has an apostrophe in front.
    """
    safe = _changed(frame, _neutral)
    text = safe.to_csv(index=False, lineterminator="\n")
    if "\r" in text:  # readers end a row there, and pandas does not quote it
        text = safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text


def read_csv(source: Path | str) -> pd.DataFrame:
    """Read what `csv_text` wrote, from a file or from the text itself.

    Raises:
        OSError: the file cannot be read.
    """
    found = pd.read_csv(io.StringIO(source) if isinstance(source, str) else source)
    return _changed(found, _plain)


def _changed(frame: pd.DataFrame, change: Callable[[object], object]) -> pd.DataFrame:
    """Headers and columns of text, cell by cell."""
    changed = {}
    for name, column in frame.items():
        is_text = pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)
        changed[change(name)] = column.map(change) if is_text else column
    return pd.DataFrame(changed)


def _neutral(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _plain(cell: object) -> object:
    quoted = isinstance(cell, str) and cell[:1] == "'" and cell[1:].startswith(_FORMULA)
    return cell[1:] if quoted and isinstance(cell, str) else cell
