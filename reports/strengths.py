"""MAP of confirmed settings along the radius and the iterations of one attack of the battery."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig
from reports.results import SearchResults
from reports.statistics import nested_interval
from saat.bootstrap import Interval


class StrengthCurve(NamedTuple):
    """MAP of one setting along a growing strength, mean and interval over seeds and queries."""

    label: str
    letter: str
    strengths: NDArray[np.float64]  # (N,) ascending: radii of the ball, or numbers of iterations
    maps: list[Interval]  # N fractions
    seeds: int
    queries: int  # the fewest of a seed


class StrengthCurves(NamedTuple):
    """The curves of a search's confirmed settings; a setting without one is left out."""

    eps: list[StrengthCurve]  # over radii, 0 included
    steps: list[StrengthCurve]  # over numbers of iterations


def strength_curves(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> StrengthCurves:
    """The curves of the settings of which every seed stored one."""
    found = StrengthCurves([], [])
    for config in configs:
        tables = [results.strengths(str(trial)) for trial in config.trials["trial_id"]]
        kept = [table for table in tables if table is not None]
        if kept and len(kept) == len(tables):
            for along, curves in found._asdict().items():
                curves += _curve(config, [table[table["along"] == along] for table in kept])
    return found


def _curve(config: ConfirmedConfig, tables: Sequence[pd.DataFrame]) -> list[StrengthCurve]:
    """The curve of a setting over the strengths that all seeds have; none of a single one."""
    by_seed: list[dict[float, NDArray[np.float64]]] = [
        {s: t.loc[t["strength"] == s, "ap"].to_numpy(np.float64) for s in t["strength"].unique()}
        for t in tables
    ]
    common = sorted(set.intersection(*map(set, by_seed)))
    if len(common) < 2:
        return []
    samples = [[found[strength] for found in by_seed] for strength in common]
    letter = config.letter if config.role == "recommended" else ""
    maps = [nested_interval(seeds) for seeds in samples]
    fewest = min(len(ap) for seeds in samples for ap in seeds)
    strengths = np.array(common, dtype=np.float64)
    return [StrengthCurve(config.label, letter, strengths, maps, len(tables), fewest)]
