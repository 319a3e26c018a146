"""The paper's own numbers, and which of them contradict each other."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from reports.paper.cells import TARGETED, THEORY, Cell, cell_at

# What two trainings of the same defense differ by in the paper itself, in points: the rows
# "Original" of Tables III and IV, by up to 2.43.
TOLERANCE = 2.5

_DATA = {"FLICKR-25K": "flickr25k", "NUS-WIDE": "nuswide", "MS-COCO": "mscoco"}
DATA_NAMES = {name: label for label, name in _DATA.items()}
_TABLES = {
    "II": "table2",
    "III": "table3",
    "IV": "table4",
    "V": "table5",
    "VI": "table6",
    "VII": "table7",
    "VIII": "table8",
}
_TOLD_BITS = 32  # of Tables VII and VIII, whose code length the paper does not say

CORRECTED = "The paper prints 0.8160, which is 81.60 %."
OTHER_VALUE = "{} prints {:.2f} for the same model and attack."
BEYOND_THEORY = "It is beyond the theoretical bound of the attack, {:.2f} in Table V."
BELOW_RESULT = "The attack itself reached {:.2f} in Table II, beyond this bound."
FAR_FROM_THEORY = "It is {:.1f} points from the theoretical value of Table V, {:.2f}."
NO_COLUMN = "The MAPs of Table VII match no column of Table II."
_FAR = 10.0  # points between an attack and its theory that no other attack of the paper shows


@dataclass(frozen=True)
class PaperNumber:
    """A printed number: of which table and data set, where it stands, in the paper's unit."""

    item: str
    data: str
    cell: Cell
    value: float


def paper_numbers() -> Mapping[tuple[str, str, Cell], PaperNumber]:
    """Every printed number of Tables II–VIII by item, data set and cell."""
    return _numbers()


@cache
def _numbers() -> dict[tuple[str, str, Cell], PaperNumber]:
    found: dict[tuple[str, str, Cell], PaperNumber] = {}
    for number in (*_retrieval(), *_iterations(), *_perceptibility()):
        key = (number.item, number.data, number.cell)
        if key in found:
            raise ValueError(f"two rows for {key}")
        found[key] = number
    return found


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (files("reports") / "paper" / "numbers" / name).read_text("utf-8")
    yield from csv.DictReader(text.splitlines())


def _retrieval() -> Iterator[PaperNumber]:
    for row in _rows("retrieval_tables.csv"):
        table = _TABLES[row["table"]]
        cell = cell_at(
            {
                "defense": row["defense"],
                "hashing": row["hashing"].lower(),
                "backbone": row["backbone"],
                "bits": int(row["bits"] or _TOLD_BITS),
                "attack": row["attack"].replace("pros_gan", "prosgan"),
                "measure": THEORY if table == "table5" else "map",
            }
        )
        yield PaperNumber(table, _DATA[row["dataset"]], cell, float(row["percent"]))


def _iterations() -> Iterator[PaperNumber]:
    for row in _rows("table_vi_iterations.csv"):
        given = row["iterations"]
        cell = cell_at(
            {
                **_undefended(int(row["bits"])),
                "attack": "mainstay",
                "measure": "map",
                "iterations": THEORY if given == "theory" else int(given),
            }
        )
        yield PaperNumber("table6", _DATA[row["dataset"]], cell, float(row["map_percent"]))


def _perceptibility() -> Iterator[PaperNumber]:
    for row in _rows("table_vii_perceptibility.csv"):
        place = {"attack": row["attack"], "measure": row["measure"]}
        cell = cell_at({**_undefended(_TOLD_BITS), **place})
        yield PaperNumber("table7", _DATA[row["dataset"]], cell, float(row["value"]))


def _undefended(bits: int) -> dict[str, str | int]:
    return {"defense": "none", "hashing": "dph", "backbone": "AlexNet", "bits": bits}


@cache
def inconsistencies(item: str, data: str, cell: Cell) -> tuple[str, ...]:
    """What speaks against a printed number, in sentences; empty where nothing does."""
    number = _numbers().get((item, data, cell))
    return () if number is None else tuple(_notes(number))


def _notes(number: PaperNumber) -> Iterator[str]:
    cell = number.cell
    setting = cell.setting
    where = (number.item, setting.hashing, setting.backbone, setting.defense, cell.attack)
    if where == ("table8", "csq", "VGG19", "none", "none"):
        yield CORRECTED
    if number.item == "table7" and cell.measure == "map_percent":
        yield NO_COLUMN
    for other in _numbers().values():
        same_place = (other.data, other.cell) == (number.data, cell)
        if same_place and other.item != number.item and other.value != number.value:
            yield OTHER_VALUE.format(_printed(other.item), other.value)
    yield from _against_theory(number)


def _against_theory(number: PaperNumber) -> Iterator[str]:
    """Attacks of Table II beyond their bounds in Table V, and the reverse."""
    attack = number.cell.attack
    pair = {"table2": "table5", "table5": "table2"}.get(number.item)
    if pair is None or attack == "none":
        return
    measure = THEORY if pair == "table5" else "map"
    other = _numbers()[pair, number.data, Cell(number.cell.setting, attack, measure)].value
    reached, bound = (number.value, other) if pair == "table5" else (other, number.value)
    beyond = reached - bound if attack in TARGETED else bound - reached
    if beyond > 0.005:  # printed with two digits
        yield (BEYOND_THEORY if pair == "table5" else BELOW_RESULT).format(other)
    elif pair == "table5" and abs(beyond) > _FAR:
        yield FAR_FROM_THEORY.format(-beyond, other)


def _printed(item: str) -> str:
    return f"Table {next(roman for roman, name in _TABLES.items() if name == item)}"
