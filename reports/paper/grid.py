"""A table in Markdown: our numbers beside the paper's."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.paper.cells import PERCEPTIBILITY, TARGETED, THEORY
from reports.paper.declared import Item
from reports.paper.entries import Entry, Reference, references
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
_MARKS = {"within": " =", "outside": " ≠", "": ""}


def label(axis: str, value: Any) -> str:
    """A coordinate in words."""
    if axis == "bits":
        return f"{value} bits"
    return LABELS.get(axis, {}).get(value, str(value))


def markdown_table(item: Item, measured: Measured, found: Sequence[Entry]) -> list[str]:
    """Lines of the table of all ``found`` numbers, a blank line, and its numbered footnotes.

    The last rows are ours alone: robust numbers are read beside them.
    """
    notes: dict[str, int] = {}
    by_row: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in found:
        by_row.setdefault(tuple(entry.row.items()), []).append(entry)
    columns = dict.fromkeys(" ".join(label(*pair) for pair in e.column.items()) for e in found)
    has_metric = "measure" not in item.rows
    leading = [*(_HEADERS[axis] for axis in item.rows), *["Metric"] * has_metric]
    rows = [[*leading, *columns], ["---"] * len(leading) + ["---:"] * len(columns)]
    for row, of_row in by_row.items():
        cells = [_cell(e, notes, measured.left_out(e.cell.setting)) for e in of_row]
        metric = "t-MAP" if of_row[0].cell.attack in TARGETED else "MAP"
        rows.append([*(label(*pair) for pair in row), *[metric] * has_metric, *cells])
    for reference in references(item, measured):
        texts = [f"*{text}*" if text else text for text in _reference_leading(item, reference)]
        rows.append([*texts, *(_number(value.number) for value in reference.values)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    footnotes = [f"{number}. {_escaped(note)}" for note, number in notes.items()]
    return [*lines, "", *footnotes, *([""] if footnotes else [])]


def _reference_leading(item: Item, reference: Reference) -> list[str]:
    texts = [label("defense", reference.defense)] if "defense" in item.rows else []
    return [*texts, reference.label, "t-MAP" if "t-MAP" in reference.label else "MAP"]


def _cell(entry: Entry, notes: dict[str, int], left_out: str) -> str:
    """Ours, the paper's, their difference, and the numbers of footnotes, which it adds."""
    digits = 2 if entry.cell.measure not in PERCEPTIBILITY else 3
    text = f"**{_number(entry.ours.number, digits)}** / {_number(entry.paper)}"
    if not np.isnan(entry.difference):
        text += f" ({entry.difference:+.2f}{_MARKS[entry.verdict]})".replace("-", "−")
    reasons = list(entry.notes)
    if entry.ours.missing and not left_out:  # the page says that once
        reasons.append(f"Ours: {entry.ours.missing}.")
    if entry.ours.collapsed:
        reasons.append("Ours: the model's clean MAP is not above chance, so this says nothing.")
    numbers = [str(notes.setdefault(reason, len(notes) + 1)) for reason in reasons]
    return text + (f" <sup>{', '.join(numbers)}</sup>" if numbers else "")


def _number(value: float, digits: int = 2) -> str:
    return MISSING if np.isnan(value) else f"{value:.{digits}f}"


def _escaped(text: str) -> str:
    """Text that may come from a run, as it can stand in Markdown."""
    return html.escape(text, quote=False).translate({ord(c): f"\\{c}" for c in "|*_`[]"})
