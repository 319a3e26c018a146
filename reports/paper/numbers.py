"""The paper's own numbers, and which of them contradict each other."""

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from reports.paper.cells import TARGETED, THEORY, Cell, cell_at
from reports.paper.declared import items

# What two trainings of the same defense differ by in the paper itself, in points: the rows
# "Original" of Tables III and IV, by up to 2.43.
TOLERANCE = 2.5

DATA_NAMES = {"flickr25k": "FLICKR-25K", "nuswide": "NUS-WIDE", "mscoco": "MS-COCO"}
_TOLD_BITS = 32  # of Tables VII and VIII, whose code length the paper does not say

_FAR = 10.0  # points between an attack and its theory that no other attack of the paper shows


Place = tuple[str, str, Cell]  # name of a table, data set, and where the number stands in it


@cache
def paper_numbers() -> Mapping[Place, float]:
    """Every printed number of Tables II–VIII by its place, in the paper's unit."""
    text = (files("reports") / "paper" / "numbers.csv").read_text("utf-8")
    found: dict[Place, float] = {}
    for row in csv.DictReader(text.splitlines()):
        table, data, number = (row.pop(name) for name in ("table", "dataset", "number"))
        steps = row.pop("iterations")
        iterations = int(steps) if steps.isdigit() else steps or None
        cell = cell_at({**row, "bits": int(row["bits"] or _TOLD_BITS), "iterations": iterations})
        if (table, data, cell) in found:
            raise ValueError(f"two rows for {table}, {data}, {cell}")
        found[table, data, cell] = float(number)
    return found


@cache
def inconsistencies(item: str, data: str, cell: Cell) -> tuple[str, ...]:
    """What speaks against a printed number, in sentences; empty where nothing does."""
    value = paper_numbers().get((item, data, cell))
    return () if value is None else tuple(_notes(item, data, cell, value))


def _notes(item: str, data: str, cell: Cell, value: float) -> Iterator[str]:
    setting = cell.setting
    where = (item, setting.hashing, setting.backbone, setting.defense, cell.attack)
    if where == ("table8", "csq", "VGG19", "none", "none"):
        yield "The paper prints 0.8160, which is 81.60 %."
    if item == "table7" and cell.measure == "map_percent":
        yield "The MAPs of Table VII match no column of Table II."
    for name, table in items().items():
        other = paper_numbers().get((name, data, cell), value)
        if other != value:
            yield f"{table.of_paper} prints {other:.2f} for the same model and attack."
    yield from _against_theory(item, data, cell, value)


def _against_theory(item: str, data: str, cell: Cell, value: float) -> Iterator[str]:
    """Attacks of Table II beyond their bounds in Table V, and the reverse."""
    pair = {"table2": "table5", "table5": "table2"}.get(item)
    if pair is None or cell.attack == "none":
        return
    measure = THEORY if pair == "table5" else "map"
    other = paper_numbers()[pair, data, Cell(cell.setting, cell.attack, measure)]
    reached, bound = (value, other) if pair == "table5" else (other, value)
    beyond = reached - bound if cell.attack in TARGETED else bound - reached
    if beyond > 0.005 and pair == "table5":  # printed with two digits
        yield f"It is beyond the theoretical bound of the attack, {other:.2f} in Table V."
    elif beyond > 0.005:
        yield f"The attack itself reached {other:.2f} in Table II, beyond this bound."
    elif pair == "table5" and abs(beyond) > _FAR:
        yield f"It is {-beyond:.1f} points from the theoretical value of Table V, {other:.2f}."
