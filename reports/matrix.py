"""The table of settings × attacks on test queries, as in papers, with intervals."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedConfig, distinct_labels
from reports.metric_columns import attacks_of
from reports.results import measured_names, metric_column
from reports.tables import Table, identity
from reports.wording import attack_notes, sentences
from saat.metrics import Phase
from saat.wording import counted


class MatrixCell(NamedTuple):
    """A MAP as a fraction, with its 95 % interval; NaN where not measured."""

    mean: float
    low: float
    high: float
    seeds: int  # number of seeds of the mean and the interval


class MatrixData(NamedTuple):
    """MAPs as fractions; rows are settings, columns are clean, the worst case and the attacks."""

    title: str  # of the figure
    rows: tuple[str, ...]  # labels of the settings
    columns: tuple[str, ...]  # ``clean``, ``worst``, every attack
    headers: tuple[str, ...]  # the columns in words
    cells: tuple[tuple[MatrixCell, ...], ...]  # (rows, columns)
    seeds: tuple[int, ...]  # number for every setting; a cell may have fewer
    chance: float  # MAP of a random order; NaN where unknown


def untargeted_matrix(configs: Sequence[ConfirmedConfig]) -> MatrixData:
    """MAP of every setting: clean, in the worst case, and under every untargeted attack."""
    chance = [config.mean("chance_map") for config in configs]
    chance_map = float(np.mean(chance)) if chance else np.nan
    return _matrix("MAP under every attack", configs, "map", ("clean", "worst"), chance_map)


def targeted_matrix(configs: Sequence[ConfirmedConfig]) -> MatrixData:
    """t-MAP of every setting under every targeted attack: how well it retrieves the target."""
    return _matrix("t-MAP under every targeted attack", configs, "tmap", (), np.nan)


def _matrix(
    title: str, configs: Sequence[ConfirmedConfig], kind: str, first: tuple[str, ...], chance: float
) -> MatrixData:
    """Columns ``first``, then the attacks with a metric of this kind in any of the settings."""
    names = (name for config in configs for name in measured_names(config.trials, Phase.TEST))
    columns = (*first, *attacks_of(names, [kind]))
    return MatrixData(
        title,
        distinct_labels(configs),
        columns,
        tuple(_header(configs, column) for column in columns),
        tuple(
            tuple(MatrixCell(*s.band(column), s.seeds_of(column)) for column in columns)
            for s in configs
        ),
        tuple(len(s.trials) for s in configs),
        chance,
    )


def matrix_table(configs: Sequence[ConfirmedConfig], data: MatrixData, name: str) -> Table:
    """The cells as a table: mean and 95 % interval, beside chance and theoretical results."""
    columns: dict[str, list[Any]] = {**identity(configs)}
    for index, header in enumerate(data.headers):
        cells = [row[index] for row in data.cells]
        columns[header] = [cell.mean for cell in cells]
        columns[f"{header} low"] = [cell.low for cell in cells]
        columns[f"{header} high"] = [cell.high for cell in cells]
        columns[f"{header} seeds"] = [cell.seeds for cell in cells]
    frame = pd.DataFrame(columns)
    theory = [_theory(configs, column) for column in data.columns]
    if configs and not np.isnan(theory).all():
        role = "theoretical, mean over the settings that have the attack"
        row = {"role": role, **dict(zip(data.headers, theory, strict=True))}
        frame = pd.concat([frame, pd.DataFrame([row])], ignore_index=True)
    counts = [name for name in columns if name.endswith("seeds")]
    return Table(
        name,
        f"{data.title}: test queries, mean and 95 % interval over seeds and queries"
        + ("" if np.isnan(data.chance) else f"; a random order scores {100 * data.chance:.1f} %")
        + matrix_notes(data),
        frame.astype(dict.fromkeys(["bits", *counts], "Int64")),
        fractions=dict.fromkeys(data.headers, "%"),
        estimates=data.headers,
    )


def matrix_notes(data: MatrixData) -> str:
    """Notes below a table: the meaning of n in a cell, and of the attacks' names."""
    fewer = any(
        0 < cell.seeds < seeds
        for cells, seeds in zip(data.cells, data.seeds, strict=True)
        for cell in cells
    )
    note = (
        "A cell with n = … is over only n of the seeds of its row, those that the attack was run "
        "on; it cannot be compared with cells over all seeds"
    )
    return sentences(note if fewer else "", attack_notes(data.columns))


def _header(configs: Sequence[ConfirmedConfig], attack: str) -> str:
    """The attack, with the number of its queries if it was not run on all of them."""
    fewest = min((s.query_counts[attack] for s in configs if attack in s.query_counts), default=0)
    everyone = max((s.query_counts.get("clean", 0) for s in configs), default=0)
    took = counted(fewest, "query", "queries")
    return f"{attack} ({took})" if 0 < fewest < everyone else attack


def _theory(configs: Sequence[ConfirmedConfig], attack: str) -> float:
    name = f"theory.{attack}"
    found = [s.mean(name) for s in configs if metric_column(Phase.TEST, name) in s.trials]
    return float(np.mean(found)) if found else np.nan
