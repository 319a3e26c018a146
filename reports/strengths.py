"""MAP of confirmed settings along the radius and the iterations of one attack of the battery."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
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


def strength_curves(
    results: SearchResults, configs: Sequence[ConfirmedConfig], along: str
) -> list[StrengthCurve]:
    """The curves of the settings of which every seed stored one.

    Args:
        results: of the search.
        configs: its confirmed settings.
        along: ``eps`` or ``steps``.
    """
    found = []
    for config in configs:
        tables = [results.strengths(str(trial)) for trial in config.trials["trial_id"]]
        kept = [table[table["along"] == along] for table in tables if table is not None]
        common = set.intersection(*(set(t["strength"]) for t in kept)) if kept else set()
        if len(kept) < len(tables) or len(common) < 2:
            continue
        strengths = np.array(sorted(common), dtype=np.float64)
        samples = [
            [t.loc[t["strength"] == strength, "ap"].to_numpy(np.float64) for t in kept]
            for strength in strengths
        ]
        letter = config.letter if config.role == "recommended" else ""
        maps = [nested_interval(seeds) for seeds in samples]
        fewest = min(len(ap) for seeds in samples for ap in seeds)
        found.append(StrengthCurve(config.label, letter, strengths, maps, len(kept), fewest))
    return found
