"""A table as rows of text, from which Markdown and HTML are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reports.paper.cells import PERCEPTIBILITY, TARGETED, THEORY
from reports.paper.declared import Item
from reports.paper.entries import Entry, Reference, entries, references
from reports.paper.measured import Measured
from reports.wording import MISSING

LABELS: Mapping[str, Mapping[Any, str]] = {
    "attack": {
        "none": "Original",
        "hag": "HAG",
        "sdha": "SDHA",
        "mainstay": "mainstay (the paper's)",
        "p2p": "P2P",
        "dhta": "DHTA",
        "prosgan": "ProS-GAN",
        "tha": "THA",
        "mainstay_targeted": "mainstay, targeted (the paper's)",
    },
    "defense": {"none": "no defense", "atrdh": "ATRDH", "saat": "SAAT"},
    "hashing": {"dph": "DPH", "dpsh": "DPSH", "hashnet": "HashNet", "csq": "CSQ"},
    "measure": {
        "linf_matrix_norm": "L∞ (matrix norm)",
        "l2_matrix_norm": "L2 (matrix norm)",
        "mse_1e-4": "MSE (10⁻⁴)",
        "map_percent": "MAP",
    },
    "iterations": {THEORY: "theory"},
}
_HEADERS = {"defense": "Defense", "attack": "Attack", "iterations": "Iterations", "measure": ""}


@dataclass(frozen=True)
class GridCell:
    """A number as text: ours, the paper's, their difference, numbers of footnotes."""

    ours: str
    paper: str = ""
    difference: str = ""
    verdict: str = ""
    notes: Sequence[int] = ()


@dataclass(frozen=True)
class Grid:
    """A table: headers, rows of leading texts and cells, footnotes in their order.

    ``is_reference`` tells rows of ours alone, beside which robust numbers are read.
    """

    leading: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[tuple[Sequence[str], Sequence[GridCell], bool]]
    notes: Sequence[str] = field(default_factory=list)


def label(axis: str, value: Any) -> str:
    """A coordinate in words."""
    if axis == "bits":
        return f"{value} bits"
    return LABELS.get(axis, {}).get(value, str(value))


def grid(item: Item, measured: Measured) -> Grid:
    """The table of ours beside the paper's."""
    found, notes = entries(item, measured), dict[str, int]()
    rows: dict[tuple[Any, ...], list[Entry]] = {}
    columns: dict[str, None] = {}
    for entry in found:
        rows.setdefault(tuple(entry.row.items()), []).append(entry)
        columns[" ".join(label(*pair) for pair in entry.column.items())] = None
    lines: list[tuple[Sequence[str], Sequence[GridCell], bool]] = [
        (
            _leading(dict(row), of_row[0]),
            [_cell(e, notes, measured.left_out(e.cell.setting)) for e in of_row],
            False,
        )
        for row, of_row in rows.items()
    ]
    for reference in references(item, measured):
        cells = [GridCell(_number(value.number)) for value in reference.values]
        lines.append((_reference_leading(item, reference), cells, True))
    leading = [_HEADERS[axis] for axis in item.rows]
    leading += [] if "measure" in item.rows else ["Metric"]
    return Grid(leading, list(columns), lines, list(notes))


def _leading(row: Mapping[str, Any], entry: Entry) -> list[str]:
    texts = [label(axis, value) for axis, value in row.items()]
    if "measure" not in row:
        texts.append("t-MAP" if entry.cell.attack in TARGETED else "MAP")
    return texts


def _reference_leading(item: Item, reference: Reference) -> list[str]:
    texts = [label("defense", reference.defense)] if "defense" in item.rows else []
    return [*texts, reference.label, "t-MAP" if "t-MAP" in reference.label else "MAP"]


def _cell(entry: Entry, notes: dict[str, int], left_out: str) -> GridCell:
    digits = 2 if entry.cell.measure not in PERCEPTIBILITY else 3
    reasons = list(entry.notes)
    if entry.ours.missing and not left_out:  # the page says that once
        reasons.append(f"Ours: {entry.ours.missing}.")
    if entry.ours.collapsed:
        reasons.append("Ours: the model's clean MAP is not above chance, so this says nothing.")
    numbers = [notes.setdefault(reason, len(notes) + 1) for reason in reasons]
    difference = "" if np.isnan(entry.difference) else f"{entry.difference:+.2f}"
    return GridCell(
        _number(entry.ours.number, digits),
        _number(entry.paper, 2),
        difference.replace("-", "−"),
        entry.verdict,
        numbers,
    )


def _number(value: float, digits: int = 2) -> str:
    return MISSING if np.isnan(value) else f"{value:.{digits}f}"
