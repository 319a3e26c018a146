"""Medians, quartiles, ranks and paired tests of runs of ``benchmarks.samplers``."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from benchmarks.samplers.tables import LOOKED_AT

BAR = "Optuna GP"  # what the others are compared with
SIGNIFICANT = 0.05


def ranks(runs: pd.DataFrame, value: str) -> pd.Series:
    """Mean rank of every sampler over tables and seeds, 1 is the best; equal values share ranks.

    Runs of a table, seed and number at once are compared if every sampler has one.
    """
    wide = runs.pivot_table(index=["table", "at_once", "seed"], columns="sampler", values=value)
    return wide.dropna().rank(axis=1, ascending=False).mean().sort_values()


class Paired(NamedTuple):
    """A sampler beside another on one table, paired by seed.

    Attributes:
        table: its name.
        sampler: the one.
        difference: median of the differences, above 0 where the one is better.
        p: of Wilcoxon's signed-rank test, two-sided; 1 where all pairs are equal.
    """

    table: str
    sampler: str
    difference: float
    p: float


def against(runs: pd.DataFrame, value: str, bar: str = BAR) -> list[Paired]:
    """Every sampler beside ``bar``, table by table; none if ``bar`` has no runs."""
    found = []
    for table, part in runs.groupby("table"):
        wide = part.pivot_table(index="seed", columns="sampler", values=value)
        for name in wide.columns.drop(bar) if bar in wide else ():
            difference = (wide[name] - wide[bar]).dropna()
            p = 1.0 if np.allclose(difference, 0) else float(wilcoxon(difference).pvalue)
            found.append(Paired(str(table), str(name), float(difference.median()), p))
    return found


def markdown(runs: pd.DataFrame, value: str) -> str:
    """Tables for one and for several trials at once; those that constants saw come first."""
    return "\n".join(line for _, part in runs.groupby("at_once") for line in _tables(part, value))


def _tables(runs: pd.DataFrame, value: str) -> Iterator[str]:
    samplers = list(ranks(runs, value).index)
    marks = {
        (pair.table, pair.sampler): " ↑" if pair.difference > 0 else " ↓"
        for pair in against(runs, value)
        if pair.p < SIGNIFICANT
    }
    yield f"\n{runs['at_once'].iloc[0]} at once, {runs['seed'].nunique()} seeds\n"
    yield f"| table | {' | '.join(samplers)} |"
    yield "|---|" + "---:|" * len(samplers)
    names = sorted(runs["table"].unique(), key=lambda name: (name not in LOOKED_AT, name))
    for name in names:
        part = runs[runs["table"] == name]
        cells = []
        for sampler in samplers:
            own = part.loc[part["sampler"] == sampler, value]
            low, middle, high = own.quantile([0.25, 0.5, 0.75])
            cells.append(f"{middle:.2f} ({low:.2f}–{high:.2f}){marks.get((name, sampler), '')}")
        yield f"| {name}{' *' if name in LOOKED_AT else ''} | {' | '.join(cells)} |"
    for title, part in (
        ("rank, all", runs),
        ("rank, not looked at", runs[~runs["table"].isin(LOOKED_AT)]),
    ):
        if len(part):
            mean = ranks(part, value)
            yield f"| **{title}** | {' | '.join(f'{mean[s]:.2f}' for s in samplers)} |"
