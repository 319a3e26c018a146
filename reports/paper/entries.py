"""The numbers of a table: ours, the paper's, and what to think of the two."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from reports.paper.cells import NO_ATTACK, TARGETED, Cell, cell_at
from reports.paper.declared import Item
from reports.paper.measured import Measured, Value
from reports.paper.numbers import TOLERANCE, inconsistencies, paper_numbers

Verdict = Literal["", "within", "outside"]
Place = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A number of a table.

    Attributes:
        row: coordinates of the row.
        column: coordinates of the column.
        cell: where it stands.
        ours: the number here, in the paper's unit.
        paper: the printed number; NaN where there is none.
        comparable: whether both are of one data set and the published schedule.
        notes: what speaks against the printed number.
    """

    row: Place
    column: Place
    cell: Cell
    ours: Value
    paper: float
    comparable: bool
    notes: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Ours minus the paper's; NaN where one of them is missing or they cannot be compared."""
        return self.ours.number - self.paper if self.comparable else np.nan

    @property
    def verdict(self) -> Verdict:
        """Whether the two differ by more than two runs of the paper do; percentages alone."""
        if np.isnan(self.difference) or not self.cell.is_percent:
            return ""
        # Both have two digits; their difference may be a hair above it in floating point.
        return "within" if abs(self.difference) <= TOLERANCE + 1e-9 else "outside"


def shown_data(item: Item, data: str) -> str:
    """The paper's data set whose numbers stand beside ours: the same one where it has it."""
    return data if data in item.paper_data else item.paper_data[0]


def is_comparable(item: Item, measured: Measured) -> bool:
    """Whether our numbers should be the paper's."""
    return measured.scale == "full" and measured.data in item.paper_data


def entries(item: Item, measured: Measured) -> list[Entry]:
    """All numbers of a table, row by row."""
    beside, printed = shown_data(item, measured.data), paper_numbers()
    found = []
    for row, column, cell in item.cells():
        paper = printed.get((item.name, beside, cell), np.nan)
        ours = measured.value(item, cell)
        comparable = is_comparable(item, measured)
        notes = inconsistencies(item.name, beside, cell)
        found.append(Entry(row, column, cell, ours, paper, comparable, notes))
    return found


@dataclass(frozen=True)
class Reference:
    """A row of ours that robust numbers are read beside; values in percent, one a column."""

    label: str
    defense: str  # empty for a number that no defense changes
    values: Sequence[Value]


def references(item: Item, measured: Measured) -> list[Reference]:
    """Chance and theoretical floor, and benign t-MAP for targeted attacks; none for norms."""
    if "measure" in item.rows:
        return []
    found = list(_references(item, measured))
    return [row for row in found if not all(np.isnan(v.number) for v in row.values)]


def _references(item: Item, measured: Measured) -> Iterator[Reference]:
    attacks = {cell.attack for _, _, cell in item.cells()}
    untargeted = sorted(attacks - {NO_ATTACK, *TARGETED})
    targeted = sorted(attacks & set(TARGETED))
    defenses = list(item.rows.get("defense", [item.fixed.get("defense")]))
    columns = [dict(pairs) for pairs in {tuple(c.items()): None for _, c, _ in item.cells()}]

    def row(label: str, metric: str, attack: str, defense: str) -> Reference:
        values = []
        for column in columns:
            place = {**item.fixed, **column, "defense": defense, "attack": attack}
            cell = cell_at({**place, "measure": "map"})
            values.append(measured.metric(item.source(cell), cell.setting, metric))
        return Reference(label, "" if metric == "chance_map" else defense, values)

    for defense in defenses:
        if untargeted:
            label = "theoretical floor of the untargeted attacks"
            yield row(label, "floor_map", untargeted[0], defense)
        if targeted:
            yield row("t-MAP of the benign queries", "tmap.clean", targeted[0], defense)
    yield row("MAP of a random order", "chance_map", (untargeted or targeted)[0], defenses[0])


def entries_frame(found: Sequence[Entry]) -> pd.DataFrame:
    """A row for every number, with full precision, for a CSV file."""
    return pd.DataFrame(
        {
            "defense": entry.cell.setting.defense,
            "hashing": entry.cell.setting.hashing,
            "backbone": entry.cell.setting.backbone,
            "bits": entry.cell.setting.bits,
            "attack": entry.row.get("attack", entry.column.get("attack", entry.cell.attack)),
            "iterations": entry.row.get("iterations", ""),
            "measure": entry.cell.metric[0],
            "ours": entry.ours.number,
            "paper": entry.paper,
            "difference": entry.difference,
            "verdict": entry.verdict,
            "missing": entry.ours.missing,
            "inconsistencies": " ".join(entry.notes),
        }
        for entry in found
    )
