"""Every setting on test queries under every attack: the table that papers print, with intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedSetting
from reports.metric_columns import attacks_of
from reports.results import measured_names, metric_column
from reports.tables import Table, identity
from reports.wording import attack_notes, sentences
from saat.metrics import Phase
from saat.wording import counted

_COLUMNS = ("", " low", " high", " seeds")


class MatrixCell(NamedTuple):
    """A MAP as a fraction, with its 95 % interval; NaN where not measured."""

    mean: float
    low: float
    high: float
    seeds: int  # that the mean and the interval are over


class MatrixData(NamedTuple):
    """MAPs as fractions; rows are settings, columns what their queries went through.

    Attributes:
        title: of the figure.
        rows: labels of the settings.
        columns: ``clean``, every attack, ``worst``.
        headers: the columns in words.
        cells: ``(rows, columns)`` means and intervals over seeds and queries.
        seeds: of every setting; a cell may have fewer.
        chance: MAP of a random order; NaN where unknown.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    headers: tuple[str, ...]
    cells: tuple[tuple[MatrixCell, ...], ...]
    seeds: tuple[int, ...]
    chance: float


def untargeted_matrix(settings: Sequence[ConfirmedSetting]) -> MatrixData:
    """MAP of every setting: clean, under every untargeted attack, and the worst case."""
    columns = ("clean", *_attacks(settings, "map"), "worst")
    chance = [setting.mean("chance_map") for setting in settings]
    return MatrixData(
        "MAP under every attack",
        _labels(settings),
        columns,
        tuple(_header(settings, column) for column in columns),
        tuple(tuple(_cell(s, column) for column in columns) for s in settings),
        tuple(len(s.trials) for s in settings),
        float(np.mean(chance)) if chance else np.nan,
    )


def targeted_matrix(settings: Sequence[ConfirmedSetting]) -> MatrixData:
    """t-MAP of every setting under every targeted attack: how well the target label is served."""
    columns = tuple(_attacks(settings, "tmap"))
    return MatrixData(
        "t-MAP under every targeted attack",
        _labels(settings),
        columns,
        tuple(_header(settings, column) for column in columns),
        tuple(tuple(_cell(s, column) for column in columns) for s in settings),
        tuple(len(s.trials) for s in settings),
        np.nan,
    )


def _cell(setting: ConfirmedSetting, column: str) -> MatrixCell:
    return MatrixCell(*setting.band(column), setting.seeds_of(column))


def _attacks(settings: Sequence[ConfirmedSetting], kind: str) -> list[str]:
    """Attacks with this metric in any of the settings, in their order."""
    names = (name for setting in settings for name in measured_names(setting.trials, Phase.TEST))
    return attacks_of(names, [kind])


def matrix_table(settings: Sequence[ConfirmedSetting], data: MatrixData, name: str) -> Table:
    """The cells as a table: mean and 95 % interval, beside chance and theoretical results."""
    pairs = zip(data.headers, data.columns, strict=True)
    theory = {header: _theory(settings, column) for header, column in pairs}
    rows = []
    for setting, cells in zip(settings, data.cells, strict=True):
        row = identity(setting)
        for header, cell in zip(data.headers, cells, strict=True):
            row |= {header: cell.mean, f"{header} low": cell.low, f"{header} high": cell.high}
            row[f"{header} seeds"] = cell.seeds
        rows.append(row)
    if rows and any(not np.isnan(value) for value in theory.values()):
        rows.append({"role": "theoretical, mean over the settings that met the attack", **theory})
    companions = [f"{header}{end}" for header in data.headers for end in _COLUMNS]
    columns = ["search", "role", "bits", "seeds", *companions]
    frame = pd.DataFrame(rows, columns=columns)
    counts = [name for name in columns if name.endswith("seeds")]
    return Table(
        name,
        f"{data.title}: test queries, mean and 95 % interval over seeds and queries"
        + ("" if np.isnan(data.chance) else f"; a random order scores {100 * data.chance:.1f} %")
        + sentences(fewer_seeds(data), attack_notes(data.columns)),
        frame.astype(dict.fromkeys(["bits", *counts], "Int64")),
        fractions=dict.fromkeys(data.headers, "%"),
        estimates=data.headers,
    )


def fewer_seeds(data: MatrixData) -> str:
    """What n in a cell means; empty where every cell has all seeds of its row."""
    if not any(
        0 < cell.seeds < seeds
        for cells, seeds in zip(data.cells, data.seeds, strict=True)
        for cell in cells
    ):
        return ""
    return (
        "A cell that names n is over only n of the seeds of its row, which met the attack; it "
        "cannot be compared with cells over all seeds"
    )


def _header(settings: Sequence[ConfirmedSetting], attack: str) -> str:
    """The attack, and how many queries it took where not all of them."""
    fewest = min((s.query_counts[attack] for s in settings if attack in s.query_counts), default=0)
    everyone = max((s.query_counts.get("clean", 0) for s in settings), default=0)
    took = counted(fewest, "query", "queries")
    return f"{attack} ({took})" if 0 < fewest < everyone else attack


def _theory(settings: Sequence[ConfirmedSetting], attack: str) -> float:
    name = f"theory.{attack}"
    found = [s.mean(name) for s in settings if metric_column(Phase.TEST, name) in s.trials]
    return float(np.mean(found)) if found else np.nan


def _labels(settings: Sequence[ConfirmedSetting]) -> tuple[str, ...]:
    several = len({setting.search for setting in settings}) > 1
    return tuple(f"{s.search}: {s.label}" if several else s.label for s in settings)
