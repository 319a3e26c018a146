"""Ranks of samplers, and paired tests against one of them.

All functions take runs: a row for every ``table`` (or function), ``sampler``, number of trials
``at_once`` and ``seed``, with a column of shares such as ``after_40``.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata, wilcoxon

BAR = "Optuna GP"  # what the others are compared with
SIGNIFICANT = 0.05
VARIANT = ", "  # "ehvi, wrong prior" is a variant of ehvi


def plain(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of samplers that are no variants of another one."""
    return runs[~runs["sampler"].str.contains(VARIANT)]


def ranks(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Ranks of every sampler in every comparison, 1 is the best; equal values share ranks.

    Runs of a table, seed and number at once are compared if every sampler has one. The columns are
    the samplers, the best mean rank first.
    """
    wide = runs.pivot_table(index=["table", "at_once", "seed"], columns="sampler", values=value)
    found = wide.dropna().rank(axis=1, ascending=False)
    return found[found.mean().sort_values(kind="stable").index]


class Paired(NamedTuple):
    """A sampler beside another on one table, paired by seed.

    Attributes:
        table: its name.
        sampler: the one.
        difference: median of the differences, above 0 where the one is better.
        better: whether the ranks of the differences favour the one.
        p: of Wilcoxon's signed-rank test, two-sided; 1 where all pairs are equal.
        corrected: p after Holm's correction for all tables of this sampler.
    """

    table: str
    sampler: str
    difference: float
    better: bool
    p: float
    corrected: float


def against(runs: pd.DataFrame, value: str, bar: str = BAR) -> list[Paired]:
    """Every sampler beside ``bar``, table by table; none if ``bar`` has no runs."""
    found: list[Paired] = []
    for name in runs["sampler"].unique():
        tests = [
            _paired(str(table), str(name), part, value, bar)
            for table, part in runs.groupby("table", sort=False)
            if name != bar and {name, bar} <= set(part["sampler"])
        ]
        corrected = holm([test.p for test in tests])
        found += [test._replace(corrected=p) for test, p in zip(tests, corrected, strict=True)]
    return found


def _paired(table: str, name: str, runs: pd.DataFrame, value: str, bar: str) -> Paired:
    wide = runs.pivot_table(index="seed", columns="sampler", values=value)
    difference = (wide[name] - wide[bar]).dropna().to_numpy()
    equal = np.allclose(difference, 0)
    p = 1.0 if equal else float(wilcoxon(difference).pvalue)
    signed = np.sign(difference) @ rankdata(np.abs(difference))
    return Paired(table, name, float(np.median(difference)), bool(signed > 0), p, p)


def holm(p_values: list[float]) -> list[float]:
    """P-values that hold for all tests together (Holm 1979), in the order of the given ones."""
    order = np.argsort(p_values, kind="stable")
    tests = len(order)
    corrected = np.empty(tests)
    # The k-th smallest of n counts n − k + 1 times, and at least as much as those before it.
    scaled = np.array(p_values)[order] * (tests - np.arange(tests))
    corrected[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return [float(p) for p in corrected]


def kept_at_once(runs: pd.DataFrame, value: str, at_once: int) -> pd.DataFrame:
    """What several trials at once reach, of what one at a time reaches with the same compute.

    Returns:
        Table × sampler: ratio of the medians over those seeds that have both runs.
    """
    keys = ["table", "sampler", "seed"]
    alone, several = (
        runs[runs["at_once"] == number].set_index(keys)[value] for number in (1, at_once)
    )
    both = pd.DataFrame({"alone": alone, "several": several}).dropna()
    medians = both.groupby(["table", "sampler"]).median()
    return (medians["several"] / medians["alone"]).unstack("sampler")
