"""Explore trials as points of their objectives on validation queries."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.frontier import hypervolume, pareto_mask
from reports.results import SearchResults, final_metrics_of, metric_column, stored_metrics
from saat.metrics import Phase
from saat.sanity import at_chance
from saat.wording import counted

BITS = "param.model.bits"


class HypervolumeCurve(NamedTuple):
    """Hypervolume after each explore trial, in the order in which the trials finished."""

    cost_s: NDArray[np.float64]  # (n,) seconds of work so far, summed over trials
    hypervolume: NDArray[np.float64]  # (n,) of the completed, eligible trials so far


def completed_trials(results: SearchResults) -> pd.DataFrame:
    """Explore trials that reached the end and have all objectives under the full protocol."""
    return _measured(results, "completed", Phase.REATTACK)


def stopped_trials(results: SearchResults) -> pd.DataFrame:
    """Explore trials that were stopped early, and whose objectives validation has measured."""
    return _measured(results, "stopped", Phase.VALIDATION)


def _measured(results: SearchResults, status: str, phase: Phase) -> pd.DataFrame:
    explore = results.explore
    finite = np.asarray(np.isfinite(values_of(results, explore, phase)).all(axis=1), dtype=np.bool_)
    return explore[(explore["status"] == status) & finite]


def values_of(
    results: SearchResults, frame: pd.DataFrame, phase: Phase = Phase.REATTACK
) -> NDArray[np.float64]:
    """Objectives of trials in their own units, ``(n, m)``; NaN where not measured."""
    columns = [metric_column(phase, name) for name in results.aims.names]
    return frame.reindex(columns=columns).to_numpy(dtype=np.float64)


def points_of(results: SearchResults, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Objectives of trials under the full protocol, ``(n, m)``, oriented: larger is better."""
    return results.aims.oriented(values_of(results, frame))


def feasible(results: SearchResults, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether completed trials keep every constraint under the full protocol, ``(n,)``."""
    return _each(frame, results.aims.constraints.are_kept)


def chance_texts(frame: pd.DataFrame) -> list[str]:
    """The MAPs of each trial that are not above chance under the full protocol, in words."""
    return [", ".join(at_chance(metrics)) for metrics in final_metrics_of(frame)]


def chance_levels(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether clean and robust MAP of trials are not above chance, ``(n, 2)``."""
    low = map(at_chance, final_metrics_of(frame))
    levels = [["clean" in names, "robust" in names] for names in low]
    return np.array(levels, dtype=np.bool_).reshape(-1, 2)


def eligible(results: SearchResults, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a completed trial may be on a front (feasible, clean MAP above chance), ``(n,)``."""
    return _each(frame, results.aims.allow)


def above_chance(results: SearchResults, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether clean MAP, and robust MAP if it is an objective, are above chance, ``(n,)``."""
    return _each(frame, results.aims.are_above_chance)


def _each(frame: pd.DataFrame, holds: Callable[[Mapping[str, float]], bool]) -> NDArray[np.bool_]:
    rows = frame.to_dict("records")
    return np.array([holds(stored_metrics(row)) for row in rows], dtype=np.bool_)


def on_front(results: SearchResults, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a trial is eligible, and no other eligible trial dominates it, ``(n,)``."""
    keeps = eligible(results, frame)
    return pareto_mask(np.where(keeps[:, None], points_of(results, frame), np.nan))


def hypervolume_over_cost(results: SearchResults) -> HypervolumeCurve:
    """Hypervolume of the objectives above their reference point against the work spent.

    The cost of every explore trial counts, stopped and failed ones included. Only completed,
    eligible trials add hypervolume, with their ``reattack/*`` values.
    """
    explore = results.explore.sort_values(["finished_at", "number"], kind="stable")
    adds = eligible(results, explore) & (explore["status"] == "completed").to_numpy(dtype=bool)
    points = np.where(adds[:, None], points_of(results, explore), np.nan)
    volumes = [hypervolume(points[: i + 1], results.aims.corner) for i in range(len(points))]
    cost = np.nancumsum(explore["cost_s"].to_numpy(dtype=np.float64))
    return HypervolumeCurve(cost, np.array(volumes, dtype=np.float64))


def bit_lengths(frame: pd.DataFrame) -> pd.Series:
    """Code length of every trial; -1 where the setting does not say."""
    if BITS not in frame:
        return pd.Series(-1, index=frame.index, dtype="int64")
    return pd.to_numeric(frame[BITS], errors="coerce").fillna(-1).astype("int64")


def bits_label(bits: int) -> str:
    """Write the code length ``32`` as ``32 bits``."""
    return counted(bits, "bit") if bits >= 0 else "all trials"
